"""Pairs of objects, as questions: which pairs a scene has, and where they are seen together."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from plait.core.errors import ConfigError
from plait.examples.scenes import Scene
from plait.examples.targets import Target
from plait.streams.objects import Objects
from plait.tasks.timed import all_of, padded
from plait.tokens import Instants, Pairs

__all__ = ["MOST_PAIRS", "Pair", "asked_pairs", "boxes_of", "pairs_of", "scenes_of"]

MOST_PAIRS = 20_000
"""Most pairs of one item: those of 140 objects."""

Pair = tuple[str, str]


def scenes_of(targets: Sequence[Target]) -> list[Scene]:
    """The targets, checked to be scenes.

    Raises:
        DataError: one is of another type.
    """
    return all_of(Scene, targets, "is no scene of objects; expected `plait.examples.scenes.Scene`.")


def pairs_of(scene: Scene, *, every: bool) -> list[Pair]:
    """The pairs, subject and object, that are asked of a scene.

    Args:
        scene: its objects and relations.
        every: all ordered pairs of objects that are seen at one instant; else those annotated, where any are known.

    Raises:
        ConfigError: more than `MOST_PAIRS`.
    """
    if scene.relations is not None and not every:
        place = {name: i for i, name in enumerate(dict.fromkeys(scene.objects.ids))}
        # In the order of the objects, so that the order of the annotations changes nothing.
        return sorted({(r.subject, r.object) for r in scene.relations}, key=lambda pair: [place[name] for name in pair])
    together = _together(scene.objects)
    if sum(len(own) * (len(own) - 1) for own in together) > MOST_PAIRS * max(len(together), 1):
        most = max(map(len, together))
        raise ConfigError(f"relate: {most} objects at one instant have more than {MOST_PAIRS:,} pairs. Leave some out.")
    return list(dict.fromkeys(pair for own in together for pair in permutations(own, 2)))


def _together(objects: Objects) -> list[list[str]]:
    """The ids seen at each instant."""
    found: dict[float, list[str]] = {}
    for time, name in zip(objects.times.tolist(), objects.ids):
        found.setdefault(time, []).append(name)
    return list(found.values())


def asked_pairs(scenes: Sequence[Scene], pairs: Sequence[Sequence[Pair]]) -> Instants:
    """The questions of a batch: a step per pair; its time is when the pair is first seen."""
    tables = [_rows_of(scene.objects, own) for scene, own in zip(scenes, pairs)]
    objects = [dict(zip(scene.objects.ids, scene.objects.classes)) for scene in scenes]
    number = [{name: i for i, name in enumerate(own)} for own in objects]
    which = [[(own[a], own[b]) for a, b in wanted] for own, wanted in zip(number, pairs)]
    times = [[float(s.objects.times[t[0, 0]]) if t[0, 0] >= 0 else 0.0 for t in own] for s, own in zip(scenes, tables)]
    mask = np.arange(max([1, *map(len, pairs)])) < np.array([len(own) for own in pairs], np.int64)[:, None]
    shown = Pairs(
        torch.arange(mask.shape[1]).expand(mask.shape),
        tuple(tuple(own.items()) for own in objects),
        _tensor([np.array(w, np.int64).reshape(-1, 2) for w in which], -1),
        _tensor([s.objects.times.astype(np.float32) for s in scenes], 0),
        _tensor([np.concatenate([s.objects.boxes, s.objects.sizes], 1).astype(np.float32) for s in scenes], 0),
        _tensor(_same_length(tables), -1),
    )
    return Instants(_tensor([np.array(t, np.float32) for t in times], 0), torch.from_numpy(mask), pairs=shown)


def _rows_of(objects: Objects, pairs: Sequence[Pair]) -> list[NDArray[np.int64]]:
    """Of each pair the rows that show both at once, [times, 2]; one row of -1 if there is none."""
    seen: dict[str, dict[float, int]] = {}
    for row, (time, name) in enumerate(zip(objects.times.tolist(), objects.ids)):
        seen.setdefault(name, {})[time] = row
    found = []
    for subject, other in pairs:
        one, two = seen.get(subject, {}), seen.get(other, {})
        rows = [(row, two[time]) for time, row in one.items() if time in two] or [(-1, -1)]
        found.append(np.array(rows, np.int64))
    return found


def _same_length(tables: Sequence[Sequence[NDArray[np.int64]]]) -> list[NDArray[np.int64]]:
    """Tables of pairs [pairs, times, 2], all with the same number of times."""
    longest = max([1, *(len(rows) for own in tables for rows in own)])
    found = []
    for own in tables:
        whole = np.full((len(own), longest, 2), -1, np.int64)
        for place, rows in zip(whole, own):
            place[: len(rows)] = rows
        found.append(whole)
    return found


def _tensor(rows: Sequence[NDArray[np.generic]], fill: float) -> Tensor:
    kind = rows[0].dtype.type if rows else np.float32
    return torch.from_numpy(padded(rows, fill, kind, least=1))


def boxes_of(at: Instants) -> list[dict[int, tuple[float, ...]]]:
    """By item and number of an object: its box in pixels, where it is first seen in a pair."""
    if at.pairs is None:
        return []
    rows, which = at.pairs.rows[:, :, 0].cpu().numpy(), at.pairs.which.cpu().numpy()
    boxes = at.pairs.boxes.cpu().numpy().astype(np.float64)[..., :4]
    found: list[dict[int, tuple[float, ...]]] = []
    for own, pairs, box in zip(rows, which, boxes):
        there = zip(own.reshape(-1).tolist(), pairs.reshape(-1).tolist())
        found.append({name: tuple(box[row].tolist()) for row, name in there if row >= 0})
    return found
