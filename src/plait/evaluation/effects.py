"""What the deletion test measures of one answer."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from plait.models.model import Model

__all__ = ["Effect", "moved", "within"]


class Effect(NamedTuple):
    """How far an item's answer moved: without the evidence at its time, and without as much elsewhere."""

    group: str
    inside: float
    elsewhere: float


def moved(model: Model, output: Tensor, whole: Tensor, asked: Tensor) -> Tensor:
    """The divergence of ``output`` from ``whole``, mean over the instants asked, [batch]."""
    batch, steps, width = output.shape
    each = model.task.divergence(output.reshape(-1, 1, width), whole.reshape(-1, 1, width)).view(batch, steps)
    return (each * asked).sum(1) / asked.sum(1).clamp(min=1)


def within(times: Tensor, start: Tensor, stop: Tensor) -> Tensor:
    """Which times lie in an interval of each item, the end left out, [batch, time]; intervals are [batch]."""
    return (times >= start[:, None]) & (times < stop[:, None])
