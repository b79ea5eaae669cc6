"""Text without a neural network: hashed bags of words and letters, or word vectors from a file."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from plait.errors import ConfigError, DataError
from plait.features import Feature
from plait.features.checks import above_zero, place_of
from plait.streams.clock import Clock
from plait.streams.stream import Stream

__all__ = ["HashedText", "WordVectors", "read_vectors", "words_of"]

WORD = re.compile(r"\w+(?:['’]\w+)*|[^\w\s]")


def words_of(text: str, lower: bool = True) -> list[str]:
    """Words and marks of a text, after Unicode's compatibility form (NFKC) and, unless told, in lower case.

    >>> words_of("Don't STOP, Straße ﬁn")
    ["don't", 'stop', ',', 'strasse', 'fin']
    """
    text = unicodedata.normalize("NFKC", text)
    return WORD.findall(text.casefold() if lower else text)


def _texts(stream: Stream) -> list[str]:
    values = stream.read()
    if values.dtype.kind not in "UO":
        raise DataError(f"{place_of(stream)}: values of type {values.dtype}; expected texts.")
    return [str(v) for v in values]


class HashedText(Feature):
    """A signed, hashed bag of words and of runs of letters for each observation, [n, dim]; default for words.

    Each word, and each run of ``letters`` characters of ``<word>``, adds +1 or -1 at one of ``dim`` places,
    both taken from its BLAKE2b digest, so that nothing is learnt and nothing is stored (Weinberger et al.,
    "Feature hashing for large scale multitask learning", ICML 2009). Rows have length 1; a text without
    words is all zeros.

    Args:
        dim: places.
        words: whether whole words count.
        letters: length of the runs of letters; 0 for none. They bring inflected forms together.

    >>> values, _ = HashedText()(Stream.of(["bin blue", "BIN  blue", ""], spans=([0, 1, 2], [1, 2, 3])))
    >>> bool((values[0] == values[1]).all()), float(values[2].sum())
    (True, 0.0)
    """

    kinds = ("words",)
    default_for: ClassVar[tuple[str, ...]] = ("words",)

    def __init__(self, *, dim: int = 256, words: bool = True, letters: int = 3) -> None:
        above_zero("hashed_text", dim=dim)
        if letters < 0 or not (words or letters):
            raise ConfigError(f"hashed_text: words={words}, letters={letters}; nothing would be counted.")
        self._dim, self._words, self._letters = dim, words, letters
        self._place = lru_cache(maxsize=1 << 16)(self._hash)
        self._empty = 0

    def dim(self, shape: tuple[int, ...]) -> int:
        return self._dim

    def notes(self) -> dict[str, int]:
        return {"texts without words": self._empty} if self._empty else {}

    def compute(self, stream: Stream) -> tuple[NDArray[np.float32], Clock]:
        rows = [self._row(text) for text in _texts(stream)]
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
        for word in words_of(text):
            if self._words:
                yield f"word {word}"
            edged = f"<{word}>"
            if self._letters:
                yield from (edged[i : i + self._letters] for i in range(len(edged) - self._letters + 1))

    def _hash(self, token: str) -> tuple[int, float]:
        number = int.from_bytes(blake2b(token.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")
        return (number >> 1) % self._dim, 1.0 if number & 1 else -1.0


class WordVectors(Feature):
    """Mean vector of an observation's words, from a GloVe or word2vec text file, [n, size of a vector].

    Words without a vector are left out of the mean and counted; marks are left out. A text without any
    known word is all zeros.

    Args:
        path: the file: a word and its numbers a line, with or without word2vec's first line of counts.
        lower: look words up in lower case.

    Raises:
        ConfigError: no path, or no such file.
        DataError: the file is not of that form; with file and line.
    """

    kinds = ("words",)

    def __init__(self, *, path: str = "", lower: bool = True) -> None:
        if not path or not Path(path).is_file():
            raise ConfigError(f"word_vectors.path: {path!r} is no file. Name a GloVe or word2vec text file.")
        self._path, self._lower = Path(path), lower
        self._unknown = self._found = 0

    def dim(self, shape: tuple[int, ...]) -> int:
        return int(self._vectors()[1].shape[1])

    def files(self) -> list[Path]:
        return [self._path]

    def notes(self) -> dict[str, int]:
        counts = {"words with a vector": self._found, "words without a vector": self._unknown}
        return {name: count for name, count in counts.items() if count}

    def _vectors(self) -> tuple[dict[str, int], NDArray[np.float32]]:
        status = self._path.stat()
        return read_vectors(self._path, status.st_size, status.st_mtime_ns)

    def compute(self, stream: Stream) -> tuple[NDArray[np.float32], Clock]:
        index, vectors = self._vectors()
        self._unknown = self._found = 0
        texts = _texts(stream)
        values = np.zeros((len(texts), vectors.shape[1]), np.float32)
        for i, text in enumerate(texts):
            words = [w for w in words_of(text, self._lower) if w[0].isalnum() or w in index]
            known = [index[w] for w in words if w in index]
            self._found += len(known)
            self._unknown += len(words) - len(known)
            if known:
                values[i] = vectors[known].mean(0)
        return values, stream.clock


SHOWN = 10
"""Problems listed of one file; the rest is counted."""


@lru_cache(maxsize=2)
def read_vectors(path: Path, size: int, changed: int) -> tuple[dict[str, int], NDArray[np.float32]]:
    """Words and their vectors of a text file; ``size`` and ``changed`` only tell one version from another.

    Raises:
        DataError: lines of another length than the first, or not of finite numbers; all of them counted.
    """
    index: dict[str, int] = {}
    rows: list[NDArray[np.float32]] = []
    problems: list[str] = []
    width = 0
    with open(path, encoding="utf-8", errors="replace") as lines:
        for number, line in enumerate(lines, 1):
            cells = line.rstrip().split(" ")
            if not line.strip() or (number == 1 and len(cells) == 2 and all(c.isdigit() for c in cells)):
                continue
            width = width or len(cells) - 1
            row = _vector(cells, width)
            if isinstance(row, str):
                problems.append(f"{path}:{number}: {row}")
            elif (word := " ".join(cells[:-width])) not in index:
                index[word] = len(rows)
                rows.append(row)
    if not rows and not problems:
        problems.append(f"{path}: holds no word vectors. Expected a word and its numbers a line.")
    if len(problems) > SHOWN:
        problems[SHOWN:] = [f"{path}: and {len(problems) - SHOWN} more such lines."]
    if problems:
        raise DataError(problems)
    return index, np.stack(rows)


def _vector(cells: list[str], width: int) -> NDArray[np.float32] | str:
    if width < 1 or len(cells) <= width:
        return f"{len(cells) - 1} numbers after the word; expected {max(width, 1)} as on the first line."
    try:
        row = np.array([float(c) for c in cells[-width:]], np.float32)
    except ValueError as error:
        return f"{error}; expected a word and {width} numbers."
    return row if math.isfinite(float(row.sum())) else "a number is not finite; expected finite numbers."
