"""Damage to raw signals: every noise of `plait.transforms.noise` that fits each stream, at its own levels."""

from __future__ import annotations

from typing import NamedTuple

from plait.core.parts import parts
from plait.evaluation.examined import Examined
from plait.examples.data import Swapped
from plait.examples.units.around import base_of
from plait.training.noisy import NoisyFeatures
from plait.transforms.noise import Noise

__all__ = ["SEED", "Point", "Refused", "fitting", "points_of", "source_of"]

SEED = 0
"""Of all noise that a model is tested with; copies for training have seeds from 1000 on."""


class Point(NamedTuple):
    """One level of one noise on the raw stream of a modality."""

    modality: str
    kind: str
    level: float


class Refused(NamedTuple):
    """A noise that could not be made, and why."""

    modality: str
    kind: str
    reason: str


def fitting(one: Examined) -> dict[str, list[str]]:
    """The noises that can be added to each modality's stream, by its kind; a modality whose stream no test item has,
    and one that is the context of another, have none."""
    found: dict[str, list[str]] = {}
    recordings = dict.fromkeys(item.recording for item in one.items)
    for modality in one.modalities:
        name, corpus = one.experiment.streams[modality], one.experiment.corpus
        first = next((r for r in recordings if name in corpus.entry(r).streams), None)
        if first is None or base_of(modality) != modality:
            continue
        kind = corpus[first].streams[name].kind
        found[modality] = [n for n, cls in parts(Noise).items() if kind in cls.kinds and cls.levels]
    return found


def points_of(one: Examined) -> list[Point]:
    """All points that are asked for, in order."""
    kinds = parts(Noise)
    return [Point(m, k, x) for m, own in fitting(one).items() for k in own for x in kinds[k].levels]


def source_of(one: Examined, point: Point) -> Swapped:
    """The features of the test items with the noise of a point; made on demand, and kept in the store.

    Interferers are other test recordings. Level, interferers and noise follow from the point, `SEED` and the
    recording's id: they are the same for every seed of the model, and can be made again.
    """
    pool = tuple(dict.fromkeys(item.recording for item in one.items))
    levels = (point.level, point.level)
    noisy = NoisyFeatures(one.experiment, one.store, point.modality, point.kind, levels, pool, seed=SEED)
    return Swapped(one.features, point.modality, noisy)
