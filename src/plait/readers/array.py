"""Arrays in files: NumPy (without pickle) and MATLAB (versions 4 to 7.3)."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, ClassVar

import numpy as np
from numpy.typing import NDArray

from plait.core.errors import ConfigError, DataError
from plait.core.parts import suggest
from plait.readers import Reader
from plait.readers._archive import opened_member
from plait.readers._budget import Budget
from plait.readers._mat import list_mat
from plait.readers._mat73 import is_mat73, list_mat73
from plait.readers._told import tell
from plait.readers._words import Later
from plait.streams.clock import Clock, Grid, Ticks
from plait.streams.stream import KINDS, Stream

__all__ = ["Array"]


@dataclass(frozen=True)
class _Variable:
    """An array in a file: known by its header, loaded later."""

    shape: tuple[int, ...]
    kind: str
    """NumPy's letter for the type."""
    load: Callable[[], NDArray[np.generic]]
    why: str = ""
    """Why it is not read."""


class Array(Reader):
    """Streams of ``.npy`` (``values``, memory-mapped), ``.npz`` and ``.mat`` (by the variables' names).

    Variables other than arrays of real numbers (texts, cells, structures, tables, sparse and complex ones) are left
    out with a warning; a text variable that is named becomes words.

    Without ``rate`` or ``times``, observation i is at i seconds; a ``rate`` or ``duration`` in the
    manifest's entry then says what the clock really is.

    Args:
        variable: the array to take where the file has several; without it every numeric one becomes a stream.
        rate: observations per second.
        times: a ``.npy`` file beside this one, or a variable in it, with one time in seconds per observation.
        time_axis: the axis along which time runs; it is moved to the front.
        kind: of stream (`KINDS`); without it text is words, [n, h, w, c] frames, [n, j, 2 or 3] pose, else series.
        row: take ``values[row]`` as a single observation (tables with one row per recording).

    Raises:
        ConfigError: both a rate and times, or an unknown kind.
        DataError: not such a file, objects in it, no such variable or row, a clock of another length.

    >>> sorted(Array(rate=50).suffixes)
    ['.mat', '.npy', '.npz']
    """

    suffixes: ClassVar[tuple[str, ...]] = (".npy", ".npz", ".mat")

    def __init__(
        self,
        *,
        variable: str | None = None,
        rate: float | str | None = None,
        times: str | None = None,
        time_axis: int = 0,
        kind: str | None = None,
        row: int | None = None,
    ) -> None:
        if rate is not None and times is not None:
            raise ConfigError("array: got both a rate and times; expected one of them.")
        if kind is not None and kind not in KINDS:
            raise ConfigError(f"array.kind: {kind!r} is unknown. {suggest(kind, KINDS)}")
        self.variable, self.rate, self.times = variable, rate, times
        self.time_axis, self.kind, self.row = time_axis, kind, row

    def open(self, path: Path) -> dict[str, Stream]:
        found = _variables(path, self.budget)
        if self.variable is not None:
            if self.variable not in found:
                raise DataError(f"{path}: has no array {self.variable!r}. {suggest(self.variable, found)}")
            chosen = {self.variable: found[self.variable]}
        else:
            chosen = {k: v for k, v in found.items() if v.kind in "biuf" and v.shape and k != self.times}
            others = {k: v.why for k, v in found.items() if k not in chosen and k != self.times}
            if others and chosen:
                listed = ", ".join(f"{k} ({why})" if why else k for k, why in others.items())
                tell(path, f"variables that are no arrays of real numbers are left out: {listed}", once=True)
        if not chosen:
            raise DataError(
                f"{path}: has no numeric array. Expected one of numbers; it has: "
                f"{', '.join(f'{k} ({v.why})' if v.why else k for k, v in found.items()) or 'none'}."
            )
        return {name: self._stream(path, name, v, found) for name, v in chosen.items()}

    def _stream(self, path: Path, name: str, variable: _Variable, found: dict[str, _Variable]) -> Stream:
        where = str(path) if path.suffix == ".npy" else f"{path}:{name}"
        if variable.kind not in "biufU":
            raise DataError(
                f"{where}: is an array of objects or complex numbers{f' ({variable.why})' if variable.why else ''}; "
                "expected real numbers or text. Save it so."
            )
        n, *rest = self._shape(where, variable)
        kind = self.kind or _kind(variable.kind, n, rest)
        if kind in ("series", "waveform") and not rest:
            rest = [1]
        load = partial(self._values, variable, (n, *rest))
        clock = self._clock(path, where, n, found)
        return Stream(clock, Later(load, n, tuple(rest), where, keep=path.suffix != ".npy"), kind, (), where)

    def _shape(self, where: str, variable: _Variable) -> tuple[int, ...]:
        shape = variable.shape
        if self.row is not None:
            if not shape or not -shape[0] <= self.row < shape[0]:
                raise DataError(f"{where}: has shape {shape}, so no row {self.row}. Correct the row.")
            return (1, *shape[1:])
        if not shape or not -len(shape) <= self.time_axis < len(shape):
            raise DataError(
                f"{where}: has shape {shape}, so no time axis {self.time_axis}. Set time_axis to one it has."
            )
        rest = list(shape)
        return (rest.pop(self.time_axis), *rest)

    def _values(self, variable: _Variable, shape: tuple[int, ...]) -> NDArray[np.generic]:
        values = variable.load()
        values = np.asarray(values[self.row])[None] if self.row is not None else np.moveaxis(values, self.time_axis, 0)
        values = values.reshape(shape) if values.size == np.prod(shape, dtype=np.int64) else values
        return values.astype(object) if values.dtype.kind == "U" else values

    def _clock(self, path: Path, where: str, n: int, found: dict[str, _Variable]) -> Clock:
        if self.times is None:
            return Grid(0, self.rate if self.rate is not None else 1, n)
        beside = path.with_name(self.times)
        if self.times in found:
            times = found[self.times].load()
        elif beside.is_file():
            times = _npy(beside).load()
        else:
            raise DataError(
                f"{where}: there is neither a variable nor a file {self.times!r} with its times. Correct the name."
            )
        try:
            clock = Ticks(np.asarray(times).reshape(-1))
        except (DataError, ValueError, TypeError) as error:
            raise DataError(f"{where}: {self.times}: {error}") from error
        if len(clock) != n:
            raise DataError(
                f"{where}: {n} observations, but {self.times!r} has {len(clock)} times. "
                "Expected one each; correct the times."
            )
        return clock


def _kind(letter: str, n: int, rest: list[int]) -> str:
    if letter == "U":
        return "words"
    if len(rest) == 3 and letter in "bu":
        return "frames"
    return "pose" if len(rest) == 2 and rest[1] in (2, 3) else "series"


def _variables(path: Path, budget: Budget) -> dict[str, _Variable]:
    suffix = path.suffix.lower()
    if not path.is_file():
        raise DataError(f"{path}: no such file. Correct the path or put the file there.")
    if suffix == ".npy":
        return {"values": _npy(path)}
    return _npz(path, budget) if suffix == ".npz" else _mat(path, budget)


def _broken(path: Path, what: str, error: Exception) -> DataError:
    return DataError(f"{path}: cannot be read as {what} ({error}). Get a whole copy, or save the arrays anew.")


def _npy(path: Path) -> _Variable:
    values = _mapped(path)
    return _Variable(tuple(values.shape), values.dtype.kind, partial(_mapped, path))


def _mapped(path: Path) -> NDArray[np.generic]:
    try:
        return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
    except Exception as error:  # NumPy's header parser raises whatever broken bytes lead to
        raise _broken(path, "an array without objects (.npy)", error) from error


def _npz(path: Path, budget: Budget) -> dict[str, _Variable]:
    try:
        with zipfile.ZipFile(path) as archive:
            names = [n for n in archive.namelist() if n.endswith(".npy")]
            return {n[:-4]: _Variable(*_header(archive, n), partial(_member, path, n, budget)) for n in names}
    except DataError:
        raise
    except Exception as error:  # as above; so does zipfile
        raise _broken(path, "an archive of arrays (.npz)", error) from error


def _header(archive: zipfile.ZipFile, name: str) -> tuple[tuple[int, ...], str]:
    with archive.open(name) as file:
        shape, dtype = _shape_of(file)
    return shape, dtype.kind


def _shape_of(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[np.generic]]:
    """What the header of an array says."""
    version = np.lib.format.read_magic(file)
    # Version 3.0 differs from 2.0 only in the encoding of field names.
    reader = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = reader(file)
    return tuple(shape), dtype


def _member(path: Path, name: str, budget: Budget) -> NDArray[np.generic]:
    try:
        with zipfile.ZipFile(path) as archive:
            purse = budget.purse(path)
            with opened_member(archive, name, purse) as file:
                shape, dtype = _shape_of(file)
            whole = math.prod(shape) * dtype.itemsize
            # read_array makes room for what the header claims before it reads a byte.
            if whole > archive.getinfo(name).file_size:
                raise ValueError(f"its header says {whole:,} bytes, more than there are")
            if dtype.kind == "U":
                purse.count(math.prod(shape), "texts")
            with archive.open(name) as file:
                return np.asarray(np.lib.format.read_array(file, allow_pickle=False))
    except DataError:
        raise
    except Exception as error:  # as above
        raise _broken(path, f"an archive of arrays; {name}", error) from error


def _mat(path: Path, budget: Budget) -> dict[str, _Variable]:
    try:
        found = (list_mat73 if is_mat73(path) else list_mat)(path, budget)
    except OSError as error:
        raise _broken(path, "a MATLAB file", error) from error
    return {a.name: _Variable(a.shape, a.kind, a.load, a.why) for a in found}
