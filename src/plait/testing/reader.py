"""The laws of readers."""

from __future__ import annotations

import pickle
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from plait.core.errors import DataError
from plait.core.parts import Options
from plait.readers import Reader
from plait.streams.stream import KINDS, Stream
from plait.testing.laws import LawBroken, require

__all__ = ["check_reader"]

_LARGEST = 50_000_000
"""Values per observation beyond which a broken file is not read: it only claims to be that large."""


def check_reader(cls: type[Reader], example: Path, *, mutations: int = 40, **options: object) -> None:
    """Check the laws of a reader on a small file (or folder) of its format.

    Claims (it claims the example by its name); opening (leaves no file open, gives the same clocks twice); missing
    (a missing file is a `DataError`); clock (as long as the values, never backwards); values (kind, shape and type
    agree, nothing infinite); pieces (blocks, single observations and reading backwards give the values of one pass);
    cut (a cut of a cut is the cut by both); pickling (a stream can go to another process, even half read); bytes
    (truncated and mutated files end in streams or in `DataError`, nothing else).

    Args:
        cls: the class, constructed as ``cls(**options)``.
        example: a file of the format, best below 100 kB; it is copied, never changed.
        mutations: number of broken copies to try; always the same ones.
        options: its options.

    Raises:
        LawBroken: which law, and how.

    >>> from plait.readers.align import Align
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     example = Path(folder) / "a.align"
    ...     _ = example.write_text("0 10000 sil\\n10000 12000 bin\\n12000 15000 blue\\n")
    ...     check_reader(Align, example)
    """
    require(cls().claims(example), cls, "claims", f"it does not claim {example.name}")
    streams = cls(**options).open(example)
    require(not _open_files(example), cls, "opening", "opening leaves files open")
    require(bool(streams), cls, "opening", "the example gives no streams")
    again = cls(**options).open(example)
    for name, stream in streams.items():
        require(again[name].clock == stream.clock, cls, "opening", f"{name}: opened twice, the clocks differ")
        values = _check_values(cls, name, stream)
        _check_pieces(cls, name, again[name], values)
        _check_cut(cls, name, stream, values)
        _check_pickling(cls, name, stream, values)
    _check_missing(cls, example, options)
    _check_bytes(cls, example, options, mutations)


def _open_files(example: Path) -> int:
    """How many open files of this process are the example or in it; 0 where the system does not tell."""
    folder, count = Path("/proc/self/fd"), 0
    for link in folder.iterdir() if folder.is_dir() else ():
        try:
            count += link.resolve().is_relative_to(example.resolve())
        except OSError:  # closed meanwhile: the listing itself is one
            continue
    return count


def _check_values(cls: type[Reader], name: str, stream: Stream) -> NDArray[np.generic]:
    times = stream.clock.times
    starts = getattr(stream.clock, "starts", times)
    require(bool((np.diff(starts) >= 0).all()), cls, "clock", f"{name}: times go backwards")
    require(stream.kind in KINDS, cls, "values", f"{name}: kind {stream.kind!r} is none of {', '.join(KINDS)}")
    shape = stream.shape
    values = stream.read()
    require(values.shape == shape, cls, "values", f"{name}: shape {values.shape}, announced {shape}")
    require(len(values) == len(times), cls, "clock", f"{name}: {len(values)} values, {len(times)} times")
    right = {"frames": values.dtype == np.uint8, "waveform": values.dtype == np.float32}
    right["words"] = values.ndim == 1 and all(isinstance(v, str) for v in values.tolist())
    require(bool(right.get(stream.kind, values.dtype.kind in "biuf")), cls, "values",
            f"{name}: {values.dtype} {values.shape} is not {KINDS[stream.kind]}")  # fmt: skip
    if values.dtype.kind == "f":
        require(not np.isinf(values).any(), cls, "values", f"{name}: infinite values")
    return values


def _same(a: NDArray[np.generic], b: NDArray[np.generic]) -> bool:
    return a.shape == b.shape and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")


def _check_pieces(cls: type[Reader], name: str, stream: Stream, values: NDArray[np.generic]) -> None:
    n = len(stream)
    pieces = [block.read() for block in stream.blocks(max(1, n // 7))]
    if pieces:
        require(_same(np.concatenate(pieces), values), cls, "pieces", f"{name}: blocks differ from one pass")
    for lo, hi in ((n // 2, n), (n // 3, n // 2), (0, n // 4), (n - 1, n), (n // 2, n // 2 + 1), (n // 2, n // 2)):
        lo = max(lo, 0)
        got = stream[lo:hi].read()
        require(_same(got, values[lo:hi]), cls, "pieces", f"{name}: {lo}:{hi} differs from one pass")


def _check_cut(cls: type[Reader], name: str, stream: Stream, values: NDArray[np.generic]) -> None:
    a, b = stream.clock.start, stream.clock.stop
    at = [a + (b - a) * f for f in (0.2, 0.4, 0.6, 0.8)]
    twice, once = stream.cut(at[0], at[2]).cut(at[1], at[3]), stream.cut(at[1], at[2])
    part = stream.clock.window(at[1], at[2])
    require(twice.clock == once.clock, cls, "cut", f"{name}: clocks of a cut of a cut")
    kept = _same(twice.read(), once.read()) and _same(once.read(), values[part])
    require(kept, cls, "cut", f"{name}: values of a cut of a cut")


def _check_pickling(cls: type[Reader], name: str, stream: Stream, values: NDArray[np.generic]) -> None:
    half = len(stream) // 2  # read first, so that a decoder is open: it must not go along
    stream[:half].read()
    try:
        copy = pickle.loads(pickle.dumps(stream))
    except Exception as error:  # an object may raise anything while it is pickled
        raise LawBroken(cls, "pickling", f"{name}: {error!r}") from error
    require(_same(copy[half:].read(), values[half:]), cls, "pickling", f"{name}: the copy reads other values")


def _check_missing(cls: type[Reader], example: Path, options: dict[str, object]) -> None:
    missing = example.with_name("not_there" + example.suffix)
    _outcome(cls, missing, options, "missing")


def _outcome(cls: type[Reader], path: Path, options: Options, law: str) -> None:
    """Open and read all; anything but streams or a `DataError` breaks the law."""
    try:
        streams = cls(**options).open(path)
        require(law != "missing", cls, law, "a file that is not there is opened")
        for stream in streams.values():
            if np.prod(stream.shape[1:], dtype=np.float64) < _LARGEST:
                # Only the front and the last row: a broken header may claim hours of film.
                stream[: 5000 if len(stream.shape) < 3 else 50].read()
                stream[len(stream) - 1 :].read()
    except DataError as error:
        require(all(str(p).strip() for p in error.problems), cls, law, "an error without words")
    except LawBroken:
        raise
    except Exception as error:
        raise LawBroken(cls, law, f"{path.name} ends in {error!r}") from error


def _check_bytes(cls: type[Reader], example: Path, options: dict[str, object], mutations: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / example.name
        (shutil.copytree if example.is_dir() else shutil.copy)(example, copy)
        files = sorted(p for p in copy.rglob("*") if p.is_file()) if copy.is_dir() else [copy]
        for file in files:
            whole = file.read_bytes()
            # One file at a time, the others intact: two broken files would hide each other.
            for data in _broken(whole, max(6, mutations // len(files))):
                file.write_bytes(data)
                _outcome(cls, copy, options, "bytes")
            file.write_bytes(whole)


def _broken(whole: bytes, count: int) -> Iterator[bytes]:
    """Truncated and mutated versions, the same for the same bytes."""
    rng = np.random.default_rng(len(whole))
    for i in range(count):
        data = bytearray(whole)
        if i % 4 == 0:
            del data[int(len(data) * i / count) :]
            yield bytes(data)
            continue
        # Headers are at the start or the end of a file: break them more often than their share.
        lo, hi = ((0, min(64, len(data))), (0, len(data)), (max(len(data) - 400, 0), len(data)))[i % 3]
        for at in rng.integers(lo, hi, 1 + 3 * (i % 5)) if hi > lo else ():
            data[at] = int(rng.integers(256)) if i % 2 else b"-9,.\n\0 x"[int(rng.integers(8))]
        yield bytes(data)
