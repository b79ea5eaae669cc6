"""Groups of the training part that are held out once, where there is no validation part to calibrate by."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from plait.examples.items import Fold
from plait.examples.splits import homes

__all__ = ["can_hold_out", "hold_out"]

PARTS = 4
"""One part in so many is held out."""


def can_hold_out(fold: Fold) -> bool:
    """Whether the training part has two groups or more, so that one can be spared."""
    return len({item.group for item in fold.train}) > 1


def hold_out(fold: Fold, *, classes: bool) -> Fold:
    """The fold with about a quarter of its training part, whole groups, to validate on, and nothing to test.

    Args:
        fold: it has two training groups or more.
        classes: whether targets are classes; then items of classes that only the held-out groups have are left out,
            for a model that has never seen a class cannot name it.
    """
    count = Counter(item.group for item in fold.train)
    home = homes(count, min(PARTS, len(count)), "held out")
    train = [item for item in fold.train if home[item.group]]
    known = {item.target for item in train}
    spared = [replace(item, split="valid") for item in fold.train if not home[item.group]]
    return Fold(train, [item for item in spared if not classes or item.target in known], [], fold.name)
