"""N-grams of texts, for metrics that compare a text with several references."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from plait.core.errors import DataError

__all__ = ["MOST", "Counts", "check_references", "ngrams"]

MOST = 4
"""The longest n-grams."""

Counts = list[Counter[tuple[str, ...]]]
"""How often each n-gram occurs, by its length less one."""


def ngrams(text: str) -> Counts:
    """The n-grams of a text's words, from 1 to `MOST` words.

    >>> [sum(own.values()) for own in ngrams("a dog runs")]
    [3, 2, 1, 0]
    """
    words = text.split()
    return [Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1)) for n in range(1, MOST + 1)]


def check_references(name: str, target: Sequence[Sequence[str]], scores: Sequence[str]) -> None:
    """Check that each answer has references.

    Raises:
        DataError: there are more of the one than of the other, or an item has no reference.
    """
    if len(target) != len(scores):
        raise DataError(
            f"{name}: references of {len(target)} items and {len(scores)} answers; expected one answer each."
        )
    none = [i for i, texts in enumerate(target) if not len(texts)]
    if none:
        raise DataError(f"{name}: item {none[0]} has no reference; expected one or more for each answer.")
