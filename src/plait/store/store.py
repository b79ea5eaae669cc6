"""The cache of prepared features: by content of input and of parameters, read by memory map."""

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

__all__ = ["Stamp", "Store", "clock_from", "clock_parts", "key_of", "stamp_of"]

log = logging.getLogger("plait")

FORMAT = "plait-features-1"
SETTLED_NS = 2_000_000_000
"""A file changed less than this ago may change again within its time stamp; its digest is not remembered."""


def key_of(entry: StreamEntry, digest: str, spec: Mapping[str, object], version: int, reader: int = 1) -> str:
    """The name of prepared features in a store: 40 letters that follow the input's bytes and every option.

    The correction of the clock (offset, drift, origin, warp) is left out, since it moves the features' clock and
    changes no number; ``duration`` and ``rate``, which say what the samples' rate is, are in.

    Args:
        entry: the stream in the manifest.
        digest: of the file's bytes (`Store.digest_of`), or '' for texts that stand in the manifest.
        spec: the feature's name and all its options (`plait.core.parts.full_spec`).
        version: the feature's `version`.
        reader: the reader's `version`. The first one is in no key, as keys were made before readers had any.

    >>> near, far = StreamEntry(path="a.wav", offset=1.5), StreamEntry(path="b/c.wav")
    >>> key_of(near, "00", {"name": "log_mel"}, 1) == key_of(far, "00", {"name": "log_mel"}, 1)
    True
    """
    fields = ("part", "reader", "options", "rate", "duration", "texts", "spans")
    suffix = Path(entry.path or "").suffix.lower()
    what = {
        "format": FORMAT,
        "stream": {"suffix": suffix, **{name: getattr(entry, name) for name in fields}},
        "digest": digest,
        "feature": dict(spec),
        "version": version,
        **({"reader_version": reader} if reader > 1 else {}),
    }
    text = json.dumps(what, sort_keys=True, ensure_ascii=True, default=str)
    return blake2b(text.encode(), digest_size=20).hexdigest()


class Store:
    """A folder of prepared features, one safetensors file each, and the digests of their inputs.

    Args:
        folder: where the files are.
        verify: whether every input is read again, whatever is remembered of it; ``stale`` then names those of which
            something else was remembered.

    A file holds ``values`` [n, d] float32 and, where the clock is not a grid, its times in float64; the clock
    stands in the header exactly. It is written beside its place and moved there, so that it is whole or
    absent. A file that is truncated or not ours counts as absent, with a warning.

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
        """Where the item of a key is or would be."""
        return self.folder / key[:2] / f"{key}.safetensors"

    def places(self) -> list[Path]:
        """The folders that anything is written to."""
        return [self.folder, self.packs, *self.folder.glob("[0-9a-f][0-9a-f]")]

    def has(self, key: str) -> bool:
        """Whether there is a whole file for the key (its header is read, not its values)."""
        return self._file(key) is not None

    def get(self, key: str) -> tuple[NDArray[np.float32], Clock] | None:
        """Values [n, d], read-only and mapped to the file, and their clock; None where there are none."""
        file = self._file(key)
        if file is None:
            return None
        tensors = file.tensors()
        values = tensors.pop("values")
        return values, clock_from(json.loads(file.notes["clock"]), len(values), list(tensors.values()))

    def meta(self, key: str) -> dict[str, Any]:
        """What was noted with `put`; empty where there is no such item."""
        file = self._file(key)
        found: dict[str, Any] = json.loads(file.notes["meta"]) if file else {}
        return found

    def put(self, key: str, values: NDArray[np.float32], clock: Clock, meta: Mapping[str, Any] | None = None) -> None:
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
        if file is not None and file.notes.get("key") != key:
            log.warning("%s: holds other features than its name says; it will be made anew", file.path)
            return None
        return file

    def seen(self, path: Path) -> tuple[Stamp, str]:
        """What the system says of a file or folder (`stamp_of`), and then its digest: the first is never the newer.

        Raises:
            DataError: as `digest_of`.
        """
        try:
            return stamp_of(path), self.digest_of(path)
        except OSError as error:
            raise _unreadable(path, error) from error

    def digest_of(self, path: Path) -> str:
        """Digest of a file's bytes, or of all files in a folder and their names.

        It is remembered by path, size, inode and both times of change, so that a file is read once only; `flush`
        keeps what is remembered. The time of the contents (mtime) can be set by whoever replaces a file, that of the
        inode (ctime) cannot. Where only rights or links have changed, the file is read again, and as its digest is the
        same, no feature is made anew.

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
        """Keep the digests of files for the next time."""
        if self._changed:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_text(self._index_path, json.dumps(self._index))
            self._changed = False


def _unreadable(path: Path, error: OSError) -> DataError:
    if isinstance(error, FileNotFoundError):
        return DataError(f"{path}: no such file. Correct the path in the manifest or put the file there.")
    return DataError(f"{path}: cannot be read ({error.strerror}). Check the file and its rights.")


Stamp = tuple[tuple[str, tuple[int, ...]], ...]
"""Of each file its name within the folder, and its size, both times of change (ns) and inode."""


def stamp_of(path: Path) -> Stamp:
    """What the system says of a file, or of all in a folder: it changes with the bytes, and may without them.

    Raises:
        OSError: there is no such file, or it cannot be looked at.
    """
    if path.is_dir():
        return tuple((p.relative_to(path).as_posix(), _stamp(p)) for p in _inside(path))
    return (("", _stamp(path)),)


def _inside(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*") if p.is_file())


def _stamp(path: Path) -> tuple[int, ...]:
    status = path.stat()
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


def clock_from(about: Mapping[str, Any], n: int, marks: Sequence[NDArray[np.float64]]) -> Clock:
    """The clock of ``n`` observations that `clock_parts` took apart."""
    if about["clock"] == "grid":
        return Grid(Fraction(about["start"]), Fraction(about["rate"]), n)
    return Ticks(*marks) if about["clock"] == "ticks" else Spans(*marks)
