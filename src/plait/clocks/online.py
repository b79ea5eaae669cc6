"""One clock corrected while its stream runs: offset and drift beside a reference, for the future only.

An estimate is made at each multiple of ``every`` seconds of the stream's own clock, once both streams have come so far,
from the last ``window`` seconds before it. So estimates depend on what arrived, not on how it was cut into pieces. They
are those of the offline estimator (`plait.clocks.compare`, or the lines of `plait.clocks.online_window`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plait.clocks.link import Limits
from plait.clocks.online_window import (
    LEAST,
    Estimate,
    Noise,
    Ring,
    numbers_of,
    of_pairs,
    of_signals,
    on_grid,
    seconds_of,
    split,
)
from plait.clocks.slew import Slew
from plait.clocks.wander import UNSTEADY
from plait.core.errors import ConfigError, DataError
from plait.streams.clock import FARTHEST
from plait.streams.stream import Stream

__all__ = ["ClockFacts", "OnlineClock"]

Array = NDArray[np.float64]

BLOCK = 1.0
"""Seconds of own time of which one pair is kept: the one with the least lag, or of pulses with the median lag."""

CROWD = 31
"""Most pairs of a block that are kept to find its median, of pulses."""

NOTHING = "nothing was compared yet"
STREAMS = ("own", "reference")

MOST_SLEW = 500_000.0
"""Parts per million."""

LONGEST = 3600.0
"""Longest window, seconds."""


@dataclass(frozen=True)
class ClockFacts:
    """What is known of a clock now.

    Attributes:
        at: own second at which it was estimated.
        offset: seconds to add to own time at ``at``.
        drift_ppm: how much too short own seconds are, parts per million.
        half_width_s: the estimated clock is right within this many seconds now (95 %). It grows while no newer estimate
            confirms it, as an unsteady drift may lead the clock away.
        trusted: whether ``half_width_s`` is within the tolerance and nothing speaks against the estimate.
        reason: why it is not trusted; '' if it is.
        jump: (own second, seconds) of the newest jump of the clock; None if there was none.
        slewing_s: seconds by which corrected times still differ from the estimate.
    """

    at: float
    offset: float
    drift_ppm: float
    half_width_s: float
    trusted: bool
    reason: str
    jump: tuple[float, float] | None
    slewing_s: float


class OnlineClock:
    """A stream's clock beside a reference's, estimated as both run, and corrected for the future only.

    Feed it either pairs of times (`push`) or what both streams saw (`push_signal`), in pieces of any size. Ask
    `correct` for the times of a piece: what it answered never changes, and corrected times always grow.

    An estimate of second ``at`` takes effect ``every`` seconds later. So, as long as neither stream is later than that,
    the order in which their pieces come does not matter either. Until the first `correct` a trusted estimate is set as
    it is; later ones are slewed. Estimates that are not trusted change nothing: the clock goes on as it was.

    Args:
        window: seconds from which a clock is estimated.
        every: seconds between estimates.
        max_offset: seconds to search either way, for signals.
        max_drift_ppm: parts per million, either way.
        tolerance: seconds; a clock less certain than this is not trusted.
        slew_ppm: how much faster or slower the corrected clock may run to work off a difference, parts per million.
        step: seconds; a larger difference is set: time steps ahead, or passes at a tenth of its pace.
        noise: of pairs: ``delay`` where stamps of arrival come late and never early, ``jitter`` of pulses.

    >>> clock = OnlineClock()
    >>> own = np.arange(0, 60, 0.02); late = np.random.default_rng(0).exponential(0.02, len(own))
    >>> clock.push(own, 2 + own * (1 + 200e-6) + late)
    >>> clock.facts.trusted, round(clock.facts.offset, 2), round(clock.facts.drift_ppm, -1)
    (True, 2.01, 200.0)
    >>> round(float(clock.correct(100.0)), 2)
    102.02
    """

    def __init__(
        self,
        *,
        window: float = 60.0,
        every: float = 5.0,
        max_offset: float = 10.0,
        max_drift_ppm: float = 1000.0,
        tolerance: float = 0.010,
        slew_ppm: float = 500.0,
        step: float = 0.128,
        noise: Noise = "delay",
    ) -> None:
        self.options: dict[str, Any] = {"window": window, "every": every, "tolerance": tolerance, "noise": noise}
        self.options |= {"max_offset": max_offset, "max_drift_ppm": max_drift_ppm, "slew_ppm": slew_ppm, "step": step}
        _check_options(self.options)
        self._limits = Limits(max_offset, max_drift_ppm, tolerance)
        self._window, self._every, self._noise = window, every, noise
        self._slew = Slew(slew_ppm * 1e-6, step)
        # A stream that is this much further than the other still has what the other's next window needs.
        self._rings = {name: Ring(window + 3 * every) for name in STREAMS}
        self._used = self._latest = Estimate(0.0, reason=NOTHING)
        self._jump: tuple[float, float] | None = None
        self._next = -FARTHEST
        self._first: dict[str, float] = {}
        self._seen: dict[str, float] = {}
        self._block: list[tuple[float, float]] = []
        self._base = 0.0
        self._kinds: dict[str, str] = {}
        self.counts = {"used": 0, "late": 0, "repeated": 0}
        """Observations or pairs: used; dropped because a newer one came before; dropped because this one did."""

    def push(self, own_times: ArrayLike, reference_times: ArrayLike) -> None:
        """Pairs [n] of seconds at one instant: a packet's own stamp and its arrival, or a pulse that both saw.

        Raises:
            DataError: times are not finite, or not as many as the others. Nothing of the piece is used then.
        """
        own, there = seconds_of(own_times, "own times"), seconds_of(reference_times, "reference times")
        if len(own) != len(there):
            raise DataError(f"{len(own)} own times but {len(there)} reference times; expected pairs.")
        if not len(own):
            return
        self._only("pairs", "pairs")
        new = self._newer("own", own)
        own, lags = own[new], (there - own)[new]
        for part in split(own, BLOCK):
            self._pairs_of_block(own[part], lags[part])

    def push_signal(self, which: str, values: ArrayLike, times: ArrayLike, kind: str | None = None) -> None:
        """What one stream measured: ``values`` [n, ...] at ``times`` [n] seconds of its own clock.

        Args:
            which: ``own`` or ``reference``.
            values: numbers; NaN where nothing was measured. The window's worth of them is kept (`state_bytes`): of a
                long sound or a film, an envelope or the size of the movement is cheaper.
            times: seconds. What is not newer than what came before is counted and dropped.
            kind: as of `plait.Stream.of`; ``waveform`` must be said.

        Raises:
            ConfigError: ``which`` or the kind is unknown, or the clock is fed with pairs already.
            DataError: times are not finite, or the values are no numbers or of another shape than before. Nothing of
                the piece is used then.
        """
        if which not in STREAMS:
            raise ConfigError(f"stream {which!r} is unknown; expected one of {', '.join(STREAMS)}.")
        when, table = seconds_of(times, f"{which} times"), numbers_of(values, which)
        stream = Stream.of(table, times=np.arange(len(table)), kind=kind)
        if stream.kind == "words" or len(table) != len(when):
            raise DataError(f"{which}: {len(table)} values of kind {stream.kind}, {len(when)} times; expected numbers.")
        if not len(when):
            return
        self._only(which, stream.kind, table.shape[1:])
        new = self._newer(which, when)
        when, table = when[new], table[new]
        for part in split(when, self._every):
            self._rings[which].push(when[part], table[part])
            self._arrived(which, when[part])
            self._signals_until()

    def correct(self, times: ArrayLike) -> Array:
        """Reference seconds of own ``times``, by what is known now; never changed afterwards.

        Raises:
            DataError: a time is not finite.
        """
        when = np.asarray(times, np.float64)
        seconds_of(when.reshape(-1), "times")
        return self._slew(when)

    def expected(self, times: ArrayLike) -> Array:
        """As `correct`, but it may change: what was not corrected yet follows the next estimate."""
        return self._slew.expected(times)

    def own(self, times: ArrayLike) -> Array:
        """Own seconds of reference ``times``: the inverse of `expected`."""
        return self._slew.inverse(times)

    @property
    def known(self) -> bool:
        """Whether there has been an estimate to trust. Before it, `correct` changes nothing."""
        return self._slew.aimed

    @property
    def facts(self) -> ClockFacts:
        """Offset, drift, how certain they are, and why they are not trusted."""
        known = self._used if np.isfinite(self._used.lag) else self._latest
        now = max(self._seen.get("own", known.at), known.at)
        waited = now - known.at
        # An integrated Wiener process (see `plait.clocks.wander`), and what the drift is off.
        away = 2 * np.hypot(known.drift_error * waited, UNSTEADY * np.sqrt(waited**3 / 3)) if waited else 0.0
        half_width = known.half_width + float(away)
        reason = self._silence() or self._latest.reason
        if not reason and half_width > self._limits.tolerance:
            reason = f"uncertain by {half_width * 1e3:.1f} ms: no new estimate for {waited:.0f} s"
        off = self._slew.off(known.at, known.lag, known.drift, now) if known is self._used else 0.0
        drift = known.drift * 1e6
        return ClockFacts(known.at, known.lag, drift, half_width, not reason, reason, self._jump, off)

    @property
    def state_bytes(self) -> int:
        """Bytes of what `save` gives. In memory, signals may take up to twice as many."""
        return sum(each.nbytes for each in self.save().values())

    def save(self) -> dict[str, NDArray[Any]]:
        """Everything, as plain arrays; `load` goes on from there as if nothing had happened."""
        told: dict[str, Any] = {
            "options": self.options,
            "kinds": self._kinds,
            "counts": self.counts,
            "first": self._first,
        }
        told |= {"seen": self._seen, "next": self._next, "base": self._base}
        told |= {"reasons": [self._used.reason, self._latest.reason], "jump": self._jump}
        saved: dict[str, NDArray[Any]] = {
            "slew": self._slew.save(),
            "block": np.array(self._block, np.float64).reshape(-1, 2),
            "estimates": np.stack([self._used.save(), self._latest.save()]),
            "json": np.frombuffer(json.dumps(told).encode(), np.uint8),
        }
        for name, ring in self._rings.items():
            held = ring.between(-np.inf, np.inf)
            saved |= {f"{name}.{what}": part.copy() for what, part in zip(("times", "values"), held)}
        return saved

    @classmethod
    def load(cls, saved: Mapping[str, NDArray[Any]]) -> Self:
        """The clock that was saved.

        Raises:
            DataError: an array is missing.
        """
        if missing := [name for name in cls().save() if name not in saved]:
            raise DataError(f"a saved clock lacks {', '.join(missing)}. Give `load` all that `save` gave.")
        told = json.loads(bytes(saved["json"]))
        self = cls(**told["options"])
        self._kinds, self.counts, self._first, self._seen = (told[k] for k in ("kinds", "counts", "first", "seen"))
        self._next, self._base = told["next"], told["base"]
        self._jump = tuple(told["jump"]) if told["jump"] else None
        self._slew.load(saved["slew"])
        self._block = [(float(a), float(b)) for a, b in saved["block"]]
        self._used, self._latest = map(Estimate.load, saved["estimates"], told["reasons"])
        for name, ring in self._rings.items():
            ring.push(saved[f"{name}.times"], saved[f"{name}.values"])
        return self

    def _only(self, which: str, kind: str, shape: tuple[int, ...] = ()) -> None:
        """One clock is fed in one way, and each stream with observations of one kind and shape."""
        fed = f"{kind}{list(shape)}"
        before = self._kinds.get(which, fed)
        if (self._kinds and ("pairs" in self._kinds) != (which == "pairs")) or before != fed:
            raise ConfigError(
                f"{which}: got {fed}, but this clock is fed with {', '.join(sorted(self._kinds.values()))}. "
                f"Make one clock for each way to compare two streams."
            )
        self._kinds[which] = fed

    def _newer(self, which: str, times: Array) -> NDArray[np.bool_]:
        """Which times are newer than all before them; the others are counted."""
        seen = np.maximum.accumulate(np.concatenate([[self._seen.get(which, -np.inf)], times]))[:-1]
        for name, count in (("used", times > seen), ("late", times < seen), ("repeated", times == seen)):
            self.counts[name] += int(count.sum())
        return np.asarray(times > seen)

    def _arrived(self, which: str, times: Array) -> None:
        self._first.setdefault(which, float(times[0]))
        self._seen[which] = float(times[-1])

    def _due(self, reached: float) -> Iterator[float]:
        """The instants of estimates up to ``reached``, each once; not those of which nothing is held any more."""
        oldest = max(max(self._first.values()) + LEAST, reached - self._window - 3 * self._every)
        at = max(self._next, on_grid(oldest, self._every))
        while at <= reached:
            self._next = at + self._every
            yield at
            at = self._next

    def _signals_until(self) -> None:
        if len(self._seen) < len(STREAMS):
            return
        for at in self._due(min(self._seen.values())):
            reference, own = (self._cut(which, at) for which in ("reference", "own"))
            self._take(of_signals(reference, own, at, self._limits))

    def _cut(self, which: str, at: float) -> Stream:
        times, values = self._rings[which].between(at - self._window, at)
        return Stream.of(values, times=times, kind=self._kinds[which].partition("[")[0])

    def _pairs_of_block(self, own: Array, lags: Array) -> None:
        """Add pairs of one block; the block before it ends."""
        if self._block and self._block[0][0] // BLOCK != own[0] // BLOCK:
            self._rings["own"].push(*(np.array([number]) for number in self._chosen()))
            self._block = []
        if not self._first:
            self._base = float(lags[0])
        self._arrived("own", own)
        for at in self._due(float(own[0])):
            times, found = self._rings["own"].between(at - self._window, at)
            one = of_pairs(times, found, at, self._limits, self._noise)
            self._take(replace(one, lag=one.lag + self._base))
        # Lags are kept beside the first one: the robust line knows of no lag of years, as of two epochs.
        self._block += zip(own.tolist(), (lags - self._base).tolist())
        self._block = [self._chosen()] if self._noise == "delay" else self._block[:CROWD]

    def _chosen(self) -> tuple[float, float]:
        """The pair that stands for its block."""
        in_order = sorted(self._block, key=lambda pair: pair[1])
        return in_order[0 if self._noise == "delay" else len(in_order) // 2]

    def _take(self, found: Estimate) -> None:
        self._latest, self._jump = found, found.jump or self._jump
        if not found.reason:
            self._used = found
            start = found.at + self._every
            self._slew.aim(start, found.lag + found.drift * self._every, found.drift)

    def _silence(self) -> str:
        """The message for two streams of which one is far behind; '' where none is."""
        own, there = (self._seen.get(which, np.nan) for which in STREAMS)
        if not abs(own - there) > self._limits.max_offset + 3 * self._every:
            return ""
        return f"own is at {own:.0f} s, reference at {there:.0f} s: one is silent, or they are too far apart"


def _check_options(options: Mapping[str, Any]) -> None:
    """All that is wrong with the options, in one go."""
    most = {"window": LONGEST, "every": options["window"], "slew_ppm": MOST_SLEW, "step": np.inf}
    least = {"window": LEAST, "every": BLOCK, "slew_ppm": 1.0, "step": 0.0}
    wrong = [
        f"{name} is {options[name]!r}; expected a number from {least[name]:g} to {most[name]:g}."
        for name in least
        # "Not within", so that NaN fails too; a step of inf slews whatever the difference is.
        if not least[name] <= options[name] <= most[name]
    ]
    if options["noise"] not in get_args(Noise):
        wrong.append(f"noise is {options['noise']!r}; expected one of {', '.join(get_args(Noise))}.")
    if wrong:
        raise ConfigError(wrong)
