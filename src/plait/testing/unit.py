"""The law of units: training and prediction see the same examples of a recording."""

from __future__ import annotations

from collections.abc import Mapping

from plait.core.errors import PlaitError
from plait.corpus.corpus import Corpus
from plait.examples.items import Item, asked_items, find_items
from plait.examples.units import find_unit
from plait.testing.laws import require

__all__ = ["check_unit"]


def check_unit(corpus: Corpus, unit: Mapping[str, object]) -> int:
    """Check the law of units on a corpus.

    Prediction asks about every item that training finds, with the same start and stop, in the same order. It may ask
    about more only where training had no target: a recording without a usable label, a window with too few annotations,
    or a recording in which training finds nothing. The context of an item in other segments is the same too.

    Args:
        corpus: with labels and annotations of any kind.
        unit: as in a recipe's ``task``.

    Returns:
        The number of items that training found.

    Raises:
        LawBroken: naming the items that differ.
    """
    try:
        trained = find_items(corpus, unit).items
    except PlaitError:
        trained = []  # nothing to train on: every item of prediction is allowed
    asked, notes = asked_items(corpus, unit)
    there = [_place(i) for i in asked.items]
    rest = iter(there)  # ``in`` consumes the iterator: this checks a subsequence, so the order too
    lost = [i.id for i in trained if _place(i) not in rest]
    require(not lost, Item, "units", f"training saw {lost}, prediction does not, or in another order")
    known = {_place(i) for i in trained}
    looked = {p[0] for p in known}
    more = [p for p in there if p not in known and p[0] not in notes and p[0] in looked]
    all_annotated = find_unit(unit).annotated
    require(not (all_annotated and more), Item, "units", f"prediction sees segments {more}, training did not")
    return len(trained)


def _place(item: Item) -> tuple[str, float, float, bool, str]:
    return item.recording, item.start, item.stop, item.whole, str(sorted(item.others.items()))
