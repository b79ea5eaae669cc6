"""Warnings in words while a model is trained: a modality learns nothing, is memorised, or starves the rest.

All are drawn from the log alone (its numbers: `plait.training.monitor`), so a resumed run gives the same ones. Each
must hold in several epochs, one after another, and rests on intervals over groups: with few groups nothing is told.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from typing_extensions import TypedDict

__all__ = ["Alarm", "alarms_of"]

Log = Mapping[str, Sequence[float]]
Flags = NDArray[np.bool_]
Kind = Literal["learns nothing", "is memorised", "starves the rest"]

SMALL = 0.2
"""Cohen's d of a small effect (Cohen 1988): what is surely less counts as nothing, what is surely more as something. A
head that names two equally frequent classes with 60 % right is at about this."""

FEWEST, SHARE = 3, 0.1
"""For how many epochs a state must last: this many, and at least this share of all."""


class Alarm(TypedDict):
    """A warning: of which ``kind``, about which ``modality``, from which epoch on (the first is 1), and in words."""

    kind: Kind
    modality: str
    epoch: int
    text: str


def alarms_of(log: Log, modalities: Sequence[str], *, epochs: int) -> list[Alarm]:
    """The warnings of the epochs so far, in their order.

    Args:
        log: columns by name, each with a number per epoch.
        modalities: the model's.
        epochs: how many are planned. That nothing is learnt, or something left unused, is only said from half of them
            on: before, it may be yet to come.

    >>> column = {"learnt_low.a": [-0.1] * 4, "learnt_high.a": [0.1] * 4, "valid_loss.a": [1.4] * 4}
    >>> [(one["kind"], one["modality"], one["epoch"]) for one in alarms_of(column, ["a"], epochs=4)]
    [('learns nothing', 'a', 3)]
    """
    held = max(FEWEST, round(SHARE * epochs))
    half = -(-epochs // 2)
    found = []
    for m in modalities:
        memorised = _first(_memorised(log, m), held, held)
        nothing = _first(_ignorant(log, m) & ~_memorised(log, m), held, half)
        if memorised:
            found.append(_alarm("is memorised", m, memorised, _of_memorised(log, m, memorised - 1)))
            continue  # one cause is told once: what is learnt by heart also leads the fused answer
        if nothing:
            found.append(_alarm("learns nothing", m, nothing, _of_nothing(nothing)))
        starved = {o: _first(_starves(log, m, o, modalities), held, half) for o in modalities if o != m}
        if since := min((epoch for epoch in starved.values() if epoch), default=0):
            others = [o for o, epoch in starved.items() if epoch == since]
            found.append(_alarm("starves the rest", m, since, _of_starving(log, m, others, modalities, since - 1)))
    return sorted(found, key=lambda one: one["epoch"])


def _alarm(kind: Kind, modality: str, epoch: int, text: str) -> Alarm:
    return {"kind": kind, "modality": modality, "epoch": epoch, "text": f"{modality} {kind}: {text}"}


def _first(state: Flags, held: int, earliest: int) -> int:
    """The first epoch, from ``earliest`` on, at which a state has lasted for ``held`` epochs; 0: none.

    >>> _first(np.array([False, True, True, True, True]), 3, 5), _first(np.array([True, False, True]), 2, 1)
    (5, 0)
    """
    run = 0
    for epoch, on in enumerate(state.tolist(), 1):
        run = run + 1 if on else 0
        if run >= held and epoch >= earliest:
            return epoch
    return 0


def _column(log: Log, name: str, modality: str) -> NDArray[np.float64]:
    """A column; NaN, with which every comparison fails, where the log lacks it."""
    own = log.get(f"{name}.{modality}")
    return np.full(max(map(len, log.values()), default=0), np.nan) if own is None else np.asarray(own, np.float64)


def _ignorant(log: Log, modality: str) -> Flags:
    """On validation its answers know at most a little, by the upper end."""
    return _column(log, "learnt_high", modality) < SMALL


def _memorised(log: Log, modality: str) -> Flags:
    """Training items are fitted, validation items worse than by a constant answer, and these are not told apart."""
    unknowing = (_column(log, "learnt_low", modality) <= 0) | _ignorant(log, modality)
    fitted, excess = _column(log, "fitted_low", modality) > SMALL, _column(log, "excess_low", modality) > 0
    return unknowing & fitted & excess


def _starves(log: Log, modality: str, other: str, modalities: Sequence[str]) -> Flags:
    """The fused answer leans on one more than on all others, and another knows what the fused answer does not say."""
    learnt, unused = (_column(log, name, other) > SMALL for name in ("learnt_low", "unused_low"))
    return (_leaning(log, modality, modalities) > 0.5) & learnt & unused


def _leaning(log: Log, modality: str, modalities: Sequence[str]) -> NDArray[np.float64]:
    total = np.sum([_column(log, "lean", m) for m in modalities], axis=0)
    return _column(log, "lean", modality) / np.where(total > 0, total, np.nan)


def _of_nothing(epoch: int) -> str:
    return (
        f"after {epoch} epochs its own answers fit the validation items no better than those of other items would. "
        "Look at the stream, its clock and its feature, or leave it out."
    )


def _of_memorised(log: Log, modality: str, at: int) -> str:
    fitted, valid = (float(_column(log, name, modality)[at]) for name in ("train_loss", "valid_loss"))
    return (
        f"its own loss is {fitted:.3g} on training items, below that of a constant answer, but {valid:.3g} on "
        "validation, above it, and there it tells no items apart. Give it fewer features or more augmentation, or "
        "leave it out."
    )


def _of_starving(log: Log, modality: str, others: Sequence[str], modalities: Sequence[str], at: int) -> str:
    share = float(_leaning(log, modality, modalities)[at])
    return (
        f"the fused answer leans on it with {100 * share:.0f} %, and leaves unused what {' and '.join(others)} "
        "knows. Try more augment.modality_dropout, or train.ogm_ge."
    )
