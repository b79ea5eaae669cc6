"""Work of sessions that may be done for many at once: what they ask for at a time becomes one batch."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias, TypeVar

import torch

from plait.examples.items import Item
from plait.models.model import Model
from plait.prediction.feature_ring import Piece
from plait.prediction.lane import Lane, fed, so_far
from plait.tasks.answers import Answer

__all__ = ["Ask", "Feed", "Steps", "alone", "together"]

T = TypeVar("T")


class Feed(NamedTuple):
    """Lanes are to read rows; what comes of it are the lanes after them."""

    model: Model
    lanes: list[Lane]
    rows: list[Mapping[str, Piece]]


class Ask(NamedTuple):
    """What a lane says now of an item, whose times are relative to the lane's start."""

    model: Model
    lane: Lane
    item: Item


Steps: TypeAlias = Generator[Feed | Ask, Any, T]
"""Something that a session does: it says what its model is to do, is sent what came of it, and returns its answers."""


def alone(steps: Steps[T]) -> T:
    """Do all that is asked for at once."""
    return together([steps])[0]


def together(several: Sequence[Steps[T]]) -> list[T]:
    """Do what several ask for, each time for all that still ask.

    Each gets what it would get alone, but for rounding (the sums of a larger batch may be taken in another order).

    Args:
        several: of sessions of their own; two steps of one session follow each other, and must not be given together.

    Raises:
        Exception: one of them has failed; the others were carried on to their ends first.
    """
    done, failed = dict[int, T](), dict[int, BaseException]()

    def go_on(i: int, move: Callable[[], Feed | Ask]) -> None:
        try:
            asked[i] = move()
        except StopIteration as end:
            done[i] = end.value
        except Exception as error:
            failed[i] = error

    asked = dict[int, Feed | Ask]()
    for i, steps in enumerate(several):
        go_on(i, steps.__next__)
    while now := asked:
        asked = {}
        try:
            found = _carried_out([*now.values()])
        except Exception as error:
            for i in now:
                go_on(i, lambda i=i, error=error: several[i].throw(error))  # type: ignore[misc]
            continue
        for i, result in zip(now, found):
            go_on(i, lambda i=i, result=result: several[i].send(result))  # type: ignore[misc]
    if failed:
        raise next(iter(failed.values()))
    return [done[i] for i in range(len(several))]


@torch.inference_mode()
def _carried_out(works: Sequence[Feed | Ask]) -> list[list[Lane] | Answer]:
    found = dict[int, list[Lane] | Answer]()
    groups = dict[tuple[type, int], list[int]]()
    for i, work in enumerate(works):
        groups.setdefault((type(work), id(work.model)), []).append(i)
    for (kind, _), places in groups.items():
        own = [works[i] for i in places]
        found |= zip(places, _fed(own) if kind is Feed else _answered(own))  # type: ignore[arg-type]
    return [found[i] for i in range(len(works))]


def _fed(works: Sequence[Feed]) -> list[list[Lane]]:
    lanes = fed(works[0].model, [x for w in works for x in w.lanes], [x for w in works for x in w.rows])
    rest = iter(lanes)
    return [[next(rest) for _ in work.lanes] for work in works]


def _answered(works: Sequence[Ask]) -> list[Answer]:
    model = works[0].model
    at = model.task.asked([work.item for work in works], known=False).at
    output = model.forward_subset(so_far(model, [work.lane for work in works]), at=at)[""]
    return model.task.decode(output, at)
