"""Which words are taken for which, in tasks whose answers are texts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from plait.evaluation.schema import Confusion
from plait.metrics.edits import word_edits

__all__ = ["MOST_WORDS", "NOTHING", "OTHER", "word_confusion"]

MOST_WORDS = 60
"""Words with rows of their own: those with most errors."""

NOTHING, OTHER = "(nothing)", "(other)"
"""The row of inserted words and the column of deleted ones; all words without a row of their own."""


def word_confusion(pairs: Sequence[tuple[str, str]]) -> Confusion:
    """How often each true word was answered by each word, by the fewest edits; for texts as for classes.

    Args:
        pairs: true and answered text of each item.

    >>> found = word_confusion([("lay red", "lay"), ("red", "bed red")])
    >>> found["classes"], found["counts"][1]
    (['bed', 'red', '(other)', '(nothing)'], [0, 1, 0, 1])
    """
    found = Counter(edit for true, said in pairs for edit in word_edits(true, said))
    wrong: Counter[str] = Counter()
    for edit, count in found.items():
        wrong.update({word: count for word in edit if word is not None and edit[0] != edit[1]})
    # Ties by the words themselves, so that the order of the items does not matter.
    kept = sorted(sorted(wrong, key=lambda word: (-wrong[word], word))[:MOST_WORDS])
    classes = [*kept, OTHER, NOTHING]
    place: dict[str | None, int] = {word: i for i, word in enumerate(kept)} | {None: len(kept) + 1}
    counts = [[0] * len(classes) for _ in classes]
    for (true, said), count in found.items():
        counts[place.get(true, len(kept))][place.get(said, len(kept))] += count
    return {"classes": classes, "counts": counts}
