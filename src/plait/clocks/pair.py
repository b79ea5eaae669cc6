"""Two streams compared directly: by how much the second one's clock is off the first one's."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from plait.clocks.drift import Curve
from plait.clocks.flags import Flag, untold
from plait.clocks.link import Limits, Link, activities, link
from plait.clocks.offset import Lags
from plait.core.errors import DataError
from plait.streams.stream import Stream

__all__ = ["Comparison", "compare"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Comparison:
    """What two streams say of each other's clocks.

    Attributes:
        line: the lag, seconds of x minus seconds of y at the same event, over y's seconds; straight, or with
            knots and change points.
        lags: the lags of single windows that it was fitted to (for plots).
        confidence: that x and y have something in common, and the lag is theirs, 0..1.
        uncertainty_s: the lag is right within so many seconds everywhere in y: two standard errors at the worst
            place, and what the measure itself may be off by.
        reason: why the result is flagged: nothing in common was found, it is less certain than the tolerance, or
            nothing tells in most of the recording; '' where it is good.
        flag: the same in one word.
        untold: (first, last) second of y between which nothing tells the lag, if that is most of it.
    """

    line: Curve
    lags: Lags
    confidence: float
    uncertainty_s: float
    reason: str
    flag: Flag = Flag.NONE
    untold: tuple[float, float] | None = None

    @property
    def flagged(self) -> bool:
        return bool(self.reason)

    @property
    def lag(self) -> float:
        """Seconds of x minus seconds of y in y's middle."""
        return float(self.line.at(self.line.pivot))

    @property
    def offset(self) -> float:
        """Seconds of x at y's second 0, by the one line that is nearest to the lag."""
        return self.line.offset - self.line.drift * self.line.pivot

    @property
    def drift_ppm(self) -> float:
        """By how much y's seconds are too short, parts per million, by the one line that is nearest to the lag."""
        return self.line.drift * 1e6

    @property
    def change_points(self) -> tuple[tuple[float, float], ...]:
        """(y's second, size in seconds) where the lag jumps: samples were lost by y if it is above 0, else by x."""
        return self.line.change_points

    def seconds(self, t: Array | float) -> Array:
        """x's seconds of y's seconds t."""
        return np.asarray(t, np.float64) + self.line.at(t)

    def __str__(self) -> str:
        if self.confidence < Limits().sure:
            return f"nothing in common found (confidence {self.confidence:.2f})"
        lost = f", {len(self.change_points)} change points" if self.change_points else ""
        bends = f", {len(self.line.knots) - 2 - 2 * len(self.change_points)} bends{lost}" if self.line.knots else ""
        flag = f"; FLAGGED: {self.reason}" if self.flagged else ""
        return (
            f"lag {self.lag:+.6f} s in the middle, drift {self.drift_ppm:+.3f} ppm{bends}, within "
            f"{self.uncertainty_s * 1e3:.2f} ms (confidence {self.confidence:.4f}){flag}"
        )


def compare(
    x: Stream, y: Stream, *, max_offset: float = 10.0, max_drift_ppm: float = 1000.0, tolerance: float = 0.010
) -> Comparison:
    """Find from the signals by how much y's clock is off x's, also where it drifts, bends or jumps.

    Streams may be of any two kinds that saw the same events: sounds, films, sensors, bodies, words or marks. They
    are read in blocks.

    Args:
        x: the stream whose clock is right.
        y: the other one.
        max_offset: seconds to search either way.
        max_drift_ppm: parts per million to search either way.
        tolerance: seconds; a result less certain than this anywhere in y is flagged.

    Raises:
        DataError: one of them is too short, or nothing in it ever changes; or a limit is out of its range.

    >>> rng = np.random.default_rng(0); room = rng.standard_normal((480000, 1)).astype(np.float32)
    >>> one, other = (Stream.of(part, rate=16000, kind="waveform") for part in (room, room[8000:]))
    >>> found = compare(one, other)
    >>> round(found.offset, 4), found.flagged
    (0.5, False)
    """
    limits = Limits(max_offset, max_drift_ppm, tolerance)
    (xs, wrong), (ys, also) = activities({"x": x}), activities({"y": y})
    found = link("x", xs, "y", ys, limits)
    if found is None:
        raise DataError([*wrong, *also])
    uncertainty = _uncertainty(found, y)
    flag, reason = _verdict(found, uncertainty, limits)
    return Comparison(found.line, found.lags[0], found.confidence, uncertainty, reason, flag, found.untold)


def _uncertainty(found: Link, y: Stream) -> float:
    """Two standard errors at the worst place of y, with the bias."""
    line = found.line
    times = np.array([y.clock.start, y.clock.stop, *(t for t, _ in (*line.knots, *line.wander))])
    return float(np.hypot(2 * np.hypot(line.error_at(times), line.wander_at(times)).max(), found.bias))


def _verdict(found: Link, uncertainty: float, limits: Limits) -> tuple[Flag, str]:
    if found.confidence < limits.sure:
        why = f"nothing in common found (confidence {found.confidence:.2f})"
        return (Flag.AMBIGUOUS, found.doubt) if found.doubt else (Flag.NOTHING_IN_COMMON, why)
    if found.line.steepest * 1e6 > limits.max_drift_ppm:
        return Flag.OUT_OF_RANGE, f"drift {found.line.steepest * 1e6:.0f} ppm is beyond the limits"
    if uncertainty > limits.tolerance:
        return Flag.UNCERTAIN, f"uncertain by {uncertainty * 1e3:.1f} ms"
    if found.untold:
        return Flag.UNTOLD, untold(found.untold)
    return Flag.NONE, ""
