"""The step that removes outliers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from plait.core.errors import ConfigError, DataError
from plait.streams.clock import Grid
from plait.streams.stream import Stream, Values
from plait.transforms import Step
from plait.transforms.imputation import observations, steady_step

__all__ = ["Hampel"]

Floats = NDArray[np.float64]


class Hampel(Step):
    """The Hampel filter: values far from the running median become gaps, or that median.

    Pearson 2002, "Outliers in process modeling and identification" (IEEE Trans. Control Syst. Technol. 10(1)): a value
    is removed if its distance from the median of its window exceeds ``threshold`` times 1.4826 times the median
    distance in the window. If half of a window is one value, that scale is 0 and nothing is removed. Add ``impute``
    after it to fill the gaps.

    Args:
        window: seconds to each side, of evenly spaced observations.
        threshold: standard deviations.
        to: ``gap`` (NaN) or ``median``.

    >>> level = np.sin(np.arange(40) / 5)[:, None]
    >>> level[20] = 9
    >>> np.flatnonzero(np.isnan(Hampel(window=0.5)(Stream.of(level, rate=10)).read()))
    array([20])
    """

    kinds = ("series", "pose")

    def __init__(self, *, window: float = 0.5, threshold: float = 4.0, to: str = "gap") -> None:
        problems = [] if window > 0 else [f"hampel.window: got {window} s; expected above 0."]
        if not threshold > 0:
            problems.append(f"hampel.threshold: got {threshold}; expected above 0.")
        if to not in ("gap", "median"):
            problems.append(f"hampel.to: got {to!r}; expected gap or median.")
        if problems:
            raise ConfigError(problems)
        self.window, self.threshold, self.to = window, threshold, to
        self._made: _Filtered | None = None

    @property
    def receptive_field(self) -> float:
        return self.window * 1.2  # steps may differ by a fifth

    def apply(self, stream: Stream) -> Stream:
        clock = stream.clock
        step = float(1 / clock.rate) if isinstance(clock, Grid) else steady_step(clock.times)
        side = observations(self.window, step)
        if side < 1:
            raise DataError(
                f"{stream.where or 'stream'}: {self.window:g} s hold no neighbour of an observation, which come every "
                f"{step:g} s. Give hampel a longer window."
            )
        self._made = _Filtered(stream, self, side)
        return replace(stream, source=self._made, first=0)

    def notes(self) -> dict[str, int]:
        count = self._made.count if self._made else 0
        return {"outliers taken out": count} if count else {}


class _Filtered:
    """A view without its outliers; indices count from the view's first observation."""

    def __init__(self, stream: Stream, step: Hampel, side: int) -> None:
        self.stream, self.step, self.side = stream, step, side
        self.shape = stream.source.shape
        self.count = self._counted = 0  # outliers, and the observations counted so far

    def read(self, lo: int, hi: int) -> Values:
        begin, end = max(lo - self.side, 0), min(hi + self.side, len(self.stream))
        values = self.stream[begin:end].read()
        if hi <= lo:
            return values[:0].astype(np.result_type(values.dtype, np.float32))
        table = np.asarray(values, np.float64).reshape(len(values), int(np.prod(self.shape, dtype=int)))
        pad = [(self.side - (lo - begin), self.side - (end - hi)), (0, 0)]
        padded = np.pad(table, pad, constant_values=np.nan)
        middle, scale = self._of_windows(padded, hi - lo)
        own = table[lo - begin : hi - begin]
        with np.errstate(invalid="ignore"):
            odd = (np.abs(own - middle) > self.step.threshold * 1.4826 * scale) & (scale > 0)
        # Each observation is counted once, however often it is read.
        self.count += int(odd[max(self._counted - lo, 0) :].sum())
        self._counted = max(self._counted, hi)
        kind = np.result_type(values.dtype, np.float32)
        return np.where(odd, np.nan if self.step.to == "gap" else middle, own).reshape(-1, *self.shape).astype(kind)

    def _of_windows(self, padded: Floats, n: int) -> tuple[Floats, Floats]:
        """Median and median absolute deviation in the window about each of n observations, [n, channels]."""
        windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * self.side + 1, axis=0)[:n]
        middle = _medians(windows)
        return middle, _medians(np.abs(windows - middle[..., None]))


def _medians(values: Floats) -> Floats:
    """Medians along the last axis without NaN."""
    # NaN sorts last. `nanmedian` works slice by slice and is far slower.
    ordered = np.sort(values, axis=-1)
    count = np.maximum((~np.isnan(values)).sum(-1, keepdims=True), 1)
    low, high = (np.take_along_axis(ordered, i, -1) for i in ((count - 1) // 2, count // 2))
    median: Floats = (low + high)[..., 0] / 2
    return median
