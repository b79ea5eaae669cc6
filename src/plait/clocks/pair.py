"""Two streams compared directly: the offset and drift of the second one's clock against the first one's."""

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
    """How the clocks of two streams relate.

    Attributes:
        line: the lag, seconds of x minus seconds of y at the same event, over y's seconds; straight, or with
            knots and change points.
        lags: the lags of single windows that it was fitted to (for plots).
        confidence: probability that x and y share events and that this is their lag, 0..1.
        uncertainty_s: the lag is right within this many seconds everywhere in y: two standard errors at the worst
            place, combined with the systematic error of the measure.
        reason: why the result is flagged: nothing in common was found, it is less certain than the tolerance, or
            no lag was found in most of the recording; '' where it is good.
        flag: the same in one word.
        untold: (first, last) second of y between which no lag was found, if that is most of y.
        bias_s: the part of ``uncertainty_s`` that is common to all lags, which more of them do not reduce.
    """

    line: Curve
    lags: Lags
    confidence: float
    uncertainty_s: float
    reason: str
    flag: Flag = Flag.NONE
    untold: tuple[float, float] | None = None
    bias_s: float = 0.0

    @property
    def flagged(self) -> bool:
        return bool(self.reason)

    @property
    def lag(self) -> float:
        """Seconds of x minus seconds of y in the middle of y."""
        return float(self.line.at(self.line.pivot))

    @property
    def offset(self) -> float:
        """Seconds of x at y's second 0, by the straight line that fits the lag best."""
        return self.line.offset - self.line.drift * self.line.pivot

    @property
    def drift_ppm(self) -> float:
        """How much too short y's seconds are, parts per million, by the straight line that fits the lag best."""
        return self.line.drift * 1e6

    @property
    def change_points(self) -> tuple[tuple[float, float], ...]:
        """(second of y, size in seconds) where the lag jumps: y lost samples if the size is above 0, else x did."""
        return self.line.change_points

    def seconds(self, t: Array | float) -> Array:
        """Seconds of x at the seconds t of y."""
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
    """Estimate from the signals how far y's clock is off x's, also where it drifts, bends or jumps.

    Streams may be of any two kinds that saw the same events: sounds, films, sensors, bodies, words or marks. They
    are read in blocks.

    Args:
        x: the stream whose clock is right.
        y: the stream whose clock is compared with it.
        max_offset: seconds to search in either direction.
        max_drift_ppm: parts per million to search in either direction.
        tolerance: seconds; a result less certain than this anywhere in y is flagged.

    Raises:
        DataError: a stream is too short or never changes, or a limit is out of its range.

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
    return Comparison(found.line, found.lags[0], found.confidence, uncertainty, reason, flag, found.untold, found.bias)


def _uncertainty(found: Link, y: Stream) -> float:
    """Two standard errors at the worst place of y, combined with the bias."""
    line = found.line
    # Between these instants the errors only interpolate, so the worst place is one of them.
    times = np.array([y.clock.start, y.clock.stop, *(t for t, _ in (*line.knots, *line.wander))])
    # The bias is stated as two standard errors already.
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
