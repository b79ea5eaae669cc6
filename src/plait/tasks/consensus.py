"""Choosing among candidate texts: the one on which most candidates, and texts of similar items, agree."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from plait.metrics.cider import Rarity, similarity

__all__ = ["agreement", "most_typical"]


def agreement(
    candidates: Sequence[str], others: Sequence[str], rarity: Rarity, weights: Sequence[float] | None = None
) -> NDArray[np.float64]:
    """The mean CIDEr of each candidate with the others, [candidates].

    With others that were drawn from the model it is the expected gain of minimum Bayes risk decoding (Kumar & Byrne
    2004; Eikema & Aziz 2020, "Is MAP decoding all you need?"); with the texts of similar items it is the consensus of
    Devlin et al. 2015, "Exploring nearest neighbor approaches for image captioning".

    Args:
        candidates: texts.
        others: texts that they are compared with.
        rarity: of the n-grams.
        weights: of the others; equal by default.

    >>> rarity = Rarity([["a dog runs"], ["a cat sits"], ["two men"]])
    >>> agreement(["a dog runs", "two men"], ["a dog sits", "a dog runs"], rarity).round(2).tolist()
    [5.04, 0.0]
    """
    vectors = {text: rarity.vector(text) for text in {*candidates, *others}}
    share = np.ones(len(others)) if weights is None else np.asarray(weights, np.float64)
    share = share / max(share.sum(), 1e-12)
    known: dict[str, float] = {}
    for text in dict.fromkeys(candidates):
        known[text] = float(sum(w * similarity(vectors[text], vectors[other]) for w, other in zip(share, others)))
    return np.array([known[text] for text in candidates])


def most_typical(texts: Sequence[str], rarity: Rarity, *, most: int = 100) -> str:
    """The text that agrees most with the others, among at most ``most`` of them, evenly chosen; "" of none.

    >>> most_typical(["a dog runs", "a dog sits", "two men"], Rarity([["a dog runs", "a dog sits"], ["two men"]]))
    'a dog runs'
    """
    chosen = list(texts[:: max(1, -(-len(texts) // most))])
    if not chosen:
        return ""
    return chosen[int(agreement(chosen, chosen, rarity).argmax())]
