"""A stream of a session: what waits of it, and its features that nobody has read yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from plait.core.errors import ConfigError, raise_all
from plait.features import Feature
from plait.prediction.feature_ring import FeatureRing, Piece, RingState
from plait.prediction.inbox import SAME, Inbox, Rows, rate_of
from plait.recipe import StreamPlan
from plait.store.stepped import build_feature
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

    def read(self, rows: Rows | None, *, closed: bool) -> tuple[dict[str, RingState | None], dict[str, Piece]]:
        """Rows through the features: what is kept then, and all features that no lane has read. Changes nothing.

        Args:
            rows: in order; a gap ends a run, and a new one begins behind it.
            closed: whether nothing can follow without a gap.
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
            states[m], found[m] = state, _joined(parts)
        return states, found

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
