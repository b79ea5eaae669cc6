"""Whether an answer depends on what was recorded at its own time (see `plait.evaluation.deletion`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from plait.evaluation.effects import Effect, moved, within
from plait.examples.data import Batch, ItemData, loader
from plait.models.model import Model
from plait.tasks.answers import Timed
from plait.tokens import Tokens

__all__ = ["time_effects"]


class _Places(NamedTuple):
    """Of each item [batch]: start and stop of the answer, start of the other part, whether there are both, and which
    part of its answers it is."""

    start: Tensor
    stop: Tensor
    other: Tensor
    found: Tensor
    which: Tensor


def time_effects(model: Model, data: ItemData, rng: np.random.Generator) -> list[Effect]:
    """One effect per item that has an answer with a time, and room beside it for another part of that length."""
    found: list[Effect] = []
    for batch in loader(data, {m: model.dims[m] for m in data.modalities}, batch=64):
        whole = model(batch.inputs, batch.at)[""]
        answers = [answer.timed for answer in model.task.decode(whole, batch.at)]
        if batch.at is None and not any(answers):
            return []  # answers of such a task have no times
        found += _of_batch(model, batch, whole, answers, data, rng)
    return found


def _of_batch(
    model: Model,
    batch: Batch,
    whole: Tensor,
    answers: Sequence[Sequence[Timed]],
    data: ItemData,
    rng: np.random.Generator,
) -> list[Effect]:
    lengths = [data.items[int(i)].stop - data.items[int(i)].start for i in batch.items]
    places = _places(rng, [[(a, b) for a, b, *_ in own] for own in answers], lengths)
    long = places.stop - places.start
    asked = None if batch.at is None else batch.at.mask & within(batch.at.times, places.start, places.stop)
    found = []
    for start in (places.start, places.other):
        left = {m: _removed(t, start, start + long) for m, t in batch.inputs.items()}
        out = model(left, batch.at)[""]
        of_part = model.task.part_moved(out, whole, places.which) if asked is None else moved(model, out, whole, asked)
        found.append(of_part)
    # An answer between two instants of the clock has no output of its own to move.
    told = places.found if asked is None else places.found & asked.any(1)
    return [
        Effect(data.items[int(i)].group, float(a), float(b)) for i, a, b, ok in zip(batch.items, *found, told) if ok
    ]


def _places(
    rng: np.random.Generator, answers: Sequence[Sequence[tuple[float, float]]], lengths: Sequence[float]
) -> _Places:
    """For each item an answer at random, and a part of the same length that does not overlap it."""
    rows = []
    for spans, seconds in zip(answers, lengths):
        which = int(rng.integers(len(spans))) if spans else 0
        start, stop = spans[which] if spans else (0.0, 0.0)
        before, after = start, seconds - stop
        # Where the other part may begin: before the answer, or after it.
        rooms = np.maximum([before - (stop - start), after - (stop - start)], 0.0)
        where = rng.random() * rooms.sum()
        other = where if where < rooms[0] else stop + where - rooms[0]
        rows.append((start, stop, other, stop > start and rooms.sum() > 0, which))
    table = torch.tensor(rows, dtype=torch.float32)
    return _Places(table[:, 0], table[:, 1], table[:, 2], table[:, 3] > 0, table[:, 4].long())


def _removed(tokens: Tokens, start: Tensor, stop: Tensor) -> Tokens:
    if tokens.mask.shape[1] == 0:
        return tokens
    far = torch.finfo(tokens.times.dtype).max
    last = torch.where(tokens.mask, tokens.times, -far).amax(1, keepdim=True)
    first = torch.where(tokens.mask, tokens.times, far).amin(1, keepdim=True)
    return tokens._replace(mask=tokens.mask & ~(within(tokens.times, start, stop) & (last > first)))
