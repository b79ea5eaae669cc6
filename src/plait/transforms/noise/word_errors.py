"""Wrong words, as a recogniser of speech writes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from plait.streams.stream import Stream, Values
from plait.transforms.noise import Noise, generator

__all__ = ["WordErrors"]

ACTS = ("substitute", "delete", "insert")


class WordErrors(Noise):
    """Errors in an exact share of the stream's words: its word error rate.

    With equal probability: another word of the stream instead, the word left out, or another one after it. Observations
    stay: one that loses its only word is an empty text.

    >>> from plait.transforms.noise import add_noise
    >>> said = Stream.of(["never odd or even", "a man a plan"], times=[0, 1])
    >>> add_noise(said, "word_errors", 0.25, 3).read().tolist()
    ['never odd or even', 'a man never plan a']
    """

    kinds = ("words",)
    axis = "share of words that are wrong"
    levels = (0.1, 0.2, 0.4)

    def apply(self, stream: Stream, level: float, seed: int, others: Sequence[Stream]) -> Stream:
        return replace(stream, source=_Misheard(stream, level, seed))


@dataclass(frozen=True)
class _Misheard:
    stream: Stream
    share: float
    seed: int

    @property
    def shape(self) -> tuple[int, ...]:
        return self.stream.source.shape

    @cached_property
    def wrong(self) -> dict[int, str]:
        """The new text of each observation of the view that has an error."""
        rows = [str(text).split() for text in self.stream.read()]
        places = [(i, j) for i, row in enumerate(rows) for j in range(len(row))]
        words, rng = [rows[i][j] for i, j in places], generator(self.seed, 0)
        hit = sorted(rng.choice(len(places), round(self.share * len(places)), replace=False))
        made = {places[k][0]: [[w] for w in rows[places[k][0]]] for k in hit}
        for k in hit:
            i, j = places[k]
            act, other = ACTS[int(rng.integers(len(ACTS)))], _another(words, words[k], rng)
            made[i][j] = [] if act == "delete" else [other] if act == "substitute" else [words[k], other]
        return {i: " ".join(word for part in row for word in part) for i, row in made.items()}

    def read(self, lo: int, hi: int) -> Values:
        texts = self.stream.source.read(lo, hi)
        begin = lo - self.stream.first
        out = [self.wrong.get(begin + i, text) for i, text in enumerate(texts)]
        return np.array(out, dtype=object if texts.dtype.kind == "O" else str)


def _another(words: Sequence[str], word: str, rng: np.random.Generator) -> str:
    """A word of the stream that is not this one; the word twice over where there is no other."""
    found = [w for w in words if w != word]
    return found[int(rng.integers(len(found)))] if found else word + word
