"""The law of units: what training saw of a recording and what prediction sees of it are the same examples."""

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

    Every item that training finds is asked about in prediction, with the same start and stop, and in the same order.
    What prediction asks beside them training left out for want of a target only: a recording without a usable label, a
    window of which too little is annotated, or the whole of a recording in which the unit finds nothing.

    Args:
        corpus: with labels and annotations of any sort.
        unit: as in a recipe's ``task``.

    Returns:
        How many items training found.

    Raises:
        LawBroken: naming the items that differ.
    """
    try:
        trained = find_items(corpus, unit).items
    except PlaitError:
        trained = []  # nothing to train on: then there is nothing to be equal to
    asked, notes = asked_items(corpus, unit)
    there = [_place(i) for i in asked.items]
    rest = iter(there)
    lost = [i.id for i in trained if _place(i) not in rest]
    require(not lost, Item, "units", f"training saw {lost}, prediction does not, or in another order")
    known = {_place(i) for i in trained}
    more = [p for p in there if p not in known and p[0] not in notes]
    all_annotated = find_unit(unit).annotated
    require(not (all_annotated and more), Item, "units", f"prediction sees segments {more}, training did not")
    return len(trained)


def _place(item: Item) -> tuple[str, float, float, bool]:
    return item.recording, item.start, item.stop, item.whole
