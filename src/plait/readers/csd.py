"""Computational sequences of the CMU Multimodal SDK: features of many recordings in one HDF5 file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from plait.core.errors import ConfigError, DataError
from plait.core.parts import suggest
from plait.readers import Reader
from plait.readers._budget import Budget
from plait.readers._hdf5 import BROKEN, Dataset, File, behind, opened, reason
from plait.readers._told import tell
from plait.readers._words import refuse_infinite
from plait.streams.clock import Spans
from plait.streams.stream import Stream, Values

__all__ = ["Csd"]

_LARGEST = 50_000_000
"""Bytes of one observation, or of all intervals."""


class Csd(Reader):
    """One stream per recording, named by its id; with ``recording``, one stream, named after the sequence.

    Each observation has an interval: the clock is `Spans` in the sequence's seconds. Numbers are a series, texts (as
    in ``TimestampedWords``) are words. Intervals out of order are sorted, and their number is logged. Values are
    read when asked for. ``plait import`` understands a folder of such files as recordings that are joined by id, each
    file being one stream.

    Source: Zadeh, Liang, Poria, Vij, Cambria, Morency, "Multi-attention recurrent network for human communication
    comprehension", AAAI 2018 (CMU-MultimodalSDK, ``computational_sequence``): ``NAME/data/ID/features`` and
    ``NAME/data/ID/intervals``.

    Args:
        recording: the id of the recording to take.
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
        name, found = behind(_contents, path, self.budget, self.recording)
        streams = {key: self._stream(path, key, *parts) for key, parts in found.items()}
        return streams if self.recording is None else {name: streams[self.recording]}

    def recordings(self, path: Path) -> dict[str, dict[str, object]]:
        """One per group of the sequence's data."""
        return {key: {"recording": key} for key in behind(_names, path, self.budget)}

    def _stream(self, path: Path, key: str, features: Dataset, times: NDArray[np.float64]) -> Stream:
        where = f"{path}:{key}"
        order = np.argsort(times[:, 0], kind="stable")
        moved = int((order != np.arange(len(order))).sum())
        if moved:
            tell(where, f"{moved} intervals out of order were sorted")
        try:
            clock = Spans(*times[order].T)
        except DataError as error:
            raise DataError(f"{where}: {error}") from error
        shape = () if features.is_text else features.shape[1:] or (1,)
        source = _Features(path, where, features, shape, order if moved else None, self.infinite == "nan", self.budget)
        return Stream(clock, source, "words" if features.is_text else "series", (), where)


# ---- behind the gate


def _names(path: Path, budget: Budget) -> list[str]:
    """The ids of a file's recordings."""
    with _sequence(path, budget) as (_, _, recordings):
        return list(recordings)


def _contents(
    path: Path, budget: Budget, recording: str | None
) -> tuple[str, dict[str, tuple[Dataset, NDArray[np.float64]]]]:
    """The sequence's name; features, and intervals [n, 2] in seconds, of the recording or of all."""
    with _sequence(path, budget) as (file, name, recordings):
        if recording is not None and recording not in recordings:
            raise DataError(f"{path}: has no recording {recording!r}. {suggest(recording, recordings)}")
        chosen = recordings if recording is None else {recording: recordings[recording]}
        return name, {key: _recording(f"{path}:{key}", file, place) for key, place in chosen.items()}


def _rows(path: Path, budget: Budget, where: str, features: Dataset, lo: int, hi: int) -> NDArray[np.generic]:
    try:
        with opened(path, budget.purse(path)) as file:
            return file.read(features, lo, hi)
    except BROKEN as error:
        raise DataError(f"{where}: values cannot be read ({reason(error)}). Get a whole copy.") from error


@contextmanager
def _sequence(path: Path, budget: Budget) -> Iterator[tuple[File, str, dict[str, str]]]:
    """The file, the sequence's name, and where the groups of its recordings are."""
    try:
        with opened(path, budget.purse(path)) as file:
            root = file.links("/")
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
            yield file, name, recordings
    except BROKEN as error:
        what = f"cannot be read as a computational sequence ({reason(error)})"
        raise DataError(f"{path}: {what}. Get a whole copy.") from error


def _recording(where: str, file: File, group: str) -> tuple[Dataset, NDArray[np.float64]]:
    links = file.links(group)
    features, intervals = (_dataset(where, file, links, part) for part in ("features", "intervals"))
    n = features.shape[0]
    if intervals.shape != (n, 2) or intervals.is_text or intervals.nbytes > _LARGEST:
        raise DataError(
            f"{where}: {n} observations, but intervals of shape {intervals.shape}; expected ({n}, 2) seconds. "
            "Make the sequence anew."
        )
    return features, np.asarray(file.read(intervals, 0, n), np.float64)


def _dataset(where: str, file: File, links: dict[str, str], part: str) -> Dataset:
    try:
        found = file.dataset(links[part]) if part in links else None
    except BROKEN as error:
        raise DataError(f"{where}: {part} cannot be read ({reason(error)}). Make the sequence anew.") from error
    if found is None or not found.shape:
        raise DataError(f"{where}: has no array {part!r} of its own. Make the sequence anew.")
    if found.nbytes / max(found.shape[0], 1) > _LARGEST:
        raise DataError(f"{where}: {part} claim the shape {found.shape}; expected fewer numbers per observation.")
    file.purse.check(found.nbytes, part)
    return found


# ---- before the gate


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

    def read(self, lo: int, hi: int) -> Values:
        n = self.features.shape[0]
        lo, hi = max(lo, 0), min(hi, n)
        # Sorted rows are scattered in the file, so all of them are read.
        first, last = (lo, hi) if self.order is None else (0, n)
        what = (self.budget, self.where, self.features, first, last)
        rows = behind(_rows, self.path, *what, where=self.where, asked=self.features.nbytes)
        if self.order is not None:
            rows = rows[self.order[lo:hi]]
        if self.features.is_text:
            return _texts(rows)
        values = rows.reshape(len(rows), *self.shape)
        return self._without_infinite(values) if self.infinite_as_nan else refuse_infinite(values, self.where, lo)

    def _without_infinite(self, values: NDArray[np.generic]) -> NDArray[np.generic]:
        bad = np.isinf(values) if values.dtype.kind == "f" else np.zeros(1, bool)
        if bad.any():
            tell(self.where, f"{bad.sum()} infinite values are read as NaN")
            values = np.where(bad, np.array(np.nan, values.dtype), values)
        return values


def _texts(rows: Values) -> Values:
    cells = rows.reshape(len(rows), -1).tolist() if len(rows) else []
    # np.array would give every text the width of the longest.
    out = np.empty(len(cells), object)
    out[:] = [" ".join(text.decode("utf-8", "replace") for text in row) for row in cells]
    return out
