"""A pack: the prepared features of one stream of a corpus, concatenated in one memory-mapped file."""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import accumulate, chain
from pathlib import Path
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from plait.core.errors import DataError
from plait.store.store import Store, clock_from, clock_parts
from plait.store.tensorfile import Pieces, open_tensors, write_tensors
from plait.streams.clock import Clock
from plait.streams.stream import Values

__all__ = ["Found", "Pack", "open_pack", "write_pack"]

log = logging.getLogger("plait")

FORMAT = "plait-pack-1"

Found = tuple[NDArray[np.float32], Clock]
"""Features [n, dim] and their clock."""

MARKS = {"grid": 0, "ticks": 1, "spans": 2}
"""Numbers per observation of each kind of clock in ``marks``."""


class _Index(TypedDict):
    """Keys of the items; the distinct clocks, and which of them each item has; notes by key."""

    keys: list[str]
    clocks: list[dict[str, str]]
    clock_of: list[int]
    notes: dict[str, dict[str, int]]


class Pack:
    """Features of many items, mapped from one file: nothing is read before it is used.

    The file is safetensors: ``offsets`` [items + 1] int64, the first row of each item; ``marks`` float64, the times of
    clocks that are not grids; ``values`` [1 + rows, dim] float32; ``index``, JSON of keys and exact clocks. Row 0 is
    all zeros, so that padding can be gathered like any other row.

    >>> import tempfile
    >>> from plait.streams.clock import Grid
    >>> store = Store(tempfile.mkdtemp())
    >>> store.put("ab12", np.ones((2, 3), np.float32), Grid(0, 25, 2))
    >>> store.put("cd34", np.zeros((1, 3), np.float32), Grid(1, 25, 1))
    >>> write_pack(store.folder / "imu.safetensors", ["ab12", "cd34"], store)
    >>> pack = open_pack(store.folder / "imu.safetensors")
    >>> len(pack), pack.values.shape, pack.get("cd34")[1].start
    (2, (4, 3), 1.0)
    """

    def __init__(self, path: Path, index: _Index, arrays: Mapping[str, Values]) -> None:
        self.path, self.keys = path, list[str](index["keys"])
        self.values: NDArray[np.float32] = arrays["values"]
        self._marks, self._offsets = arrays["marks"], arrays["offsets"].tolist()
        self._clocks = [index["clocks"][i] for i in index["clock_of"]]
        counts = [b - a for a, b in zip(self._offsets, self._offsets[1:])]
        self._marked = list(accumulate((n * MARKS[c["clock"]] for n, c in zip(counts, self._clocks)), initial=0))
        self._notes: dict[str, dict[str, int]] = index["notes"]
        self._places = {key: i for i, key in enumerate(self.keys)}

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def nbytes(self) -> int:
        """Size of the file."""
        return self.path.stat().st_size

    def covers(self, keys: Collection[str]) -> bool:
        """Whether the pack holds all of these keys."""
        return self._places.keys() >= set(keys)

    def get(self, key: str) -> Found | None:
        """Features [n, dim], read-only, and their clock; None if the pack does not hold them."""
        i = self._places.get(key)
        if i is None:
            return None
        first, stop = self._offsets[i : i + 2]
        n, at, about = stop - first, self._marked[i], self._clocks[i]
        marks = [self._marks[at + k * n : at + (k + 1) * n] for k in range(MARKS[about["clock"]])]
        return self.values[first:stop], clock_from(about, n, marks)

    def notes(self, key: str) -> dict[str, int]:
        """Counts of what the feature dropped, filled or could not match in an item."""
        return self._notes.get(key, {})


def write_pack(path: Path, keys: Sequence[str], store: Store) -> None:
    """Pack the items of all keys, atomically, in constant memory (each is read twice).

    Raises:
        DataError: an item is missing, or items differ in width.
        OSError: the folder is not writable, or the disk is full.
    """
    # A first pass, because the header in front of the rows needs their number and width.
    counts, widths, marks, abouts = [], set(), [np.empty(0)], []
    for values, clock in _all(keys, store):
        about, own = clock_parts(clock)
        # Lengths follow from the offsets; without them all grids of one start and rate are one entry.
        about.pop("n", None)
        counts.append(len(values))
        widths.add(values.shape[1])
        marks += own.values()
        abouts.append(json.dumps(about))
    if len(widths) != 1:
        raise DataError(f"{path}: items of width {sorted(widths)} cannot be packed; expected one width.")
    shape = (1 + sum(counts), widths.pop())
    rows = chain([np.zeros((1, shape[1]), np.float32)], (values for values, _ in _all(keys, store)))
    # Arrays of 8-byte numbers first, so that each is aligned.
    tensors: dict[str, Values | Pieces] = {
        "offsets": np.array(list(accumulate(counts, initial=1)), np.int64),
        "marks": np.concatenate(marks),
        "values": Pieces(shape, np.dtype(np.float32), rows),
        "index": np.frombuffer(json.dumps(_index(keys, abouts, store)).encode(), np.uint8),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    write_tensors(path, tensors, {"format": FORMAT})


def _index(keys: Sequence[str], abouts: Sequence[str], store: Store) -> dict[str, object]:
    """Keys, clocks (each kind and rate once) and notes."""
    unique = {text: i for i, text in enumerate(dict.fromkeys(abouts))}
    notes = {key: store.meta(key).get("notes") for key in keys}
    return {
        "keys": list(keys),
        "clocks": [json.loads(text) for text in unique],
        "clock_of": [unique[text] for text in abouts],
        "notes": {key: found for key, found in notes.items() if found},
    }


def _all(keys: Sequence[str], store: Store) -> Iterator[Found]:
    for key in keys:
        found = store.get(key)
        if found is None:
            raise DataError(f"features {key} are not in the store. Prepare again.")
        yield found


def open_pack(path: Path) -> Pack | None:
    """A pack by its file; None if there is none, or if it is truncated or foreign (with a warning)."""
    file = open_tensors(path, FORMAT)
    if file is None:
        return None
    arrays = file.tensors()
    try:
        return Pack(path, json.loads(arrays["index"].tobytes()), arrays)
    except (ValueError, KeyError, TypeError, IndexError) as error:
        log.warning("%s: not a whole pack (%s); it will be rebuilt", path, error)
        return None
