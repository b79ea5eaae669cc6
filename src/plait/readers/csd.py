"""Computational sequences of the CMU Multimodal SDK: features of many recordings in one HDF5 file."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from plait.core.errors import ConfigError, DataError
from plait.core.parts import suggest
from plait.readers import Reader
from plait.readers._budget import Budget
from plait.readers._hdf5 import Dataset, File, opened
from plait.readers._told import tell
from plait.readers._words import refuse_infinite
from plait.streams.clock import Spans
from plait.streams.stream import Stream

__all__ = ["Csd"]

_BROKEN = (OSError, ValueError, struct.error, zlib.error, IndexError, OverflowError)
_LARGEST = 50_000_000
"""Bytes of one observation, or of all intervals."""


class Csd(Reader):
    """One stream a recording, by the recording's id; of a chosen ``recording`` one stream, by the sequence's name.

    Each observation has an interval: the clock is `Spans` in the sequence's seconds. Numbers are a series, texts (as
    in ``TimestampedWords``) are words. Intervals out of order are put in order, and how many is logged. Values are
    read when asked for. ``plait import`` understands a folder of such files as recordings that are joined by id, each
    file being one stream.

    Source: Zadeh, Liang, Poria, Vij, Cambria, Morency, "Multi-attention recurrent network for human communication
    comprehension", AAAI 2018 (CMU-MultimodalSDK, ``computational_sequence``): ``NAME/data/ID/features`` and
    ``NAME/data/ID/intervals``.

    Args:
        recording: the id of the one to take.
        infinite: what to do with infinite values, which COVAREP features of CMU-MOSI hold: ``error``, or ``nan``
            (they become NaN, and how many is logged when they are read).

    Raises:
        ConfigError: another word for ``infinite``.
        DataError: on opening or reading: no such file or recording, features and intervals that do not fit.

    >>> Csd().suffixes
    ('.csd',)
    """

    suffixes: ClassVar[tuple[str, ...]] = (".csd",)

    def __init__(self, *, recording: str | None = None, infinite: str = "error") -> None:
        if infinite not in ("error", "nan"):
            raise ConfigError(f"csd.infinite: {infinite!r} is unknown. {suggest(infinite, ('error', 'nan'))}")
        self.recording, self.infinite = recording, infinite

    def open(self, path: Path) -> dict[str, Stream]:
        try:
            with opened(path, self.budget) as file:
                name, data = _sequence(path, file)
                if self.recording is None:
                    return {key: self._stream(path, file, key, at) for key, at in data.items()}
                if self.recording not in data:
                    raise DataError(f"{path}: has no recording {self.recording!r}. {suggest(self.recording, data)}")
                return {name: self._stream(path, file, self.recording, data[self.recording])}
        except _BROKEN as error:
            raise _broken(path, error) from error

    def recordings(self, path: Path) -> dict[str, dict[str, Any]]:
        """One a group of the sequence's data."""
        try:
            with opened(path, self.budget) as file:
                return {key: {"recording": key} for key in _sequence(path, file)[1]}
        except _BROKEN as error:
            raise _broken(path, error) from error

    def _stream(self, path: Path, file: File, key: str, group: int) -> Stream:
        where = f"{path}:{key}"
        features, intervals = (_dataset(where, file, group, part) for part in ("features", "intervals"))
        n, *rest = features.shape
        if intervals.shape != (n, 2) or intervals.is_text or 16 * n > _LARGEST:
            raise DataError(
                f"{where}: {n} observations, but intervals of shape {intervals.shape}; expected ({n}, 2) seconds. "
                "Make the sequence anew."
            )
        times = np.asarray(file.read(intervals, 0, n), np.float64)
        order = np.argsort(times[:, 0], kind="stable")
        moved = int((order != np.arange(n)).sum())
        if moved:
            tell(where, f"{moved} intervals out of order were sorted")
        try:
            clock = Spans(*times[order].T)
        except DataError as error:
            raise DataError(f"{where}: {error}") from error
        text = features.is_text
        shape = () if text else tuple(rest or [1])
        source = _Features(path, where, features, shape, order if moved else None, self.infinite == "nan", self.budget)
        return Stream(clock, source, "words" if text else "series", (), where)


def _broken(path: Path, error: Exception) -> DataError:
    return DataError(f"{path}: cannot be read as a computational sequence ({str(error)[:200]}). Get a whole copy.")


def _sequence(path: Path, file: File) -> tuple[str, dict[str, int]]:
    """The sequence's name, and where the groups of its recordings are."""
    root = file.links(file.root)
    found = {name: inner["data"] for name, at in root.items() if "data" in (inner := file.links(at))}
    if len(found) != 1:
        raise DataError(
            f"{path}: is no computational sequence: expected one group with a group 'data' in it, but it has "
            f"{', '.join(list(root)[:5]) or 'nothing'}. Save it with the CMU Multimodal SDK."
        )
    ((name, at),) = found.items()
    recordings = file.links(at)
    if not recordings:
        raise DataError(f"{path}: has no recordings. Get a whole copy.")
    return name, recordings


def _dataset(where: str, file: File, group: int, part: str) -> Dataset:
    links = file.links(group)
    try:
        found = file.dataset(links[part]) if part in links else None
    except ValueError as error:
        raise DataError(f"{where}: {part} cannot be read ({error}). Make the sequence anew.") from error
    if found is None or not found.shape:
        raise DataError(f"{where}: has no array {part!r} of its own. Make the sequence anew.")
    row = float(np.prod(found.shape[1:], dtype=np.float64)) * found.type.size
    if row > _LARGEST:
        raise DataError(f"{where}: {part} claim the shape {found.shape}; expected fewer numbers an observation.")
    file.purse.check(found.shape[0] * row, part)
    return found


@dataclass(eq=False)
class _Features:
    """Rows of one recording's features; `plait.streams.stream.Source`."""

    path: Path
    where: str
    features: Dataset
    shape: tuple[int, ...]
    order: NDArray[np.int64] | None
    infinite_as_nan: bool
    budget: Budget

    def read(self, lo: int, hi: int) -> NDArray[Any]:
        n = self.features.shape[0]
        lo, hi = max(lo, 0), min(hi, n)
        try:
            with opened(self.path, self.budget) as file:
                if self.order is None:
                    rows = file.read(self.features, lo, hi)
                else:
                    rows = file.read(self.features, 0, n)[self.order[lo:hi]]
        except _BROKEN as error:
            raise DataError(f"{self.where}: values cannot be read ({error}). Get a whole copy.") from error
        if self.features.is_text:
            return _texts(rows)
        values = rows.reshape(len(rows), *self.shape)
        return self._without_infinite(values) if self.infinite_as_nan else refuse_infinite(values, self.where, lo)

    def _without_infinite(self, values: NDArray[Any]) -> NDArray[Any]:
        bad = np.isinf(values) if values.dtype.kind == "f" else np.zeros(1, bool)
        if bad.any():
            tell(self.where, f"{bad.sum()} infinite values are read as NaN")
            values = np.where(bad, np.array(np.nan, values.dtype), values)
        return values


def _texts(rows: NDArray[Any]) -> NDArray[Any]:
    cells = rows.reshape(len(rows), -1).tolist() if len(rows) else []
    out = np.empty(len(cells), object)
    out[:] = [" ".join(text.decode("utf-8", "replace") for text in row) for row in cells]
    return out
