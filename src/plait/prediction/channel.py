"""A stream of a session: what waits of it, and its features that nobody has read yet."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import ArrayLike

from plait.clocks.online import OnlineClock
from plait.core.errors import ConfigError, raise_all
from plait.features import Feature
from plait.prediction.feature_ring import FeatureRing, Piece, RingState
from plait.prediction.inbox import SAME, Inbox, Rows, rate_of
from plait.recipe import StreamPlan
from plait.store.stepped import build_feature
from plait.streams.stream import Values
from plait.training.plans import plan_of
from plait.training.preparation import Preparation

__all__ = ["Channel", "after", "before", "channels_of"]


@dataclass
class Channel:
    """A stream of a session: what waits, and the features of each of its modalities that no lane has read yet."""

    inbox: Inbox
    rings: dict[str, FeatureRing]
    states: dict[str, RingState | None]
    ready: dict[str, Piece]
    shape: tuple[int, ...] | None = None
    clock: OnlineClock | None = None
    """Of the device, where its rows carry the device's own times; what is ready has times of the session."""
    watermark: float = -math.inf
    """All that is before it is here, seconds of the session. It never goes back."""

    @property
    def newest(self) -> float:
        """End of the newest row, seconds of the session; -inf while nothing is known."""
        if self.clock is None or math.isinf(self.inbox.newest):
            return self.inbox.newest
        return float(self.clock.expected(self.inbox.newest)) if self.clock.known else -math.inf

    @property
    def passed(self) -> float:
        """Until when no row is to be expected, by the newest one and the lateness; seconds of the session."""
        natural = self._natural
        if self.clock is None or math.isinf(natural):
            return natural
        return float(self.clock.expected(natural)) if self.clock.known else -math.inf

    def push(self, values: Values, times: ArrayLike | None, arrived: float, start: float | None) -> None:
        """Take a packet (`Inbox.push`); ``start`` is that of the session, unless it has none yet."""
        # where the start is by the device's clock is not known; the lanes begin there
        self.inbox.push(values, times, -math.inf if start is None or self.clock is not None else start)
        if self.clock is not None and len(values):
            self.clock.push([self.inbox.newest], [arrived])

    def seal(self, until: float) -> None:
        """Rows before ``until``, seconds of the session, that come from now on are late."""
        self.watermark = max(until, self.watermark)
        if self.clock is None or (self.clock.known and math.isinf(self.watermark)):
            self.inbox.seal(self.watermark)
        elif self.clock.known:
            own = float(self.clock.own(self.watermark))
            # there and back again is not quite the same number
            self.inbox.seal(self._natural if abs(own - self._natural) < SAME else own)
            # what is before it stays where it is now
            self.clock.correct(self.inbox.watermark)

    @property
    def _natural(self) -> float:
        newest = self.inbox.newest
        if self.inbox.rate is None and math.isfinite(newest):
            newest = math.nextafter(newest, math.inf)  # the newest row itself is there
        return newest - self.inbox.lateness

    @property
    def ahead(self) -> float:
        """Seconds after an instant that its features look at."""
        return max(ring.ahead for ring in self.rings.values())

    @property
    def unread(self) -> bool:
        """Whether it holds rows of which features can be made, or could if the stream ended."""
        waiting = self.inbox.pending
        return bool(waiting is not None and len(waiting.keys)) or any(x is not None for x in self.states.values())

    @property
    def bytes(self) -> int:
        """Of all rows that are kept."""
        kept = [a for state in self.states.values() if state for a in (state.values, state.keys)]
        return self.inbox.bytes + sum(a.nbytes for a in [*kept, *(a for piece in self.ready.values() for a in piece)])

    def take(self) -> None:
        """Rows before the watermark become features; those of a clock that nothing is known of go on waiting."""
        if self.clock is None or self.clock.known:
            self.states, self.ready = self.read(self.inbox.take(), closed=self.inbox.silent, final=True)

    def read(
        self, rows: Rows | None, *, closed: bool, final: bool = False
    ) -> tuple[dict[str, RingState | None], dict[str, Piece]]:
        """Rows through the features: what is kept then, and all features that no lane has read. Changes nothing.

        Args:
            rows: in order; a gap ends a run, and a new one begins behind it.
            closed: whether nothing can follow without a gap.
            final: whether the clock is to keep what it says of their times.
        """
        states, found = dict[str, RingState | None](), dict[str, Piece]()
        runs = [] if rows is None else self.inbox.runs(rows)
        for m, ring in self.rings.items():
            state, parts = self.states[m], [self.ready[m]]
            for run in runs:
                if state is not None and self.inbox.rate and run.keys[0] != ring.keys_of(state)[-1] + 1:
                    parts.append(self._ended(ring, state))
                    state = None
                state, piece = ring.advance(state, run, self._phase)
                parts.append(piece)
            if closed and state is not None:
                parts.append(self._ended(ring, state))
                state = None
            states[m], found[m] = state, _joined([parts[0], *(self._placed(part, final) for part in parts[1:])])
        return states, found

    def _placed(self, rows: Piece, final: bool) -> Piece:
        """Features of own times on the session's clock."""
        if self.clock is None or not len(rows.times):
            return rows
        if not self.clock.known:
            return Piece(rows.values[:0], rows.times[:0])
        return rows._replace(times=(self.clock.correct if final else self.clock.expected)(rows.times))

    def _ended(self, ring: FeatureRing, state: RingState) -> Piece:
        none = Rows(state.keys[:0], state.values[:0])
        return ring.advance(state, none, self._phase, last=True)[1]

    @property
    def _phase(self) -> Fraction:
        return self.inbox.phase or Fraction(0)


def channels_of(
    prepared: Preparation,
    dims: Mapping[str, int],
    lateness: float | Mapping[str, float],
    rates: Mapping[str, float | str | None],
) -> dict[str, Channel]:
    """A channel for each stream of a model; a stream may feed several modalities.

    Args:
        prepared: how the model's features are made.
        dims: their widths, by modality.
        lateness: seconds, for all streams or by name.
        rates: observations per second, by stream.

    Raises:
        ConfigError: what cannot be made as time passes, all of it, each with what to take instead.
    """
    found, problems = dict[str, Channel](), list[str]()
    for m, name in prepared.modalities.items():
        plan, spec = plan_of(prepared.recipe, m), prepared.features[m]
        feature = build_feature(spec, f"streams.{m}.feature")
        obstacles = _obstacles(m, plan, feature, str(spec["name"]))
        problems += obstacles
        if not obstacles:
            wait = lateness.get(name, 0.0) if isinstance(lateness, Mapping) else lateness
            own = found.setdefault(name, Channel(Inbox(name, rate_of(rates.get(name)), wait), {}, {}, {}))
            running = plan.normalization == "running"
            own.rings[m] = FeatureRing(
                feature, own.inbox.rate, f"stream {name!r}", running=running, causal=prepared.causal
            )
            own.states[m], own.ready[m] = None, Piece(np.zeros((0, dims[m]), np.float32), np.zeros(0))
    raise_all(ConfigError, problems)
    return found


def _obstacles(modality: str, plan: StreamPlan, feature: Feature, name: str) -> list[str]:
    """Why the features of a modality cannot be made as time passes."""
    where, found = f"streams.{modality}", []
    for key, why in (
        ("rate", "resampling looks ahead and begins where the recording does"),
        ("tier", "texts of a tier have no stream"),
        ("boxes", "what boxes show is cut from two streams"),
    ):
        if getattr(plan, key):
            found.append(f"{where}.{key}: {why}, so it cannot stream. Train without it.")
    if plan.normalization in ("centre", "standardise"):
        found.append(f"{where}.normalization: looks at the whole recording, so it cannot stream. Use running, or none.")
    if not feature.causal:
        found.append(
            f"{where}.feature: {name}, with its options, looks at the whole recording, so it cannot stream. Train with "
            "another one, or with other options."
        )
    if feature.symbolic or "words" in feature.kinds:
        found.append(f"{where}.feature: {name} takes texts, which cannot stream yet. Train without {modality!r}.")
    return found


def _joined(pieces: list[Piece]) -> Piece:
    some = [p for p in pieces if len(p.times)] or pieces[:1]
    if len(some) == 1:
        return some[0]
    return Piece(np.concatenate([p.values for p in some]), np.concatenate([p.times for p in some]))


def before(rows: Piece, time: float) -> Piece:
    """The rows before a time."""
    stop = int(np.searchsorted(rows.times, time - SAME))
    return Piece(rows.values[:stop], rows.times[:stop])


def after(rows: Piece, time: float) -> Piece:
    """The rows from a time on."""
    start = int(np.searchsorted(rows.times, time - SAME))
    return Piece(rows.values[start:], rows.times[start:])
