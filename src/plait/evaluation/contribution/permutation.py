"""How much worse answers are when a modality is that of another item.

Gat, Schwartz & Schwing 2021, "Perceptual score: what data modalities does your model perceive?" (NeurIPS), equations 1
and 2; of features: Breiman 2001, "Random forests". Departures: the mean over several permutations; only among the items
that have the modality, so that nothing goes missing.

A modality that is hidden and one that is wrong are not the same question: a model may get along without a stream, and
be misled by a wrong one.
"""

from __future__ import annotations

import numpy as np

from plait.evaluation.contribution.bank import Bank
from plait.evaluation.intervals import Floats

__all__ = ["permuted"]


def permuted(bank: Bank, *, permutations: int = 10, seed: int = 0) -> dict[str, list[Floats]]:
    """The scores of all items with one modality of each permuted among the items that have it, by modality.

    Args:
        bank: the items.
        permutations: how often, for each modality.
        seed: draws them.
    """
    found: dict[str, list[Floats]] = {}
    for number, modality in enumerate(bank.modalities):
        rng = np.random.default_rng((seed, number))
        (there,) = np.nonzero(bank.data.present(modality))
        rows = []
        for _ in range(permutations):
            order = np.arange(len(bank))
            order[there] = there[rng.permutation(len(there))]
            rows.append(bank.scores({modality: order}))
        found[modality] = rows
    return found
