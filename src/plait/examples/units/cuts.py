"""Cuts: intervals of a recording, and the functions that all units share."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from plait.core.errors import DataError, PlaitError, raise_all
from plait.streams.recording import Annotation, Recording
from plait.streams.stream import Stream

__all__ = ["NONE", "Cut", "Label", "Others", "cuts_at", "is_target", "measured_span", "padded", "streams_of", "tier_of"]

Label = str | int | float | bool

Others = Mapping[str, tuple[tuple[float, float], ...]]
"""Other intervals of a recording, by the kind of context that they are (`plait.examples.units.around`)."""

NONE: Others = MappingProxyType({})


class Cut(NamedTuple):
    """An interval ``start <= t < stop`` of a recording, in its seconds.

    Attributes:
        start, stop: including the context that the unit asks for.
        target: the known target; None where there is none, in prediction.
        whole: whether the cut is the whole recording.
        context: seconds at the start and at the end that the model sees, but is not asked about.
        others: other intervals of the recording that are inputs too, by kind.
        number: which annotation of its tier it is, in order of time from 0; None if it is none.
    """

    start: float
    stop: float
    target: Label | None
    whole: bool = False
    context: tuple[float, float] = (0.0, 0.0)
    others: Others = NONE
    number: int | None = None


def cuts_at(
    recording: Recording, segments: Sequence[tuple[float, float]], *, pad: float = 0.0, tier: str = ""
) -> list[Cut]:
    """Given segments of a recording, with context.

    Args:
        recording: its clocks are read.
        segments: (start, stop) in seconds.
        pad: seconds of context on both sides, within the measured span.
        tier: the stream of words that the unit cuts by; it does not count as measured.

    Raises:
        DataError: a segment has no duration or lies outside the recording; all of them in one message.
    """
    span = measured_span(recording, tier)
    if span is None:
        raise DataError(f"{recording.id}: no stream has any observation. There is nothing to answer from.")
    outside = [(a, b) for a, b in segments if not (-math.inf < a < b < math.inf and a < span[1] and b > span[0])]
    raise_all(
        DataError,
        [
            f"{recording.id}: segment {a:g} to {b:g} s; expected finite seconds, a start before its stop, within the "
            f"recording, which was measured from {span[0]:g} to {span[1]:g} s."
            for a, b in outside
        ],
    )
    return [padded(a, b, None, pad or 0.0, span) for a, b in segments]


def padded(start: float, stop: float, target: Label | None, pad: float, span: tuple[float, float] | None) -> Cut:
    """A segment with ``pad`` seconds of context on both sides.

    Context is clipped to ``span``, the recording; the segment itself is never shortened.
    """
    # min and max with the segment: a segment that starts before the recording keeps its start.
    low, high = span or (-math.inf, math.inf)
    first, last = min(max(start - pad, low), start), max(min(stop + pad, high), stop)
    return Cut(first, last, target, context=(start - first, last - stop))


def measured_span(recording: Recording, tier: str = "") -> tuple[float, float] | None:
    """Span of the measured streams, else of the streams of words without ``tier``; None where there is neither."""
    streams = streams_of(recording, tier)
    # Words are annotations of a recording rather than its content: they only count where nothing else does.
    clocks = [s.clock for s in streams if s.kind != "words"] or [s.clock for s in streams]
    return (min(c.start for c in clocks), max(c.stop for c in clocks)) if clocks else None


def streams_of(recording: Recording, but: str = "") -> list[Stream]:
    """Streams with at least one observation, without the one named ``but``.

    Raises:
        DataError: streams that do not open, all in one message.
    """
    streams: list[Stream] = []
    problems: list[str] = []
    for name in recording.streams:
        try:  # a stream opens its file on access, so the one named ``but`` must not be touched
            if name != but:
                streams.append(recording.streams[name])
        except PlaitError as error:
            problems += error.problems
    raise_all(DataError, problems)
    return [s for s in streams if len(s)]


def tier_of(recording: Recording, tier: str, dropped: Counter[str]) -> list[Annotation]:
    """The annotations of a tier whose labels can be targets; the others are counted in ``dropped``."""
    found = recording.tier(tier)
    if not found:
        dropped[f"recordings: nothing on tier {tier!r}"] += 1
    return [a for a in found if is_target(a.label, dropped, "annotations")]


def is_target(label: object, dropped: Counter[str], what: str) -> bool:
    """Whether a label can be a target: a text or a finite number. If not, it is counted under ``what``."""
    if not isinstance(label, str | int | float | bool):
        dropped[f"{what}: target is not a text or a number"] += 1
    elif isinstance(label, float) and not math.isfinite(label):
        dropped[f"{what}: target is NaN or infinite"] += 1
    else:
        return True
    return False
