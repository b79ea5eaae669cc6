"""Unique names for streams and channels."""

from __future__ import annotations

from collections import Counter

__all__ = ["Names"]


class Names:
    """Gives unique names: the second of two that are called ``a`` becomes ``a2``.

    >>> names = Names()
    >>> [names.free(name) for name in ("a", "a", "b", "a2", "a")]
    ['a', 'a2', 'b', 'a22', 'a3']
    """

    def __init__(self) -> None:
        self._taken: set[str] = set()
        self._tried: Counter[str] = Counter()

    def free(self, base: str) -> str:
        """The name, or the name with the next number that is free."""
        name = base
        while name in self._taken:
            self._tried[base] += 1
            name = f"{base}{self._tried[base] + 1}"
        self._taken.add(name)
        return name
