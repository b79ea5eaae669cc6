"""The cache of prepared features, addressed by the content of inputs and parameters and read by memory map."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping, Sequence
from fractions import Fraction
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plait.core.atomic import write_text
from plait.core.errors import DataError
from plait.corpus.corpus import StreamEntry
from plait.store.tensorfile import TensorFile, open_tensors, write_tensors
from plait.streams.clock import Clock, Grid, Spans, Ticks

__all__ = ["CACHE", "Stamp", "Store", "clock_from", "clock_parts", "key_of", "stamp_of"]

log = logging.getLogger("plait")

FORMAT = "plait-features-1"
SETTLED_NS = 2_000_000_000
"""Nanoseconds after a change in which a file may change again with the same time stamp; its digest is not cached."""


def key_of(entry: StreamEntry, digest: str, spec: Mapping[str, object], version: int, reader: int = 1) -> str:
    """The key of prepared features in a store: 40 hex digits that depend on the input's bytes and every option.

    Corrections of the clock (offset, drift, origin, warp) are left out, because they move the features' clock and
    change no number; ``duration`` and ``rate``, which determine the sampling rate, are included.

    Args:
        entry: the stream in the manifest.
        digest: digest of the file's bytes (`Store.digest_of`), or '' for texts in the manifest.
        spec: the feature's name and all its options (`plait.core.parts.full_spec`).
        version: the feature's `version`.
        reader: the reader's `version`. Version 1 is left out, because keys are older than versions of readers.

    >>> near, far = StreamEntry(path="a.wav", offset=1.5), StreamEntry(path="b/c.wav")
    >>> key_of(near, "00", {"name": "log_mel"}, 1) == key_of(far, "00", {"name": "log_mel"}, 1)
    True
    """
    fields = ("part", "reader", "options", "rate", "duration", "texts", "spans")
    boxes = {} if entry.boxes is None else {"boxes": entry.boxes}  # keys of all other streams are older than boxes
    # The suffix decides the reader; the rest of the path may change freely.
    suffix = Path(entry.path or "").suffix.lower()
    what = {
        "format": FORMAT,
        "stream": {"suffix": suffix, **{name: getattr(entry, name) for name in fields}, **boxes},
        "digest": digest,
        "feature": dict(spec),
        "version": version,
        **({"reader_version": reader} if reader > 1 else {}),
    }
    # Sorted and ASCII, so that equal options give equal bytes.
    text = json.dumps(what, sort_keys=True, ensure_ascii=True, default=str)
    return blake2b(text.encode(), digest_size=20).hexdigest()


CACHE = ".plait-cache"
"""The folder of prepared features where none is named."""


class Store:
    """A folder of prepared features, one safetensors file each, and the digests of their inputs.

    Args:
        folder: the folder of the files.
        verify: read every input again, whatever digest is cached; ``stale`` then lists the files whose cached digest
            was wrong.

    A file holds ``values`` [n, d] float32 and, unless the clock is a grid, its times in float64; the header holds the
    exact clock. Files are written to a temporary name and renamed, so that they are complete or absent. A truncated or
    foreign file counts as absent, with a warning.

    >>> import tempfile
    >>> store = Store(tempfile.mkdtemp())
    >>> store.put("ab12", np.ones((2, 3), np.float32), Grid(0, 29.97, 2))
    >>> values, clock = store.get("ab12")
    >>> values.shape, clock.rate
    ((2, 3), Fraction(30000, 1001))
    """

    def __init__(self, folder: str | Path, *, verify: bool = False) -> None:
        self.folder, self.stale = Path(folder), list[str]()
        self.packs = self.folder / "packs"
        self._verify, self._verified = verify, set[str]()
        self._index_path = self.folder / "digests.json"
        self._index: dict[str, list[object]] | None = None
        self._changed = False

    def path_of(self, key: str) -> Path:
        """The path of a key's item, whether it exists or not."""
        return self.folder / key[:2] / f"{key}.safetensors"

    def places(self) -> list[Path]:
        """All folders to which files are written."""
        return [self.folder, self.packs, *self.folder.glob("[0-9a-f][0-9a-f]")]

    def has(self, key: str) -> bool:
        """Whether there is a complete file for the key (only its header is read)."""
        return self._file(key) is not None

    def get(self, key: str) -> tuple[NDArray[np.float32], Clock] | None:
        """Values [n, d], read-only and mapped to the file, and their clock; None if there are none."""
        file = self._file(key)
        if file is None:
            return None
        # What is left after the values are the arrays of the clock, in the order in which they were written.
        tensors = file.tensors()
        values = tensors.pop("values")
        return values, clock_from(json.loads(file.notes["clock"]), len(values), list(tensors.values()))

    def meta(self, key: str) -> dict[str, Any]:
        """The ``meta`` given to `put`; empty if there is no such item."""
        file = self._file(key)
        found: dict[str, Any] = json.loads(file.notes["meta"]) if file else {}
        return found

    def put(
        self, key: str, values: NDArray[np.float32], clock: Clock, meta: Mapping[str, object] | None = None
    ) -> None:
        """Write features [n, d] and their clock; atomic, and the last of several writers wins.

        Raises:
            DataError: values are not [n, d], or the clock has another length.
            OSError: the folder is not writable, or the disk is full.
        """
        if values.ndim != 2 or len(clock) != len(values):
            raise DataError(f"features of shape {values.shape} with {len(clock)} times; expected [n, d] and n.")
        described, marks = clock_parts(clock)
        notes = {
            "format": FORMAT,
            "key": key,
            "clock": json.dumps(described),
            "meta": json.dumps(dict(meta or {})),
        }
        target = self.path_of(key)
        target.parent.mkdir(parents=True, exist_ok=True)
        write_tensors(target, {**marks, "values": np.ascontiguousarray(values, np.float32)}, notes)

    def _file(self, key: str) -> TensorFile | None:
        file = open_tensors(self.path_of(key), FORMAT)
        # A file renamed or copied by hand must not pass for another item.
        if file is not None and file.notes.get("key") != key:
            log.warning("%s: holds other features than its name says; it will be rebuilt", file.path)
            return None
        return file

    def seen(self, path: Path) -> tuple[Stamp, str]:
        """The stamp of a file or folder (`stamp_of`) and its digest.

        Raises:
            DataError: as `digest_of`.
        """
        # The stamp first: if the file changes in between, the stamp is too old, never too new.
        try:
            return stamp_of(path), self.digest_of(path)
        except OSError as error:
            raise _unreadable(path, error) from error

    def digest_of(self, path: Path) -> str:
        """Digest of a file's bytes, or of all files in a folder and their names.

        It is cached by path, size, inode, mtime and ctime, so that a file is read only once; `flush` saves the cache.
        If only permissions or links have changed, the file is read again, but its digest is the same, and no feature is
        recomputed.

        Raises:
            DataError: no such file, or it cannot be read.
        """
        try:
            if path.is_dir():
                names = [[p.relative_to(path).as_posix(), self._file_digest(p)] for p in _inside(path)]
                return blake2b(json.dumps(names).encode(), digest_size=20).hexdigest()
            return self._file_digest(path)
        except OSError as error:
            raise _unreadable(path, error) from error

    def _file_digest(self, path: Path) -> str:
        stamp = list(_stamp(path))
        name = str(path.resolve())
        index = self._digests()
        known = index.get(name)
        trusted = not self._verify or name in self._verified
        if trusted and isinstance(known, list) and len(known) == 5 and known[:4] == stamp:
            return str(known[4])
        hasher = blake2b(digest_size=20)
        with open(path, "rb") as file:
            while block := file.read(1 << 20):
                hasher.update(block)
        found = hasher.hexdigest()
        if self._verify:
            self._verified.add(name)
            if isinstance(known, list) and known[:4] == stamp and known[4:] != [found]:
                self.stale.append(name)
        # See `SETTLED_NS`: file systems have coarse clocks.
        if time.time_ns() - max(stamp[1:3]) > SETTLED_NS:
            index[name] = [*stamp, found]
            self._changed = True
        return found

    def _digests(self) -> dict[str, list[object]]:
        if self._index is None:
            self._index = {}
            try:
                found = json.loads(self._index_path.read_text(encoding="utf-8"))
                self._index = {str(k): list(v) for k, v in found.items()}
            except FileNotFoundError:
                log.debug("%s: no digests yet", self._index_path)
            except (OSError, ValueError, AttributeError, TypeError) as error:
                log.warning("%s: not readable (%s); files will be read again", self._index_path, error)
        return self._index

    def flush(self) -> None:
        """Save the cached digests of files."""
        if self._changed:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_text(self._index_path, json.dumps(self._index))
            self._changed = False


def _unreadable(path: Path, error: OSError) -> DataError:
    if isinstance(error, FileNotFoundError):
        return DataError(f"{path}: no such file. Correct the path in the manifest or put the file there.")
    return DataError(f"{path}: cannot be read ({error.strerror}). Check the file and its rights.")


Stamp = tuple[tuple[str, tuple[int, ...]], ...]
"""For each file its name within the folder, and its size, mtime and ctime (ns) and inode."""


def stamp_of(path: Path) -> Stamp:
    """The stamp of a file, or of all files in a folder: it changes whenever the bytes do, and sometimes without.

    Raises:
        OSError: there is no such file, or its status cannot be read.
    """
    if path.is_dir():
        return tuple((p.relative_to(path).as_posix(), _stamp(p)) for p in _inside(path))
    return (("", _stamp(path)),)


def _inside(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*") if p.is_file())


def _stamp(path: Path) -> tuple[int, ...]:
    status = path.stat()
    # mtime can be set by whoever replaces a file (`cp -p`, `rsync`), ctime cannot.
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


def clock_parts(clock: Clock) -> tuple[dict[str, object], dict[str, NDArray[np.float64]]]:
    """A clock as exact JSON, and the arrays that belong to it."""
    if isinstance(clock, Grid):
        return {"clock": "grid", "start": str(clock.start_exact), "rate": str(clock.rate), "n": clock.n}, {}
    if isinstance(clock, Spans):
        return {"clock": "spans"}, {
            "starts": np.ascontiguousarray(clock.starts),
            "stops": np.ascontiguousarray(clock.stops),
        }
    return {"clock": "ticks"}, {"times": np.ascontiguousarray(clock.times)}


def clock_from(about: Mapping[str, str], n: int, marks: Sequence[NDArray[np.float64]]) -> Clock:
    """The clock of ``n`` observations from the parts of `clock_parts`."""
    if about["clock"] == "grid":
        return Grid(Fraction(about["start"]), Fraction(about["rate"]), n)
    return Ticks(*marks) if about["clock"] == "ticks" else Spans(*marks)
