"""HDF5 by h5py, behind the gate: on some broken files the library loops for ever, and no caller can stop it.

Code behind the gate opens the file with `opened` and returns plain data. Links to other files are never followed, and
values stored in other files are not read.

The gate adds half a millisecond to a reading (`benchmarks/readers.py`). Opening one recording of a
sequence with 2,200 takes 11 ms, all of them 1.6 s; own code, which read no more than h5py writes by default, took 7 ms
and 0.4 s.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from plait.core.jobs.gate import guarded
from plait.readers._budget import Purse
from plait.streams.stream import Values

__all__ = ["BROKEN", "Dataset", "File", "behind", "opened", "reason"]

Result = TypeVar("Result")

BROKEN = (OSError, ValueError, KeyError, RuntimeError, TypeError, AttributeError, MemoryError)
"""What h5py raises for broken bytes."""

_SECONDS, _PACE = 3.0, 2e7
"""Processor time that any file may take, and bytes per second beyond that."""

_MEMORY = 1 << 30
"""Bytes that any file may take."""


@dataclass(frozen=True)
class Dataset:
    """An array in a file: place, shape, NumPy's letter of the type (``S``: texts), and bytes per value."""

    place: str
    shape: tuple[int, ...]
    letter: str
    size: int

    @property
    def is_text(self) -> bool:
        return self.letter == "S"

    @property
    def nbytes(self) -> float:
        """Bytes of all values; a float, since broken files claim more than 64 bits can count."""
        return float(math.prod(self.shape)) * self.size


def behind(work: Callable[..., Result], path: Path, *args: object, where: str = "", asked: float = 0.0) -> Result:
    """``work(path, *args)``, behind the gate.

    Args:
        work: opens the file; a function of a module.
        path: the file.
        args: more arguments of ``work``.
        where: for messages, if it is not the path.
        asked: bytes of values that are asked for.

    Raises:
        DataError: ``work`` raises it, takes too long for the file's size, or does not live through it.
    """
    try:
        size = os.path.getsize(path) + asked
    except OSError:
        size = asked
    seconds, memory = _SECONDS + size / _PACE, _MEMORY + 4 * int(size)
    return guarded(work, path, *args, where=where or str(path), seconds=seconds, memory=memory)


@contextmanager
def opened(path: Path, purse: Purse) -> Iterator[File]:
    """An open file; code in the block may raise any of `BROKEN`."""
    import h5py

    # A lock would keep files on some network disks from being read, and we only read.
    with h5py.File(path, "r", locking=False) as file:
        yield File(file, purse)


class File:
    """Groups and arrays of a file, by their places; ``/`` is the root."""

    def __init__(self, file: Any, purse: Purse) -> None:
        # Several questions in a row are about one object, and h5py opens it anew each time.
        self._object, self.purse = lru_cache(16)(file.__getitem__), purse

    def links(self, place: str) -> dict[str, str]:
        """Names and places in a group, without links to other files; empty for anything but a group."""
        import h5py

        group = self._object(place)
        if not isinstance(group, h5py.Group):
            return {}
        self.purse.count(len(group), "names in groups")
        inside = group.id.links
        hard = [name for name in group.id if inside.get_info(name).type == h5py.h5l.TYPE_HARD]
        texts = [(name.decode("utf-8", "replace"), name.decode("utf-8", "surrogateescape")) for name in hard]
        return {shown: f"{place.rstrip('/')}/{name}" for shown, name in texts}

    def dataset(self, place: str) -> Dataset | None:
        """The array at a place; None if something else is there.

        Raises:
            ValueError: its values are of a type that is not read, or not in this file.
        """
        import h5py

        found = self._object(place)
        shape = found.shape if isinstance(found, h5py.Dataset) else None
        if shape is None:
            return None
        how = found.id.get_create_plist()
        if how.get_layout() == h5py.h5d.VIRTUAL or how.get_external_count():
            raise ValueError("its values are in other files, which are not followed")
        dtype = found.dtype
        text = h5py.check_string_dtype(dtype) is not None
        if not text and (dtype.kind not in "biuf" or dtype.itemsize > 8):
            raise ValueError(f"its values ({dtype}) are neither numbers nor texts")
        # HDF5 fills in what was never written: a few bytes could read as terabytes of zeros.
        if math.prod(shape) and not found.id.get_storage_size():
            raise ValueError("it has a shape, but no values")
        return Dataset(place, tuple(map(int, shape)), "S" if text else dtype.kind, dtype.itemsize)

    def attributes(self, place: str, names: tuple[str, ...]) -> dict[str, Any]:
        """Those of the named attributes that the object has."""
        attributes = self._object(place).attrs
        return {name: attributes[name] for name in names if name in attributes}

    def read(self, dataset: Dataset, lo: int, hi: int) -> Values:
        """Rows lo..hi of an array; texts are bytes objects."""
        found = self._object(dataset.place)
        if found.shape != dataset.shape:
            raise ValueError(f"an array has the shape {found.shape}; when it was opened it had {dataset.shape}")
        lo, hi = max(lo, 0), min(hi, dataset.shape[0])
        hi = max(lo, hi)
        one = dataset.nbytes / max(dataset.shape[0], 1)
        self.purse.check((hi - lo) * one, "an array")
        self.purse.spend(_unpacked(found, lo, hi), "chunks of an array")
        if dataset.is_text:
            self.purse.count((hi - lo) * one / dataset.size, "texts")
        values: Values = found[lo:hi]
        return values.astype(object if dataset.is_text else values.dtype.newbyteorder("="))


def _unpacked(found: Any, lo: int, hi: int) -> float:
    """Bytes of the chunks that rows lo..hi touch."""
    if not found.chunks or hi <= lo:
        return 0.0
    ends = [(lo, hi), *((0, n) for n in found.shape[1:])]
    touched = [-(-b // size) - a // size for (a, b), size in zip(ends, found.chunks)]
    return float(np.prod(touched, dtype=float) * np.prod(found.chunks, dtype=float) * found.dtype.itemsize)


def reason(error: Exception) -> str:
    """The text of one of `BROKEN`, for messages."""
    return "it takes too much memory" if isinstance(error, MemoryError) else str(error)[:200]
