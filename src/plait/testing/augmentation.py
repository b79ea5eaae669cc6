"""The laws of augmentations."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from plait.augmentations import Augmentation, Setting
from plait.testing.inputs import difference, poisoned, sample, seeded
from plait.testing.laws import require
from plait.tokens import Tokens

__all__ = ["check_augmentation"]

DIM = 6
"""Columns: two points in 3-D, for augmentations that rotate points."""


def check_augmentation(cls: type[Augmentation], **options: object) -> None:
    """Check the laws of an augmentation, on a batch with gaps, padding and an empty item.

    Shape (the same modalities, items and columns come out; finite; no item appears or is lost); masks (values under a
    False mask change nothing, NaN included); inputs (the given batch is not changed); draws (only torch's own
    generator decides; another seed gives another batch).

    Args:
        cls: the class, constructed as ``cls(**options)``.
        options: its options, chosen so that it changes something.

    Raises:
        LawBroken: which law, and how.

    >>> from plait.augmentations.random_gain import RandomGain
    >>> check_augmentation(RandomGain, share=0.5)
    """
    made = cls(**options)
    names = ["fast", "slow"] if cls.shared else ["fast"]
    batch = {m: sample(DIM, time=n, rate=n) for m, n in zip(names, (20, 7))}
    kept = {m: Tokens(*(x.clone() for x in t)) for m, t in batch.items()}
    for regular in ([], names):  # on a grid or not
        setting = Setting(regular, lambda m: torch.ones(DIM))
        out = _drawn(made, batch, setting, 1)
        alike = all(torch.equal(a, b) for m in batch for a, b in zip(batch[m], kept[m]))
        require(alike, cls, "inputs", "it changes the given batch")
        _check_shape(cls, batch, out)
        gap = _apart(out, _drawn(made, {m: poisoned(t, float("nan")) for m, t in batch.items()}, setting, 1))
        require(not gap, cls, "masks", f"with NaN where there is no observation, {gap}")
        gap = _apart(out, _drawn(cls(**options), batch, setting, 1))
        require(not gap, cls, "draws", f"drawn again with torch's seed, {gap}")
        # Three seeds: one alone may by chance draw "leave it as it is".
        varied = any(_apart(out, _drawn(made, batch, setting, seed)) for seed in (2, 3, 4))
        require(varied, cls, "draws", "with other seeds the batch is the same")


def _drawn(made: Augmentation, batch: Mapping[str, Tokens], setting: Setting, seed: int) -> dict[str, Tokens]:
    with seeded(seed):
        return dict(made(dict(batch), setting))


def _apart(a: Mapping[str, Tokens], b: Mapping[str, Tokens]) -> str:
    return next((f"{m}: {gap}" for m in a if (gap := difference(a[m], b[m]))), "")


def _check_shape(cls: type, batch: Mapping[str, Tokens], out: Mapping[str, Tokens]) -> None:
    require(set(out) == set(batch), cls, "shape", f"modalities {sorted(out)}; expected {sorted(batch)}")
    for m, tokens in out.items():
        values, times, mask = tokens
        size = (*mask.shape, DIM)
        right = tuple(values.shape) == size and times.shape == mask.shape and len(mask) == len(batch[m].mask)
        require(right, cls, "shape", f"{m}: values {tuple(values.shape)}, mask {tuple(mask.shape)}")
        require(not difference(tokens, tokens), cls, "shape", f"{m}: {difference(tokens, tokens)}")
        present = bool(torch.equal(tokens.present, batch[m].present))
        require(present, cls, "shape", f"{m}: an item appears or is lost")
