"""Cuts: which intervals of a recording a task looks at. The one place where training, evaluation and prediction get
them, so that none of them looks at what the others do not."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from plait.core.errors import DataError, PlaitError, raise_all
from plait.examples.splits import as_text
from plait.streams.clock import Grid, windows
from plait.streams.recording import Annotation, Recording
from plait.streams.stream import Stream

__all__ = ["Cut", "cut_at", "cut_recording", "measured_span"]

Label = str | int | float | bool


class Cut(NamedTuple):
    """An interval ``start <= t < stop`` of a recording, in its seconds.

    Attributes:
        start, stop: with the context that the unit asks for.
        target: what is known of it; None where nothing is, and answers are asked for.
        whole: whether it is the whole recording.
    """

    start: float
    stop: float
    target: Label | None
    whole: bool = False


def cut_recording(
    recording: Recording, unit: Mapping[str, Any], dropped: Counter[str], *, asked: bool = False
) -> list[Cut]:
    """The intervals of a recording that a unit names (see `plait.examples.items.find_items`).

    Args:
        recording: its clocks are read, and the tier.
        unit: with every default written out.
        dropped: counts, by reason, what is left out.
        asked: whether an answer is wanted instead of learnt from. Then a target need not be known: recordings without a
            label stay, and windows that nobody annotated. Which annotations are chosen, and where windows and context
            end, is the same.
    """
    finders = {"recording": _whole, "segment": _segments, "window": _windows}
    return finders[unit["unit"]](recording, unit, dropped, asked or not unit.get("labelled", True))


def cut_at(recording: Recording, unit: Mapping[str, Any], segments: Sequence[tuple[float, float]]) -> list[Cut]:
    """Given segments of a recording with the context that the unit asks for.

    Raises:
        DataError: one has no duration, or lies outside of what was recorded; all of them in one message.
    """
    span = measured_span(recording, unit.get("tier") or "")
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
    return [_segment(a, b, None, unit.get("pad") or 0.0, span) for a, b in segments]


def _usable(label: Any, dropped: Counter[str], what: str) -> bool:
    if not isinstance(label, str | int | float | bool):
        dropped[f"{what}: target is not a text or a number"] += 1
    elif isinstance(label, float) and not math.isfinite(label):
        dropped[f"{what}: target is NaN or infinite"] += 1
    else:
        return True
    return False


def _whole(recording: Recording, unit: Mapping[str, Any], dropped: Counter[str], asked: bool) -> list[Cut]:
    key = unit["target"]
    target = None if asked else recording.labels.get(key, recording.meta.get(key))
    if not asked:
        if target is None:
            dropped[f"recordings: no label {key!r}"] += 1
            return []
        if not _usable(target, dropped, "recordings"):
            return []
    clocks = [s.clock for s in _streams(recording)]
    if not clocks:
        dropped["recordings: no stream has any observation"] += 1
        return []
    # A cut is half-open, but a tick or an empty interval on the very end belongs to the whole.
    stop = max(c.stop if isinstance(c, Grid) else c.stop + 1e-6 for c in clocks)
    return [Cut(min(c.start for c in clocks), stop, target, True)]


def measured_span(recording: Recording, tier: str = "") -> tuple[float, float] | None:
    """Span of what was measured, or else of words other than the tier itself; None where there is neither."""
    streams = _streams(recording, tier)
    clocks = [s.clock for s in streams if s.kind != "words"] or [s.clock for s in streams]
    return (min(c.start for c in clocks), max(c.stop for c in clocks)) if clocks else None


def _streams(recording: Recording, but: str = "") -> list[Stream]:
    """Streams that hold anything; those that do not open are all told of in one error."""
    streams: list[Stream] = []
    problems: list[str] = []
    for name in recording.streams:
        try:
            if name != but:
                streams.append(recording.streams[name])
        except PlaitError as error:
            problems += error.problems
    raise_all(DataError, problems)
    return [s for s in streams if len(s)]


def _tier(recording: Recording, tier: str, dropped: Counter[str]) -> list[Annotation]:
    found = recording.tier(tier)
    if not found:
        dropped[f"recordings: nothing on tier {tier!r}"] += 1
    return [a for a in found if _usable(a.label, dropped, "annotations")]


def _segments(recording: Recording, unit: Mapping[str, Any], dropped: Counter[str], asked: bool) -> list[Cut]:
    chosen = _chosen(_tier(recording, unit["tier"], dropped), unit, dropped)
    span = measured_span(recording, unit["tier"]) if chosen else None
    cuts = []
    for a in chosen:
        if a.stop <= a.start:
            dropped["annotations: no duration"] += 1
        elif span and (a.start >= span[1] or a.stop <= span[0]):
            dropped["annotations: outside the recording"] += 1
        else:
            cuts.append(_segment(a.start, a.stop, a.label, unit["pad"], span))
    return cuts


def _segment(start: float, stop: float, target: Label | None, pad: float, span: tuple[float, float] | None) -> Cut:
    """What lies outside the recording is no context; a segment itself is never shortened."""
    low, high = span or (-math.inf, math.inf)
    return Cut(min(max(start - pad, low), start), max(min(stop + pad, high), stop), target)


def _chosen(found: list[Annotation], unit: Mapping[str, Any], dropped: Counter[str]) -> list[Annotation]:
    kept = found
    if unit["labels"] is not None:
        wanted = {as_text(label) for label in unit["labels"]}
        kept = [a for a in kept if as_text(a.label) in wanted]
        _count(dropped, "annotations: not among labels", len(found) - len(kept))
    if unit["match"] is not None:
        before, pattern = len(kept), re.compile(unit["match"])
        kept = [a for a in kept if pattern.fullmatch(as_text(a.label))]
        _count(dropped, f"annotations: do not match {unit['match']!r}", before - len(kept))
    if unit["index"] is not None:
        i, before = unit["index"], len(kept)
        one = kept[i : i + 1 or None]
        if found and not one:
            dropped[f"recordings: no annotation number {i}"] += 1
        kept = one
        _count(dropped, f"annotations: not number {i}", before - len(kept))
    return kept


def _count(dropped: Counter[str], why: str, n: int) -> None:
    if n:
        dropped[why] += n


def _windows(recording: Recording, unit: Mapping[str, Any], dropped: Counter[str], asked: bool) -> list[Cut]:
    tier = _tier_of_windows(recording, unit, Counter() if asked else dropped)
    span = measured_span(recording, unit["tier"] or "") or (tier.span if tier else None)
    if span is None or (tier is None and not asked):
        return []
    if tier and not asked and unit["average"]:
        tier.check_numbers(recording.id, unit["tier"])
    cuts, pad = [], unit["pad"]
    for start, stop in windows(*span, unit["length"], unit["hop"]):
        target, covered = tier.target(start, stop, unit["average"]) if tier and not asked else (None, 0.0)
        if not asked and (target is None or covered < unit["coverage"] * (stop - start) - 1e-9):
            dropped[f"windows: less than {unit['coverage']:.0%} of it is annotated"] += 1
        else:
            cuts.append(Cut(max(start - pad, span[0]), min(stop + pad, span[1]), target))
    if not cuts and span[1] - span[0] < unit["length"]:
        dropped["recordings: shorter than a window"] += 1
    return cuts


def _tier_of_windows(recording: Recording, unit: Mapping[str, Any], dropped: Counter[str]) -> _Tier | None:
    """What is annotated; where nothing was measured, it says where the windows lie, asked about or learnt from."""
    found = _tier(recording, unit["tier"], dropped) if unit["tier"] else []
    return _Tier(found) if found else None


class _Tier:
    """Annotations ordered by start, for asking what covers a window."""

    def __init__(self, found: list[Annotation]) -> None:
        self._found = found
        self._starts = np.array([a.start for a in found])
        self._ends = np.maximum.accumulate([a.stop for a in found])
        self.span = found[0].start, float(self._ends[-1])

    def check_numbers(self, recording: str, tier: str) -> None:
        """Raises `DataError` if a label is a text, of which there is no mean."""
        if texts := [a.label for a in self._found if isinstance(a.label, str)]:
            raise DataError(
                f"{recording}: tier {tier!r} holds texts such as {texts[0]!r}, which have no mean. "
                "Leave out task.average."
            )

    def target(self, start: float, stop: float, average: bool) -> tuple[Label | None, float]:
        """The window's label (or mean) and how many seconds of it are annotated at all."""
        lo, hi = np.searchsorted(self._ends, start, "right"), np.searchsorted(self._starts, stop)
        weights: dict[Label, float] = {}
        covered, reached = 0.0, start
        for a in self._found[int(lo) : int(hi)]:
            seconds = min(a.stop, stop) - max(a.start, start)
            if seconds > 0:
                weights[a.label] = weights.get(a.label, 0.0) + seconds
                covered += max(0.0, min(a.stop, stop) - max(a.start, reached))
                reached = max(reached, min(a.stop, stop))
        if not weights:
            return None, 0.0
        if average:
            return sum(float(x) * w for x, w in weights.items()) / sum(weights.values()), covered
        best = max(weights.values())
        return next(label for label, w in weights.items() if w >= best - 1e-9), covered
