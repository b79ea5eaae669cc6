"""Big-endian wave files (RIFX), which ffmpeg does not read; SciPy does."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from plait.core.errors import DataError
from plait.readers._words import Later
from plait.streams.clock import Grid
from plait.streams.stream import Stream, Values

__all__ = ["is_rifx", "rifx_sound", "unit_floats"]


def is_rifx(path: Path) -> bool:
    """Whether a file begins as a big-endian wave file does."""
    try:
        with open(path, "rb") as file:
            return file.read(4) == b"RIFX"
    except OSError:
        return False


def rifx_sound(path: Path) -> Stream:
    """The sound of a RIFX file, [n, channels] float32 in -1..1.

    Values are mapped, not read, on opening; those of 24 bits cannot be mapped, and are read once for their number.

    Raises:
        DataError: the file is cut short, or in a form that SciPy does not read.
    """
    rate, values = _read(path)
    n, channels = len(values), values.shape[1] if values.ndim > 1 else 1
    load = Later(lambda: unit_floats(_read(path)[1].reshape(n, channels)), n, (channels,), str(path))
    return Stream(Grid(0, rate, n), load, "waveform", (), str(path))


def _read(path: Path) -> tuple[int, NDArray[np.generic]]:
    from scipy.io import wavfile

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", wavfile.WavFileWarning)  # SciPy only warns of a file that is cut short
            warnings.filterwarnings("ignore", "Chunk .non-data. not understood", wavfile.WavFileWarning)
            try:
                return _checked(*wavfile.read(path, mmap=True))
            except ValueError:  # 24 bits
                return _checked(*wavfile.read(path))
    except Exception as error:  # SciPy raises what its own code runs into
        raise DataError(
            f"{path}: cannot be read as a big-endian wave file ({error}). Get a whole copy, or convert it: "
            f"sox {path.name} {path.stem}.flac"
        ) from error


def _checked(rate: int, values: NDArray[np.generic]) -> tuple[int, NDArray[np.generic]]:
    if rate <= 0 or not values.size:
        raise ValueError(f"{values.size} values at {rate} Hz")
    return rate, values


def unit_floats(values: Values) -> NDArray[np.float32]:
    """Samples of any type in -1..1, of the same shape: signed ones by their range, unsigned ones about its middle.

    >>> unit_floats(np.array([-32768, 16384], np.int16)).tolist(), unit_floats(np.array([0, 192], np.uint8)).tolist()
    ([-1.0, 0.5], [-1.0, 0.5])
    """
    if values.dtype.kind == "u":
        return np.asarray((values.astype(np.float32) - 128) / 128, np.float32)
    if values.dtype.kind == "i":
        return np.asarray(values * (-1 / float(np.iinfo(values.dtype).min)), np.float32)
    with np.errstate(over="ignore", invalid="ignore"):  # overflow gives infinite values, which are refused
        return np.ascontiguousarray(values, np.float32)
