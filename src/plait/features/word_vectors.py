"""Word vectors from a file, averaged over a text."""

from __future__ import annotations

import gzip
import math
import zlib
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from plait.core.errors import ConfigError, DataError
from plait.features import Feature
from plait.features.stop_words import stop_words
from plait.features.text import texts_of, words_of
from plait.streams.clock import Clock
from plait.streams.stream import Stream

__all__ = ["WordVectors", "read_vectors"]


class WordVectors(Feature):
    """Mean vector of an observation's words, from a GloVe or word2vec file, [n, size of a vector].

    Words without a vector are left out of the mean and counted; punctuation is left out. A text without any
    known word is all zeros.

    Args:
        path: a text file (a word and its numbers per line, with or without word2vec's first line of counts), the same
            compressed as ``.gz``, or word2vec's binary format (``.bin``).
        lower: look words up in lower case.
        stop: stop words: ``english``, or a file with one word per line.

    Raises:
        ConfigError: no path, or no such file.
        DataError: the file is not of that format; with file and line.
    """

    kinds = ("words",)

    def __init__(self, *, path: str = "", lower: bool = True, stop: str | None = None) -> None:
        if not path or not Path(path).is_file():
            raise ConfigError(f"word_vectors.path: {path!r} is no file. Name a GloVe or word2vec file.")
        self._path, self._lower, self._stop, self._list = Path(path), lower, stop_words(stop), stop
        self._unknown = self._found = 0

    def dim(self, shape: tuple[int, ...]) -> int:
        return int(self._vectors()[1].shape[1])

    def files(self) -> list[Path]:
        return [self._path, *([Path(self._list)] if self._list not in (None, "english") else [])]

    def notes(self) -> dict[str, int]:
        counts = {"words with a vector": self._found, "words without a vector": self._unknown}
        return {name: count for name, count in counts.items() if count}

    def _vectors(self) -> tuple[dict[str, int], NDArray[np.float32]]:
        status = self._path.stat()
        return read_vectors(self._path, status.st_size, status.st_mtime_ns)

    def compute(self, stream: Stream) -> tuple[NDArray[np.float32], Clock]:
        index, vectors = self._vectors()
        self._unknown = self._found = 0
        texts = texts_of(stream)
        values = np.zeros((len(texts), vectors.shape[1]), np.float32)
        for i, text in enumerate(texts):
            words = [w for w in words_of(text, self._lower) if w[0].isalnum() or w in index]
            words = [w for w in words if w.casefold() not in self._stop]
            known = [index[w] for w in words if w in index]
            self._found += len(known)
            self._unknown += len(words) - len(known)
            if known:
                values[i] = vectors[known].mean(0)
        return values, stream.clock


SHOWN = 10
"""Most problems listed per file; the rest is counted."""


@lru_cache(maxsize=2)
def read_vectors(path: Path, size: int, changed: int) -> tuple[dict[str, int], NDArray[np.float32]]:
    """Words and vectors of a file; ``size`` and ``changed`` only distinguish versions of the file in the cache.

    Raises:
        DataError: lines whose length differs from the first line's or whose numbers are not finite, all at once; or a
            truncated binary file.
    """
    if path.name.lower().endswith(".bin"):
        return _binary(path)
    try:
        with _opened(path) as lines:
            return _text(path, lines)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read ({error}). Fetch the file anew.") from error


def _opened(path: Path) -> IO[str]:
    if path.name.lower().endswith(".gz"):
        return gzip.open(path, "rt", encoding="utf-8", errors="replace")
    return open(path, encoding="utf-8", errors="replace")


def _binary(path: Path) -> tuple[dict[str, int], NDArray[np.float32]]:
    """word2vec's binary format: a line of counts, then each word, a space, and its numbers as little-endian floats."""
    data = path.read_bytes()
    head, _, _ = data.partition(b"\n")
    counts = head.split()
    if len(counts) != 2 or not all(c.isdigit() for c in counts) or int(counts[1]) < 1:
        raise DataError(f"{path}: begins with {head[:40]!r}; expected word2vec's line of counts. Is it a text file?")
    count, width = int(counts[0]), int(counts[1])
    index: dict[str, int] = {}
    rows: list[NDArray[np.float32]] = []
    at = len(head) + 1
    for number in range(count):
        space = data.find(b" ", at)
        if space < 0 or space + 1 + 4 * width > len(data):
            raise DataError(f"{path}: ends in word {number + 1} of {count}; it is cut short. Fetch the file anew.")
        # Some writers end each vector with a newline, others do not.
        word = data[at:space].decode("utf-8", "replace").lstrip("\n")
        row = np.frombuffer(data, "<f4", width, space + 1)
        if not np.isfinite(row).all():
            raise DataError(f"{path}: word {number + 1}, {word!r}: a number is not finite; expected finite numbers.")
        at = space + 1 + 4 * width
        if word not in index:
            index[word] = len(rows)
            rows.append(row)
    if not rows:
        raise DataError(f"{path}: holds no word vectors.")
    return index, np.stack(rows)


def _text(path: Path, lines: Iterable[str]) -> tuple[dict[str, int], NDArray[np.float32]]:
    index: dict[str, int] = {}
    rows: list[NDArray[np.float32]] = []
    problems: list[str] = []
    width = 0
    for number, line in enumerate(lines, 1):
        cells = line.rstrip().split(" ")
        if not line.strip() or (number == 1 and len(cells) == 2 and all(c.isdigit() for c in cells)):
            continue
        width = width or len(cells) - 1
        row = _vector(cells, width)
        if isinstance(row, str):
            problems.append(f"{path}:{number}: {row}")
        # GloVe's largest file has words with spaces, so the numbers are counted from the end.
        elif (word := " ".join(cells[:-width])) not in index:
            index[word] = len(rows)
            rows.append(row)
    if not rows and not problems:
        problems.append(f"{path}: holds no word vectors. Expected a word and its numbers per line.")
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
    # NaN and infinity survive a sum.
    return row if math.isfinite(float(row.sum())) else "a number is not finite; expected finite numbers."
