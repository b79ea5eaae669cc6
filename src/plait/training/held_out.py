"""Hold out groups of the training part for calibration, if there is no validation part."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from plait.examples.items import Fold
from plait.examples.splits import homes

__all__ = ["can_hold_out", "hold_out", "parts_of"]

PARTS = 4
"""One of this many parts is held out."""


def can_hold_out(fold: Fold) -> bool:
    """Whether the training part has two groups or more, so that one can be held out."""
    return len({item.group for item in fold.train}) > 1


def hold_out(fold: Fold, *, classes: bool, part: int = 0) -> Fold:
    """The fold with about a quarter of its training part, whole groups, to validate on, and nothing to test.

    Args:
        fold: a fold with two training groups or more.
        classes: whether targets are classes. If so, held-out items of a class that no remaining group has are left
            out: a model cannot name a class that it has never seen.
        part: which quarter.
    """
    count = Counter(item.group for item in fold.train)
    # By size and hash, without a seed: all replicates of a fold share one held-out model.
    home = homes(count, parts_of(fold), "held out")
    train = [item for item in fold.train if home[item.group] != part]
    known = {item.target for item in train}
    spared = [replace(item, split="valid") for item in fold.train if home[item.group] == part]
    return Fold(train, [item for item in spared if not classes or item.target in known], [], fold.name)


def parts_of(fold: Fold) -> int:
    """How many parts of a fold can be held out, one at a time."""
    return min(PARTS, len({item.group for item in fold.train}))
