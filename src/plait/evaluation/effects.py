"""What the deletion test measures of one answer."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Effect"]


class Effect(NamedTuple):
    """How far an item's answer moved: without the evidence at its time, and without as much elsewhere."""

    group: str
    inside: float
    elsewhere: float
