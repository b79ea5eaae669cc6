"""Text without a neural network: words, and hashed bags of words and character n-grams."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from plait.core.errors import ConfigError, DataError
from plait.features import Feature
from plait.features.checks import above_zero, place_of
from plait.features.stop_words import stop_words
from plait.streams.clock import Clock
from plait.streams.stream import Stream

__all__ = ["HashedText", "texts_of", "words_of"]

WORD = re.compile(r"\w+(?:['’]\w+)*|[^\w\s]")


def words_of(text: str, lower: bool = True) -> list[str]:
    """Words and punctuation of a text in Unicode's compatibility form (NFKC), by default in lower case.

    >>> words_of("Don't STOP, Straße ﬁn")
    ["don't", 'stop', ',', 'strasse', 'fin']
    """
    text = unicodedata.normalize("NFKC", text)
    return WORD.findall(text.casefold() if lower else text)


def texts_of(stream: Stream) -> list[str]:
    """The stream's texts.

    Raises:
        DataError: the values are not texts.
    """
    values = stream.read()
    if values.dtype.kind not in "UO":
        raise DataError(f"{place_of(stream)}: values of type {values.dtype}; expected texts.")
    return [str(v) for v in values]


class HashedText(Feature):
    """A signed, hashed bag of words and character n-grams per observation, [n, dim]; default for words.

    Each word, and each character n-gram of ``<word>`` with ``letters`` characters, adds +1 or -1 in one of ``dim``
    columns. Sign and column come from its BLAKE2b digest, so that nothing is learnt or stored (Weinberger et al.,
    "Feature hashing for large scale multitask learning", ICML 2009). Rows have norm 1; a text without words is all
    zeros.

    Args:
        dim: number of columns.
        words: whether whole words count.
        letters: length of the character n-grams; 0 for none. They make inflected forms similar.
        ngrams: most neighbouring words in one count: 2 also counts pairs ("not good").
        stop: stop words, removed before n-grams are formed: ``english``, or a file with one word per line.

    >>> values, _ = HashedText()(Stream.of(["bin blue", "BIN  blue", ""], spans=([0, 1, 2], [1, 2, 3])))
    >>> bool((values[0] == values[1]).all()), float(values[2].sum())
    (True, 0.0)
    """

    kinds = ("words",)
    default_for: ClassVar[tuple[str, ...]] = ("words",)

    def __init__(
        self, *, dim: int = 256, words: bool = True, letters: int = 3, ngrams: int = 1, stop: str | None = None
    ) -> None:
        above_zero("hashed_text", dim=dim, ngrams=ngrams)
        if letters < 0 or not (words or letters):
            raise ConfigError(f"hashed_text: words={words}, letters={letters}; nothing would be counted.")
        self._dim, self._words, self._letters = dim, words, letters
        self._ngrams, self._stop, self._list = ngrams, stop_words(stop), stop
        # Words repeat, so most digests are cached; bounded, as a corpus may have any number of tokens.
        self._place = lru_cache(maxsize=1 << 16)(self._hash)
        self._empty = 0

    def dim(self, shape: tuple[int, ...]) -> int:
        return self._dim

    def files(self) -> list[Path]:
        return [Path(self._list)] if self._list not in (None, "english") else []

    def notes(self) -> dict[str, int]:
        return {"texts without words": self._empty} if self._empty else {}

    def compute(self, stream: Stream) -> tuple[NDArray[np.float32], Clock]:
        rows = [self._row(text) for text in texts_of(stream)]
        values = np.stack(rows) if rows else np.zeros((0, self._dim))
        length = np.sqrt((values**2).sum(1, keepdims=True))
        self._empty = int((length == 0).sum())
        return (values / np.where(length == 0, 1.0, length)).astype(np.float32), stream.clock

    def _row(self, text: str) -> NDArray[np.float64]:
        row = np.zeros(self._dim)
        for token in self._tokens(text):
            place, sign = self._place(token)
            row[place] += sign
        return row

    def _tokens(self, text: str) -> Iterator[str]:
        words = [word for word in words_of(text) if word not in self._stop]
        if self._words:
            for n in range(1, self._ngrams + 1):
                yield from (f"word {' '.join(words[i : i + n])}" for i in range(len(words) - n + 1))
        for word in words:
            edged = f"<{word}>"
            if self._letters:
                yield from (edged[i : i + self._letters] for i in range(len(edged) - self._letters + 1))

    def _hash(self, token: str) -> tuple[int, float]:
        # Not `hash()`: Python salts it anew in every process.
        number = int.from_bytes(blake2b(token.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")
        # Different bits decide sign and column, so that the two are independent.
        return (number >> 1) % self._dim, 1.0 if number & 1 else -1.0
