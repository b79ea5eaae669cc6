"""Whether an answer depends on what was recorded at its own time: the deletion test.

A model that names a word or an event with its time claims that the evidence is there. For one answer of each item, the
observations within its time are removed from all streams, and in a second pass as many seconds elsewhere. Both times it
is measured how far the output within the answer's time moves (`plait.tasks.Task.divergence`); where there is one answer
per item, of which parts have times, how far that moves. Streams that stand at one instant of an item, such as a text
about all of it, stay. Deletion is the usual
check of an explanation (Samek et al. 2017, "Evaluating the visualization of what a deep neural network has learned",
IEEE TNNLS 28(11)); of a text whose words were read from places, it is measured how far the word itself moves
(`plait.tasks.Task.part_moved`). Here the explanation is the answer's own time, and the control has the same length.

A relation names two objects instead: what was observed of both is removed, and in a second pass what was observed of
two others. Where their boxes are stays told, as it is part of the question.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from plait.evaluation.effects import Effect
from plait.evaluation.evidence import pair_effects
from plait.evaluation.intervals import Units
from plait.evaluation.rows import ratio_of_means
from plait.evaluation.schema import Deletion
from plait.examples.data import Batch, ItemData, loader
from plait.models.model import Model
from plait.tasks.retrieve import Retrieve
from plait.tokens import Tokens

__all__ = ["Effect", "deletion_of", "effects_of"]


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
        if isinstance(model.task, Retrieve):
            return pair_effects(model, data, rng)
        for batch in loader(data, {m: model.dims[m] for m in data.modalities}, batch=64):
            if batch.at is not None and batch.at.pairs is not None:
                found += _of_pairs(model, batch, data, rng)
                continue
            whole = model(batch.inputs, batch.at)[""]
            lengths = [data.items[int(i)].stop - data.items[int(i)].start for i in batch.items]
            answers = [answer.timed for answer in model.task.decode(whole, batch.at)]
            if batch.at is None and not any(answers):
                return []
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


def _of_pairs(model: Model, batch: Batch, data: ItemData, rng: np.random.Generator) -> list[Effect]:
    """For a pair of each item that has another one without its objects: the effect of both on the answer."""
    at = batch.at
    if at is None or at.pairs is None:
        return []
    which, asked = at.pairs.which.numpy(), at.mask.numpy()
    chosen = [_two_pairs(rng, own[: int(there.sum())]) for own, there in zip(which, asked)]
    whole = model(batch.inputs, at)[""]
    own = torch.tensor([0 if two is None else two[0] for two in chosen])
    step = torch.arange(at.mask.shape[1]) == own[:, None]
    moved = []
    for k in (0, 1):
        pair = torch.tensor([0 if two is None else two[k] for two in chosen])
        gone = at.pairs.rows[torch.arange(len(pair)), pair].flatten(1)
        left = {m: _without_rows(t, gone) for m, t in batch.inputs.items()}
        moved.append(_moved(model, model(left, at)[""], whole, step))
    return [
        Effect(data.items[int(i)].group, float(a), float(b))
        for i, a, b, two in zip(batch.items, *moved, chosen)
        if two is not None
    ]


def _two_pairs(rng: np.random.Generator, which: NDArray[np.int64]) -> tuple[int, int] | None:
    """Two pairs at random without an object in common; None if there are none.

    >>> _two_pairs(np.random.default_rng(0), np.array([[0, 1], [1, 2], [2, 3]])) in ((0, 2), (2, 0))
    True
    """
    if len(which) < 2:
        return None
    apart = (which[:, None, :, None] != which[None, :, None, :]).all((2, 3))
    found = np.argwhere(apart)
    return None if not len(found) else tuple(found[rng.integers(len(found))].tolist())


def _without_rows(tokens: Tokens, rows: Tensor) -> Tokens:
    """Without the tokens of some rows, [batch, wanted]; -1: none."""
    size = tokens.mask.shape[1]
    place = torch.where((rows >= 0) & (rows < size), rows, size)
    gone = torch.zeros(len(rows), size + 1, dtype=torch.bool).scatter(1, place, True)[:, :size]
    return tokens._replace(mask=tokens.mask & ~gone)


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
    if tokens.mask.shape[1] == 0:
        return tokens
    far = torch.finfo(tokens.times.dtype).max
    last = torch.where(tokens.mask, tokens.times, -far).amax(1, keepdim=True)
    first = torch.where(tokens.mask, tokens.times, far).amin(1, keepdim=True)
    return tokens._replace(mask=tokens.mask & ~(_within(tokens.times, start, stop) & (last > first)))


def _moved(model: Model, output: Tensor, whole: Tensor, asked: Tensor | None) -> Tensor:
    """The divergence of ``output`` from ``whole``, mean over the instants asked, [batch]; None: of the one answer."""
    if asked is None:
        return model.task.divergence(output, whole)
    batch, steps, width = output.shape
    each = model.task.divergence(output.reshape(-1, 1, width), whole.reshape(-1, 1, width)).view(batch, steps)
    return (each * asked).sum(1) / asked.sum(1).clamp(min=1)
