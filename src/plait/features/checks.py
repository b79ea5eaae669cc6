"""Checks and helpers shared by features: numbers that may be NaN but not infinite, and differences over time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from plait.core.errors import ConfigError, DataError
from plait.streams.clock import Clock
from plait.streams.stream import Stream

__all__ = ["above_zero", "as_float32", "differences", "flat_numbers", "one_of", "place_of", "refuse_infinite"]


def place_of(stream: Stream) -> str:
    """The stream's file for a message."""
    return stream.where or "stream"


def above_zero(part: str, **options: float) -> None:
    """Refuse options that are not above 0, all at once.

    Raises:
        ConfigError: naming the part, the option and its value.
    """
    problems = [
        f"{part}.{name}: got {value!r}; expected a number above 0."
        for name, value in options.items()
        if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0
    ]
    if problems:
        raise ConfigError(problems)


def one_of(option: str, value: object, known: tuple[str, ...]) -> None:
    """Refuse an option that is not among the known values.

    Raises:
        ConfigError: naming the option, its value and the known values.
    """
    if value not in known:
        raise ConfigError(f"{option}: got {value!r}; expected one of {', '.join(known)}.")


def refuse_infinite(values: NDArray[np.generic], stream: Stream, first: int = 0) -> None:
    """Refuse infinite values [n, ...] of a stream or of a block that begins at observation ``first``.

    Raises:
        DataError: with their number and the place of the first.
    """
    if values.dtype.kind != "f":
        return
    infinite = np.isinf(values)
    if not infinite.any():
        return
    row = int(np.flatnonzero(infinite.reshape(len(values), -1).any(1))[0])
    raise DataError(
        f"{place_of(stream)}: {int(infinite.sum())} infinite values, the first in observation {first + row} "
        f"({stream.clock.times[row]:.3f} s). Correct the file; write NaN where nothing was observed."
    )


def flat_numbers(stream: Stream) -> NDArray[np.float64]:
    """All values as [n, channels]; for streams whose features are as large as the raw values.

    Raises:
        DataError: values are not numbers, or are infinite.
    """
    values = stream.read()
    if values.dtype.kind not in "fiub":
        raise DataError(
            f"{place_of(stream)}: values are of type {values.dtype}; expected real numbers. "
            "Choose the numeric columns, or another feature."
        )
    refuse_infinite(values, stream)
    width = int(np.prod(stream.source.shape))
    return values.reshape(len(values), width).astype(np.float64)


def as_float32(values: NDArray[np.float64], stream: Stream) -> NDArray[np.float32]:
    """The same in single precision.

    Raises:
        DataError: a value is too large.
    """
    with np.errstate(over="ignore"):
        out = values.astype(np.float32)
    if np.isinf(out).any():
        top = float(np.nanmax(np.abs(values)))
        raise DataError(f"{place_of(stream)}: values up to {top:g}; expected below 3.4e38. Change the unit.")
    return out


def differences(
    values: NDArray[np.generic], clock: Clock, gap: float, where: str, *, per_second: bool = False
) -> NDArray[np.generic]:
    """Difference of each observation to the previous one, [n, dim]; 0 where there is none to compare with.

    The previous observation counts if it is at most ``gap`` seconds earlier and not NaN. The first observation has
    none: its difference is 0, as if the edge were repeated. NaN stays NaN.

    Raises:
        DataError: every observation is further than ``gap`` from the previous one.

    >>> from plait.streams.clock import Ticks
    >>> x, clock = np.array([[1.0], [3.0], [9.0]]), Ticks([0, 0.5, 9])
    >>> differences(x, clock, 1.0, "x", per_second=True).ravel().tolist()
    [0.0, 4.0, 0.0]
    """
    out = np.where(np.isnan(values), values, np.zeros_like(values))
    if len(values) < 2:
        return out
    step = np.diff(clock.times)
    if step.min() > gap:
        raise DataError(
            f"{where}: observations are {step.min():g} s apart or more, but differences look back "
            f"{gap:g} s. Raise the option gap, or leave differences out."
        )
    usable = (step <= gap) & (step > 0)
    change = np.diff(values, axis=0)
    if per_second:
        change = change / np.where(usable, step, 1.0)[:, None].astype(values.dtype)
    known = usable[:, None] & ~np.isnan(change)
    out[1:] = np.where(known, change, out[1:])
    return out
