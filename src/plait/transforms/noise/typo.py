"""Typing errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from plait.core.errors import ConfigError
from plait.streams.stream import Stream, Values
from plait.transforms.noise import Noise, generator

__all__ = ["Typo"]

ROWS = {
    "qwerty": ("1234567890", "qwertyuiop", "asdfghjkl", "zxcvbnm"),
    "qwertz": ("1234567890", "qwertzuiop", "asdfghjkl", "yxcvbnm"),
    "azerty": ("1234567890", "azertyuiop", "qsdfghjklm", "wxcvbn"),
}
SHIFT = (0.0, 0.5, 0.75, 1.25)
"""Offset of each row of keys to the right, in keys."""

ACTS = ("substitute", "swap", "delete", "insert")


class Typo(Noise):
    """Typing errors in an exact share of the stream's letters and digits.

    With equal probability: a neighbouring key instead, two characters swapped, one left out, or a neighbouring key in
    addition. Case is kept; a character that is not on the keyboard is doubled instead of replaced.

    Args:
        layout: keyboard layout: ``qwerty``, ``qwertz`` or ``azerty``.

    >>> from plait.transforms.noise import add_noise
    >>> said = Stream.of(["never", "odd", "or", "even"], times=[0, 1, 2, 3])
    >>> add_noise(said, "typo", 0.2, 3).read().tolist()
    ['nevedr', 'odd', 'or', 'vedn']
    """

    kinds = ("words",)
    axis = "share of characters mistyped"
    levels = (0.05, 0.1, 0.2)

    def __init__(self, *, layout: str = "qwerty") -> None:
        if layout not in ROWS:
            raise ConfigError(f"typo.layout: got {layout!r}; expected one of {', '.join(ROWS)}.")
        self.layout = layout

    def apply(self, stream: Stream, level: float, seed: int, others: Sequence[Stream]) -> Stream:
        return replace(stream, source=_Mistyped(stream, level, seed, neighbours(self.layout)))


def neighbours(layout: str) -> dict[str, str]:
    """The keys next to each key.

    >>> neighbours("qwerty")["s"]
    'weadzx'
    """
    place = {key: (x + SHIFT[y], y) for y, row in enumerate(ROWS[layout]) for x, key in enumerate(row)}
    return {
        key: "".join(k for k, (a, b) in place.items() if k != key and abs(a - x) <= 1.1 and abs(b - y) <= 1)
        for key, (x, y) in place.items()
    }


@dataclass(frozen=True)
class _Mistyped:
    stream: Stream
    share: float
    seed: int
    near: dict[str, str]

    @property
    def shape(self) -> tuple[int, ...]:
        return self.stream.source.shape

    @cached_property
    def errors(self) -> dict[int, list[int]]:
        """The wrong characters of each word of the view that has any."""
        places = [(i, j) for i, word in enumerate(self.stream.read()) for j, c in enumerate(str(word)) if c.isalnum()]
        wrong = generator(self.seed, -1).choice(len(places), round(self.share * len(places)), replace=False)
        found: dict[int, list[int]] = {}
        for i, j in sorted(places[k] for k in wrong):
            found.setdefault(i, []).append(j)
        return found

    def read(self, lo: int, hi: int) -> Values:
        words = self.stream.source.read(lo, hi)
        begin = lo - self.stream.first
        out = [self._type(str(w), begin + i) if begin + i in self.errors else w for i, w in enumerate(words)]
        return np.array(out, dtype=object if words.dtype.kind == "O" else str)

    def _type(self, word: str, number: int) -> str:
        rng, pieces, wrong = generator(self.seed, number), list(word), self.errors[number]
        touched = set(wrong)
        for j in wrong:
            act, other = ACTS[int(rng.integers(len(ACTS)))], j + 1 if j + 1 < len(word) else j - 1
            if act == "swap" and other >= 0 and other not in touched and word[other] != word[j]:
                pieces[j], pieces[other] = word[other], word[j]
                touched.add(other)
            else:
                pieces[j] = _mistype(word[j], act, self.near, rng)
        return "".join(pieces)


def _mistype(letter: str, act: str, near: dict[str, str], rng: np.random.Generator) -> str:
    """The text typed for one character; an impossible swap becomes a wrong key."""
    keys = near.get(letter.lower(), "")
    key = keys[int(rng.integers(len(keys)))] if keys else letter
    key = key.upper() if letter.isupper() else key
    if act == "delete":
        return ""
    return letter + key if act == "insert" or not keys else key
