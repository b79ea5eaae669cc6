"""The cache of prepared features: by content of input and of parameters, read by memory map."""

from __future__ import annotations

import json
import logging
import math
import os
import time
from collections.abc import Mapping
from fractions import Fraction
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plait.errors import DataError
from plait.streams.clock import Clock, Grid, Spans, Ticks
from plait.streams.corpus import StreamEntry

__all__ = ["Store", "key_of"]

log = logging.getLogger("plait")

FORMAT = "plait-features-1"
SETTLED_NS = 2_000_000_000
"""A file changed less than this ago may change again within its time stamp; its digest is not remembered."""

NAMES = {"F32": np.float32, "F64": np.float64}


def key_of(entry: StreamEntry, digest: str, spec: Mapping[str, Any], version: int) -> str:
    """The name of prepared features in a store: 40 letters that follow the input's bytes and every option.

    The correction of the clock (offset, drift, origin, warp) is left out, since it moves the features' clock and
    changes no number; ``duration`` and ``rate``, which say what the samples' rate is, are in.

    Args:
        entry: the stream in the manifest.
        digest: of the file's bytes (`Store.digest_of`), or '' for texts that stand in the manifest.
        spec: the feature's name and all its options (`plait.parts.full_spec`).
        version: the feature's `version`.

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
    }
    text = json.dumps(what, sort_keys=True, ensure_ascii=True, default=str)
    return blake2b(text.encode(), digest_size=20).hexdigest()


class Store:
    """A folder of prepared features, one safetensors file each, and the digests of their inputs.

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

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._index_path = self.folder / "digests.json"
        self._index: dict[str, list[Any]] | None = None
        self._changed = False

    def path_of(self, key: str) -> Path:
        """Where the item of a key is or would be."""
        return self.folder / key[:2] / f"{key}.safetensors"

    def has(self, key: str) -> bool:
        """Whether there is a whole file for the key (its header is read, not its values)."""
        return self._header(key) is not None

    def get(self, key: str) -> tuple[NDArray[np.float32], Clock] | None:
        """Values [n, d], read-only and mapped to the file, and their clock; None where there are none."""
        header = self._header(key)
        if header is None:
            return None
        return self._tensor(key, header, "values"), self._clock(key, header)

    def meta(self, key: str) -> dict[str, Any]:
        """What was noted with `put`; empty where there is no such item."""
        header = self._header(key)
        found: dict[str, Any] = json.loads(header["__metadata__"]["meta"]) if header else {}
        return found

    def put(self, key: str, values: NDArray[np.float32], clock: Clock, meta: Mapping[str, Any] | None = None) -> None:
        """Write features [n, d] and their clock; atomic, and the last of several writers wins.

        Raises:
            DataError: values are not [n, d], or the clock has another length.
        """
        if values.ndim != 2 or len(clock) != len(values):
            raise DataError(f"features of shape {values.shape} with {len(clock)} times; expected [n, d] and n.")
        described, tensors = _pack(clock)
        tensors["values"] = np.ascontiguousarray(values, np.float32)
        notes = {
            "format": FORMAT,
            "key": key,
            "clock": json.dumps(described),
            "meta": json.dumps(dict(meta or {})),
        }
        target = self.path_of(key)
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f"{key}.{os.getpid()}.part")
        try:
            with open(part, "wb") as out:
                out.write(_head(tensors, notes))
                for tensor in tensors.values():
                    tensor.tofile(out)
            os.replace(part, target)
        finally:
            part.unlink(missing_ok=True)

    def _header(self, key: str) -> dict[str, Any] | None:
        path = self.path_of(key)
        try:
            with open(path, "rb") as file:
                header = _parse(file.read(8), file, path.stat().st_size)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.warning("%s: not a whole file of features (%s); it will be made anew", path, error)
            return None
        if header["__metadata__"].get("key") != key:
            log.warning("%s: holds other features than its name says; it will be made anew", path)
            return None
        return header

    def _tensor(self, key: str, header: dict[str, Any], name: str) -> NDArray[Any]:
        about = header[name]
        shape, kind = tuple(about["shape"]), NAMES[about["dtype"]]
        if 0 in shape:
            empty: NDArray[Any] = np.empty(shape, kind)
            empty.setflags(write=False)
            return empty
        offset = header["__start__"] + about["data_offsets"][0]
        tensor: NDArray[Any] = np.frombuffer(_mapped(self.path_of(key)), kind, math.prod(shape), offset)
        return tensor.reshape(shape)

    def _clock(self, key: str, header: dict[str, Any]) -> Clock:
        about = json.loads(header["__metadata__"]["clock"])
        if about["clock"] == "grid":
            return Grid(Fraction(about["start"]), Fraction(about["rate"]), about["n"])
        if about["clock"] == "ticks":
            return Ticks(self._tensor(key, header, "times"))
        return Spans(self._tensor(key, header, "starts"), self._tensor(key, header, "stops"))

    def digest_of(self, path: Path) -> str:
        """Digest of a file's bytes, or of all files in a folder and their names.

        It is remembered by path, size and time of change, so that a file is read once only; `flush` keeps
        what is remembered.

        Raises:
            DataError: no such file, or it cannot be read.
        """
        try:
            if path.is_dir():
                inside = sorted(p for p in path.rglob("*") if p.is_file())
                names = [[p.relative_to(path).as_posix(), self._file_digest(p)] for p in inside]
                return blake2b(json.dumps(names).encode(), digest_size=20).hexdigest()
            return self._file_digest(path)
        except FileNotFoundError as error:
            raise DataError(f"{path}: no such file. Correct the path in the manifest or put the file there.") from error
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error.strerror}). Check the file and its rights.") from error

    def _file_digest(self, path: Path) -> str:
        status = path.stat()
        name = str(path.resolve())
        index = self._digests()
        known = index.get(name)
        if isinstance(known, list) and known[:2] == [status.st_size, status.st_mtime_ns]:
            return str(known[2])
        hasher = blake2b(digest_size=20)
        with open(path, "rb") as file:
            while block := file.read(1 << 20):
                hasher.update(block)
        if time.time_ns() - status.st_mtime_ns > SETTLED_NS:
            index[name] = [status.st_size, status.st_mtime_ns, hasher.hexdigest()]
            self._changed = True
        return hasher.hexdigest()

    def _digests(self) -> dict[str, list[Any]]:
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
        if not self._changed:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        part = self._index_path.with_name(f"digests.{os.getpid()}.part")
        part.write_text(json.dumps(self._index), encoding="utf-8")
        os.replace(part, self._index_path)
        self._changed = False


def _mapped(path: Path) -> Any:
    """A whole file as a read-only buffer on a memory map that keeps no file open.

    ``numpy.memmap`` holds a file handle for each array, and a trainer holds thousands of them; Arrow's map
    outlives its file's closing.
    """
    import pyarrow as pa  # slow to import; only who reads features needs it

    with pa.memory_map(str(path), "r") as file:
        return file.read_buffer()


def _pack(clock: Clock) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """A clock as exact JSON, and the arrays that belong to it."""
    if isinstance(clock, Grid):
        return {"clock": "grid", "start": str(clock.start_exact), "rate": str(clock.rate), "n": clock.n}, {}
    if isinstance(clock, Spans):
        return {"clock": "spans"}, {
            "starts": np.ascontiguousarray(clock.starts),
            "stops": np.ascontiguousarray(clock.stops),
        }
    return {"clock": "ticks"}, {"times": np.ascontiguousarray(clock.times)}


def _head(tensors: dict[str, NDArray[Any]], notes: dict[str, str]) -> bytes:
    """The safetensors header: its length, then JSON padded so that the data begin at a multiple of 8."""
    kinds = {np.dtype(np.float32): "F32", np.dtype(np.float64): "F64"}
    header: dict[str, Any] = {"__metadata__": notes}
    at = 0
    for name, tensor in tensors.items():
        offsets = [at, at + tensor.nbytes]
        header[name] = {"dtype": kinds[tensor.dtype], "shape": list(tensor.shape), "data_offsets": offsets}
        at += tensor.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def _parse(length: bytes, file: Any, size: int) -> dict[str, Any]:
    """The header, with ``__start__``, where the data begin.

    Raises:
        ValueError, KeyError, TypeError: the file is cut short, or not of the format.
    """
    count = int.from_bytes(length, "little")
    if len(length) < 8 or count > size - 8:
        raise ValueError(f"{size} bytes are too few")
    header: dict[str, Any] = json.loads(file.read(count))
    if header["__metadata__"]["format"] != FORMAT:
        raise ValueError("another format")
    end = max(about["data_offsets"][1] for name, about in header.items() if name != "__metadata__")
    if size != 8 + count + end:
        raise ValueError(f"{size} bytes, but its header tells of {8 + count + end}")
    return {**header, "__start__": 8 + count}
