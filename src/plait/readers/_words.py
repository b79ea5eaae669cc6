"""Shared by readers of texts and numbers: decoding bytes, building streams of words, refusing infinite values."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from plait.core.errors import DataError
from plait.readers import check_path
from plait.streams.clock import Spans
from plait.streams.stream import ArraySource, Stream, Values

__all__ = ["Later", "decoded", "read_bytes", "read_text", "refuse_infinite", "words"]


def read_bytes(path: Path) -> bytes:
    """All bytes of a file, or `DataError`."""
    check_path(path)
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error}). Correct the path or the file.") from error


def read_text(path: Path, encoding: str = "utf-8") -> str:
    """The text of a file: a byte order mark decides, else ``encoding``.

    Raises:
        DataError: a byte that the encoding does not have, with its line.
    """
    return decoded(read_bytes(path), path, encoding)


def decoded(data: bytes, path: Path, encoding: str) -> str:
    """Bytes as text; see `read_text`. The path is for messages."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encoding = "utf-16"
    elif data.startswith(codecs.BOM_UTF8):
        encoding = "utf-8-sig"
    try:
        return data.decode(encoding)
    except (UnicodeError, LookupError) as error:
        place = getattr(error, "start", 0)
        line = data[:place].count(b"\n") + 1
        raise DataError(
            f"{path}:{line}: is not {encoding} text ({error}). "
            f"Convert it: iconv -f latin1 -t utf-8 {path.name} > {path.stem}.utf8{path.suffix}"
        ) from error


def words(path: Path, rows: Sequence[tuple[float, float, str]]) -> Stream:
    """A stream of words of (start, stop, text), seconds.

    Raises:
        DataError: starts go backwards or an interval ends before it starts.
    """
    try:
        clock = Spans([r[0] for r in rows], [r[1] for r in rows])
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
    # np.array would give every text the width of the longest.
    texts = np.empty(len(rows), object)
    texts[:] = [r[2] for r in rows]
    return Stream(clock, ArraySource(texts), "words", (), str(path))


def refuse_infinite(values: Values, where: str, first: int = 0) -> Values:
    """The values, unless one is infinite: that is an overflow or a division by zero, never a measurement."""
    if values.dtype.kind == "f" and np.isinf(values).any():
        rows = np.unique(np.argwhere(np.isinf(values))[:, 0])
        raise DataError(
            f"{where}: {len(rows)} observations hold infinite values, first number {first + rows[0]}. "
            "Expected finite numbers, or NaN where nothing was observed. Correct them or write NaN."
        )
    return values


class Later:
    """Values loaded whole when first asked for, then kept; `plait.streams.stream.Source`.

    Args:
        load: gives [n, *shape]; raises DataError.
        n: how many observations the file promises.
        shape: of one observation.
        where: file and place, for messages.
        keep: whether to keep what was loaded (a memory-mapped file need not be, and holds a file open).
    """

    def __init__(
        self,
        load: Callable[[], NDArray[np.generic]],
        n: int,
        shape: tuple[int, ...],
        where: str,
        *,
        keep: bool = True,
    ) -> None:
        self._load, self._n, self.shape, self._where, self._keep = load, n, shape, where, keep
        self._values: NDArray[np.generic] | None = None

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_values": None}

    def read(self, lo: int, hi: int) -> Values:
        values = self._load() if self._values is None else self._values
        if values.shape != (self._n, *self.shape):
            raise DataError(
                f"{self._where}: has values of shape {values.shape}; its header promised "
                f"{(self._n, *self.shape)}. Get a whole copy of the file."
            )
        if self._keep:
            self._values = values
        # A copy: a view would keep a mapped file open, and could not be written to.
        return refuse_infinite(np.array(values[lo:hi]), self._where, lo)
