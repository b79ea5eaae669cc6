"""How answers change if a stream is that of another recording: of the same class or person, of both, or of neither.

Such an intervention (do, in the sense of Pearl 2009, "Causality", section 3.2) is on the input of a fixed model, so it
speaks of causes within the model, and not of the world. Swaps between matched recordings keep apart what a stream tells
of the class and what of the person. A swapped item may be unlike anything that was recorded; how far off it is is told
by a two-sample score: how well the nearest neighbour tells swapped items from real ones (Lopez-Paz & Oquab 2017,
"Revisiting classifier two-sample tests", ICLR; with 1-NN as there). .5: not at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from plait.core.errors import DataError
from plait.evaluation.contribution.bank import Bank
from plait.evaluation.intervals import Floats, mean_interval
from plait.evaluation.rows import row_of
from plait.evaluation.schema import SwapRow
from plait.tokens import masked_mean_max

__all__ = ["CONDITIONS", "Swap", "donors", "swap_rows", "swappable", "swaps_of", "two_sample"]

Index = NDArray[np.intp]

CONDITIONS = {
    "same class, same group": (True, True),
    "same class, other group": (True, False),
    "other class, same group": (False, True),
    "other class, other group": (False, False),
}
"""Whether the recording that gives its stream has the same class and the same group."""


class Swap(NamedTuple):
    """Attributes:
    modality: the stream that was swapped.
    condition: of `CONDITIONS`.
    changed: whether the model then names another class, of the items for which there was such a recording.
    groups: of these items.
    two_sample: score of the swapped items against the real ones.
    """

    modality: str
    condition: str
    changed: NDArray[np.bool_]
    groups: NDArray[np.str_]
    two_sample: float


def donors(
    target: NDArray[np.generic],
    groups: NDArray[np.str_],
    there: NDArray[np.bool_],
    *,
    same_class: bool,
    same_group: bool,
    rng: np.random.Generator,
) -> Index:
    """For each item another one with the stream that meets the condition, at random; -1 where there is none.

    Args:
        target: classes, [items].
        groups: [items].
        there: which items have the stream, [items].
        same_class, same_group: the condition.
        rng: draws.
    """
    found = np.full(len(target), -1, np.intp)
    for i in np.flatnonzero(there):
        fits = there & ((target == target[i]) == same_class) & ((groups == groups[i]) == same_group)
        fits[i] = False
        (own,) = np.nonzero(fits)
        if len(own):
            found[i] = own[rng.integers(len(own))]
    return found


def two_sample(real: Floats, other: Floats) -> float:
    """How well the nearest neighbour tells rows of one kind from those of the other, leaving each row out; .5: not.

    Both kinds are drawn as often.

    Args:
        real, other: [rows, columns].

    >>> rng = np.random.default_rng(0)
    >>> bool(two_sample(rng.normal(size=(50, 2)), rng.normal(9, 1, (50, 2))) > 0.99)
    True
    """
    count = min(len(real), len(other))
    if count < 2:
        return 0.5
    rows = np.concatenate([real[:count], other[:count]])
    scaled = (rows - rows.mean(0)) / np.maximum(rows.std(0), 1e-9)
    square = np.square(scaled).sum(1)
    apart = square[:, None] + square - 2 * scaled @ scaled.T
    np.fill_diagonal(apart, np.inf)
    kind = np.arange(2 * count) < count
    return float((kind[apart.argmin(1)] == kind).mean())


def swappable(bank: Bank) -> bool:
    """Whether items have one class each."""
    return bank.at is None and bank.data.targets.ndim == 1 and "classes" in bank.model.task.state()


def swaps_of(bank: Bank, target: NDArray[np.generic], *, seed: int = 0) -> list[Swap]:
    """Every stream swapped under every condition for which ten items or more have a recording that meets it.

    Args:
        bank: the items of a task with one class per item.
        target: their classes, [items].
        seed: draws the recordings.

    Raises:
        DataError: answers over time, or no classes.
    """
    if not swappable(bank) or np.ndim(target) != 1:
        raise DataError("streams are swapped between items that have one class each.")
    groups = np.array([item.group for item in bank.data.items])
    plain = torch.cat([*bank.outputs({})]).argmax(1).numpy()
    means = {m: masked_mean_max(t).numpy() for m, t in bank.encoded.items()}
    found = []
    for number, modality in enumerate(bank.modalities):
        there = bank.data.present(modality)
        for k, (condition, (same_class, same_group)) in enumerate(CONDITIONS.items()):
            rng = np.random.default_rng((seed, number, k))
            source = donors(target, groups, there, same_class=same_class, same_group=same_group, rng=rng)
            (items,) = np.nonzero(source >= 0)
            if len(items) >= FEWEST:
                said = _named(bank, modality, items, source[items])
                off = _off(means, modality, items, source[items])
                found.append(Swap(modality, condition, said != plain[items], groups[items], off))
    return found


def swap_rows(swaps: Sequence[Swap]) -> list[SwapRow]:
    """A row for each modality and condition, of all replicates together, with intervals over groups."""
    found: list[SwapRow] = []
    for modality, condition in dict.fromkeys((s.modality, s.condition) for s in swaps):
        own = [s for s in swaps if (s.modality, s.condition) == (modality, condition)]
        changed = np.concatenate([s.changed for s in own]).astype(np.float64)
        span = mean_interval(changed, np.concatenate([s.groups for s in own]), bounds=(0.0, 1.0))
        found.append(
            {
                "modality": modality,
                "condition": condition,
                "items": len(changed),
                "changed": float(changed.mean()),
                "interval": row_of(span),
                "two_sample": float(np.mean([s.two_sample for s in own])),
            }
        )
    return found


FEWEST = 10
"""Items without which a share says nothing."""


def _named(bank: Bank, modality: str, items: Index, source: Index) -> NDArray[np.int64]:
    own: dict[str, Index] = dict.fromkeys(bank.modalities, items)
    outputs: Tensor = torch.cat([*bank.outputs({**own, modality: source}, items)])
    named: NDArray[np.int64] = outputs.argmax(1).numpy()
    return named


def _off(means: dict[str, Floats], modality: str, items: Index, source: Index) -> float:
    """The two-sample score of swapped items, by the means and maxima of the encoded tokens."""
    others = [m for m in means if m != modality]
    half = np.arange(len(items)) % 2 == 0
    # Of different items, so that no row of one kind is the near copy of a row of the other.
    real = np.concatenate([means[m][items[half]] for m in (*others, modality)], 1)
    swapped = [means[m][items[~half]] for m in others]
    return two_sample(real.astype(float), np.concatenate([*swapped, means[modality][source[~half]]], 1).astype(float))
