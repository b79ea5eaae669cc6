"""The training items that are most alike, and the candidate on which their texts agree most."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from torch import Tensor, nn

from plait.metrics.cider import Rarity, similarity

__all__ = ["Mean", "Neighbours", "agreement", "mean_of", "most_agreed", "most_typical"]


Mean = tuple[Tensor, Tensor]
"""The mean of what is read of a stream, [batch, width], and whether it is there, [batch]."""


def mean_of(values: Float[Tensor, "batch places width"], mask: Bool[Tensor, "batch places"]) -> Mean:
    """The mean of the places that are there."""
    total = torch.where(mask[..., None], values, 0.0).sum(1)
    return total / mask.sum(1, keepdim=True).clamp(min=1), mask.any(1)


class Neighbours(nn.Module):
    """Which training items are like an item, by what a decoder reads of both.

    Of each stream the mean of its places, less the mean over the training items, has length 1; the similarity is the
    mean cosine over the streams that both have.

    Args:
        items: number of training items.
        width: of what is read.
        streams: number of streams.
    """

    near: Tensor
    centre: Tensor

    def __init__(self, items: int, width: int, streams: int) -> None:
        super().__init__()
        self.register_buffer("near", torch.zeros(streams, items, width))
        self.register_buffer("centre", torch.zeros(streams, width))

    def remember(self, batches: Sequence[Sequence[Mean]]) -> None:
        """Keep the training items.

        Args:
            batches: in order, of each the means by stream.
        """
        means = torch.stack([torch.cat(own) for own in zip(*((m for m, _ in row) for row in batches))])
        there = torch.stack([torch.cat(own) for own in zip(*((t for _, t in row) for row in batches))])
        count = there.sum(1).clamp(min=1)
        self.centre.copy_((means * there[..., None]).sum(1) / count[:, None])
        self.near.copy_(self._unit(means, there))

    def _unit(self, means: Tensor, there: Tensor) -> Float[Tensor, "streams items width"]:
        found = nn.functional.normalize(means - self.centre[:, None], dim=-1)
        return torch.where(there[..., None], found, 0.0)

    def nearest(self, pairs: Sequence[Mean], count: int) -> list[tuple[NDArray[np.int64], NDArray[np.float64]]]:
        """For each item the training items that are most alike, and their similarities, 0 at least.

        Args:
            pairs: of the items, the means by stream.
            count: how many.
        """
        own = self._unit(torch.stack([m for m, _ in pairs]), torch.stack([t for _, t in pairs]))
        both = (own.abs().sum(-1) > 0)[:, :, None] & (self.near.abs().sum(-1) > 0)[:, None]
        cosine = (own @ self.near.mT).sum(0) / both.sum(0).clamp(min=1)
        value, index = cosine.topk(min(count, cosine.shape[1]), dim=1)
        return list(zip(index.cpu().numpy(), value.clamp(min=0.0).double().cpu().numpy()))


def agreement(
    candidates: Sequence[str], others: Sequence[str], rarity: Rarity, weights: Sequence[float] | None = None
) -> NDArray[np.float64]:
    """The mean CIDEr of each candidate with the other texts, [candidates].

    The consensus of Devlin et al. 2015, "Exploring nearest neighbor approaches for image captioning", section 3.2, in
    which the candidates were the neighbours' own texts.

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


def most_agreed(
    candidates: Sequence[str],
    described: Sequence[Sequence[str]],
    near: NDArray[np.int64],
    weights: NDArray[np.float64],
    rarity: Rarity,
) -> int:
    """The place of the candidate that agrees most with the texts of similar training items.

    Args:
        candidates: texts.
        described: the texts of all training items.
        near, weights: numbers of the similar ones, and how similar they are.
        rarity: of the n-grams.
    """
    pairs = [(text, weight / len(described[i])) for i, weight in zip(near, weights) for text in described[i]]
    told = agreement(candidates, [text for text, _ in pairs], rarity, [weight for _, weight in pairs])
    return int(told.argmax())


def most_typical(texts: Sequence[str], rarity: Rarity, *, most: int = 100) -> str:
    """The text that agrees most with the others, among at most ``most`` of them, evenly chosen; "" of none.

    >>> most_typical(["a dog runs", "a dog sits", "two men"], Rarity([["a dog runs", "a dog sits"], ["two men"]]))
    'a dog runs'
    """
    chosen = list(texts[:: max(1, -(-len(texts) // most))])
    if not chosen:
        return ""
    return chosen[int(agreement(chosen, chosen, rarity).argmax())]
