"""Whether an answer depends on what was recorded at its own time: the deletion test.

A model that names a word or an event with its time claims that the evidence is there. For one answer of each item, the
observations within its time are removed from all streams, and in a second pass as many seconds elsewhere. Both times it
is measured how far the output within the answer's time moves (`plait.tasks.Task.divergence`). Deletion is the usual
check of an explanation (Samek et al. 2017, "Evaluating the visualization of what a deep neural network has learned",
IEEE TNNLS 28(11)); of a text whose words were read from places, it is measured how far the word itself moves
(`plait.tasks.Task.part_moved`). Here the explanation is the answer's own time, and the control has the same length.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from plait.evaluation.intervals import Units
from plait.evaluation.rows import ratio_of_means
from plait.evaluation.schema import Deletion
from plait.examples.data import ItemData, loader
from plait.models.model import Model
from plait.tokens import Tokens

__all__ = ["Effect", "deletion_of", "effects_of"]


class Effect(NamedTuple):
    """How far an item's answer moved: without the evidence at its time, and without as much elsewhere."""

    group: str
    inside: float
    elsewhere: float


class _Places(NamedTuple):
    """Of each item [batch]: start and stop of the answer, start of the other part, whether there are both, and which
    part of its answers it is."""

    start: Tensor
    stop: Tensor
    other: Tensor
    found: Tensor
    which: Tensor


def effects_of(model: Model, data: ItemData, *, seed: int = 0) -> list[Effect]:
    """One effect per item that has an answer with a time, and room beside it for another part of that length.

    Args:
        model: of a task whose answers have times.
        data: the items.
        seed: draws the answer of each item, and the other part.
    """
    model.eval()
    rng, found = np.random.default_rng(seed), []
    with torch.inference_mode():
        for batch in loader(data, {m: model.dims[m] for m in data.modalities}, batch=64):
            if batch.at is None and not model.task.gathers:
                return []
            whole = model(batch.inputs, batch.at)[""]
            lengths = [data.items[int(i)].stop - data.items[int(i)].start for i in batch.items]
            answers = [answer.timed for answer in model.task.decode(whole, batch.at)]
            places = _places(rng, [[(a, b) for a, b, *_ in own] for own in answers], lengths)
            long = places.stop - places.start
            asked = None if batch.at is None else batch.at.mask & _within(batch.at.times, places.start, places.stop)
            moved = []
            for start in (places.start, places.other):
                left = {m: _removed(t, start, start + long) for m, t in batch.inputs.items()}
                out = model(left, batch.at)[""]
                moved.append(
                    model.task.part_moved(out, whole, places.which)
                    if asked is None
                    else _moved(model, out, whole, asked)
                )
            # An answer between two instants of the clock has no output of its own to move.
            told = places.found if asked is None else places.found & asked.any(1)
            found += [
                Effect(data.items[int(i)].group, float(a), float(b))
                for i, a, b, ok in zip(batch.items, *moved, told)
                if ok
            ]
    return found


def deletion_of(effects: Sequence[Effect]) -> Deletion | None:
    """The effects as the evaluation has them; None if there are none.

    >>> found = deletion_of([Effect(g, 0.4, 0.1) for g in "abcde"])
    >>> found and round(found["ratio"], 6)
    4.0
    """
    if not effects:
        return None
    both = np.array([(e.inside, e.elsewhere) for e in effects])
    inside, elsewhere = both.mean(0).tolist()
    ratio = ratio_of_means(both[:, 0], both[:, 1], Units.of([e.group for e in effects]))
    return {"answers": len(effects), "inside": inside, "elsewhere": elsewhere, **ratio}


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


def _within(times: Tensor, start: Tensor, stop: Tensor) -> Tensor:
    return (times >= start[:, None]) & (times < stop[:, None])


def _removed(tokens: Tokens, start: Tensor, stop: Tensor) -> Tokens:
    return tokens._replace(mask=tokens.mask & ~_within(tokens.times, start, stop))


def _moved(model: Model, output: Tensor, whole: Tensor, asked: Tensor) -> Tensor:
    """The divergence of ``output`` from ``whole``, mean over the instants asked, [batch]."""
    batch, steps, width = output.shape
    each = model.task.divergence(output.reshape(-1, 1, width), whole.reshape(-1, 1, width)).view(batch, steps)
    return (each * asked).sum(1) / asked.sum(1).clamp(min=1)
