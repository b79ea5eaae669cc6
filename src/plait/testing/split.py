"""The law of splits: an item is on one side, a group is on one side, and only the data decide on which."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from copy import copy

from plait.corpus.corpus import Corpus
from plait.examples.items import Item
from plait.examples.splits import Fold, find_split, split_items
from plait.testing.laws import require

__all__ = ["check_split"]


def check_split(items: Sequence[Item], corpus: Corpus, spec: Mapping[str, object]) -> list[Fold]:
    """Check the law of splits on the items of a corpus.

    Every item is on one side of a fold at most, and its ``split`` names that side. No group is on two sides, unless the
    spec allows it. Items on no side are counted. Dividing again gives the same folds, in any order of the recordings.

    Args:
        items: of the corpus (see `plait.examples.items.find_items`).
        corpus: with groups, labels and meta fields of any kind.
        spec: as a recipe's ``split``.

    Returns:
        The folds.

    Raises:
        LawBroken: the message says what differs.
        ConfigError, DataError: the corpus cannot be divided this way.
    """
    cls = find_split(spec)
    folds = split_items(list(items), corpus, spec)
    for fold in folds:
        _check_fold(fold, items, cls, allowed=bool(spec.get("subject_dependent")))
    again = split_items(list(items), corpus, spec)
    require(again == folds, cls, "splits", "divided again, items stand on other sides")
    # A shallow copy: only the list of entries is replaced, and the caller's corpus stays as it is.
    turned = copy(corpus)
    turned.entries = corpus.entries[::-1]
    back = split_items(list(items)[::-1], turned, spec)
    require(
        _places(back) == _places(folds), cls, "splits", "with the recordings in another order, items stand elsewhere"
    )
    return folds


def _check_fold(fold: Fold, items: Sequence[Item], cls: type, *, allowed: bool) -> None:
    on = [item for side in fold.sides.values() for item in side]
    more = Counter(map(_known_by, on)) - Counter(map(_known_by, items))
    require(not more, cls, "splits", f"{fold.name or 'it'} has items twice, or that were not given: {list(more)[:5]}")
    wrong = [i.id for side, own in fold.sides.items() for i in own if i.split != side]
    require(not wrong, cls, "splits", f"items say another side than the one they stand on: {wrong[:5]}")
    count = len(on) + fold.left_out
    require(count == len(items), cls, "splits", f"{count} items on a side or left out; there are {len(items)}")
    sides = Counter(group for own in fold.sides.values() for group in {i.group for i in own})
    both = [] if allowed else [group for group, n in sides.items() if n > 1]
    require(not both, cls, "splits", f"groups stand on two sides: {both[:5]}")


def _known_by(item: Item) -> tuple[object, ...]:
    return item.recording, item.start, item.stop, item.target, item.group, item.whole


def _places(folds: Sequence[Fold]) -> dict[str, Counter[tuple[object, ...]]]:
    return {
        fold.name: Counter((*_known_by(item), side) for side, own in fold.sides.items() for item in own)
        for fold in folds
    }
