"""Items: what the task looks at (recordings, segments, windows), each with its target.

How items are divided into training, validation and test is in `plait.streams.splits`.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from plait.errors import ConfigError, DataError, PlaitError, raise_all
from plait.parts import suggest
from plait.streams.clock import Grid, windows
from plait.streams.corpus import Corpus
from plait.streams.recording import Annotation, Recording
from plait.streams.splits import Fold, as_text, split_items
from plait.streams.stream import Stream
from plait.streams.units import UNITS, full_unit, unit_of

__all__ = ["UNITS", "Fold", "Item", "ItemSet", "find_items", "full_unit", "measured_span", "split_items", "unit_of"]

Label = str | int | float | bool


@dataclass(frozen=True)
class Item:
    """What the task looks at once: an interval of a recording and its target.

    Attributes:
        recording: id of the recording.
        start, stop: the interval ``start <= t < stop``, in the recording's seconds.
        target: what is to be found out.
        group: who or what must not stand on two sides of a split.
        split: the corpus's own split, or the side on which a `Fold` has put the item.
        whole: whether the item is the whole recording (nothing need be cut).

    >>> Item("talk01", 1.2, 2.4, "yes", "anna", "train").id
    'talk01@1.200-2.400'
    """

    recording: str
    start: float
    stop: float
    target: Label
    group: str = ""
    split: str = ""
    whole: bool = False

    @property
    def id(self) -> str:
        """The recording's id, followed by the interval unless the item is the whole recording."""
        return self.recording if self.whole else f"{self.recording}@{self.start:.3f}-{self.stop:.3f}"


@dataclass(frozen=True)
class ItemSet:
    """Items of a corpus, and how many were dropped for which reason."""

    items: list[Item]
    dropped: dict[str, int]
    unit: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[Item]:
        return iter(self.items)

    def lines(self) -> list[str]:
        """What was found and what was dropped, for people."""
        return [f"{len(self.items)} items", *(f"dropped {n}: {why}" for why, n in self.dropped.items())]


def find_items(corpus: Corpus, unit: Mapping[str, Any]) -> ItemSet:
    """Every item of a corpus that has a usable target.

    The unit is one of

    - ``{unit: recording, target}``: whole recordings; the target is a label of that name, else a meta field.
      With ``labelled: false`` none is needed, here and of windows: every recording, or all of its windows, each with
      its group for a target.
    - ``{unit: segment, tier, labels, match, index, pad}``: one item an annotation of the tier. ``labels``
      (a list) and ``match`` (a regular expression for the whole label) choose; of those chosen, ``index``
      keeps the i-th of each recording (-1: the last); ``pad`` adds seconds of context on both sides,
      within the recording.
    - ``{unit: window, tier, length, hop, average, coverage, pad}``: windows of ``length`` seconds every ``hop``
      (default: length), seen with ``pad`` seconds of context on both sides, within the recording. The target
      is the label that covers most of the window (the earlier on a tie), or with ``average`` the time-weighted
      mean of numbers. Windows of which less than ``coverage`` is annotated are dropped.

    Args:
        corpus: its manifest is read; files are opened only to learn their clocks and words.
        unit: as above; see `UNITS` for the defaults.

    Returns:
        The items in the corpus's order, and the number of those dropped by reason.

    Raises:
        ConfigError: the unit is not one, or names a target or tier that no recording has.
        DataError: a file cannot be opened (all of them in one message), or no item is left.
    """
    full = full_unit(unit)
    items: list[Item] = []
    dropped: Counter[str] = Counter()
    problems: list[str] = []
    for recording in corpus:
        try:
            items += _FINDERS[full["unit"]](recording, full, dropped)
        except PlaitError as error:
            problems += error.problems
    raise_all(DataError, problems)
    if not items:
        raise _nothing(corpus, full, dropped)
    return ItemSet(items, dict(dropped), full)


def _nothing(corpus: Corpus, unit: Mapping[str, Any], dropped: Counter[str]) -> PlaitError:
    where = corpus.path.name
    entries = corpus.entries
    key = "target" if unit["unit"] == "recording" else "tier"
    known: set[str] = set()
    for entry in entries:
        if key == "target":
            known |= {*entry.labels, *entry.meta}
        else:
            known |= {*(a.tier for a in entry.annotations), *entry.streams}
    if unit[key] not in known and entries and unit.get("labelled", True):
        return ConfigError(f"task.{key}: no recording of {where} has {unit[key]!r}. {suggest(unit[key], known)}")
    reasons = "; ".join(f"{n} {why}" for why, n in dropped.items()) or "the corpus has no recordings"
    return DataError(f"{where}: no items are left ({reasons}). Loosen the task's unit or label the recordings.")


def _usable(label: Any, dropped: Counter[str], what: str) -> bool:
    if not isinstance(label, str | int | float | bool):
        dropped[f"{what}: target is not a text or a number"] += 1
    elif isinstance(label, float) and not math.isfinite(label):
        dropped[f"{what}: target is NaN or infinite"] += 1
    else:
        return True
    return False


def _whole(recording: Recording, unit: Mapping[str, Any], dropped: Counter[str]) -> list[Item]:
    key = unit["target"]
    target = recording.labels.get(key, recording.meta.get(key)) if unit.get("labelled", True) else _group(recording)
    if target is None:
        dropped[f"recordings: no label {key!r}"] += 1
        return []
    if not _usable(target, dropped, "recordings"):
        return []
    clocks = [s.clock for s in _streams(recording)]
    if not clocks:
        dropped["recordings: no stream has any observation"] += 1
        return []
    # An item is half-open, but a tick or an empty interval on the very end belongs to the whole.
    stop = max(c.stop if isinstance(c, Grid) else c.stop + 1e-6 for c in clocks)
    return [_item(recording, min(c.start for c in clocks), stop, target, whole=True)]


def _item(recording: Recording, start: float, stop: float, target: Any, whole: bool = False) -> Item:
    if isinstance(target, np.generic):
        target = target.item()
    return Item(recording.id, start, stop, target, _group(recording), recording.split, whole)


def _group(recording: Recording) -> str:
    return recording.group or recording.id


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


def _segments(recording: Recording, unit: Mapping[str, Any], dropped: Counter[str]) -> list[Item]:
    chosen = _chosen(_tier(recording, unit["tier"], dropped), unit, dropped)
    span = measured_span(recording, unit["tier"]) if chosen else None
    items = []
    for a in chosen:
        start, stop = a.start - unit["pad"], a.stop + unit["pad"]
        if a.stop <= a.start:
            dropped["annotations: no duration"] += 1
        elif span and (a.start >= span[1] or a.stop <= span[0]):
            dropped["annotations: outside the recording"] += 1
        else:
            # What lies outside is no context; an annotation itself is never shortened.
            low, high = (start, stop) if span is None else (max(start, span[0]), min(stop, span[1]))
            items.append(_item(recording, min(low, a.start), max(high, a.stop), a.label))
    return items


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


def _windows(recording: Recording, unit: Mapping[str, Any], dropped: Counter[str]) -> list[Item]:
    if not unit.get("labelled", True):
        return _bare_windows(recording, unit, dropped)
    found = _tier(recording, unit["tier"], dropped)
    if not found:
        return []
    if unit["average"] and any(isinstance(a.label, str) for a in found):
        raise DataError(
            f"{recording.id}: tier {unit['tier']!r} holds texts such as {found[0].label!r}, "
            "which have no mean. Leave out task.average."
        )
    span = measured_span(recording, unit["tier"]) or (found[0].start, max(a.stop for a in found))
    tier = _Tier(found)
    items = []
    for start, stop in windows(*span, unit["length"], unit["hop"]):
        target, covered = tier.target(start, stop, unit["average"])
        if target is None or covered < unit["coverage"] * (stop - start) - 1e-9:
            dropped[f"windows: less than {unit['coverage']:.0%} of it is annotated"] += 1
        else:
            pad = unit["pad"]
            items.append(_item(recording, max(start - pad, span[0]), min(stop + pad, span[1]), target))
    if not items and span[1] - span[0] < unit["length"]:
        dropped["recordings: shorter than a window"] += 1
    return items


def _bare_windows(recording: Recording, unit: Mapping[str, Any], dropped: Counter[str]) -> list[Item]:
    """Windows over all that was measured, whatever is said of it."""
    span, pad = measured_span(recording), unit["pad"]
    if span is None or span[1] - span[0] < unit["length"]:
        dropped["recordings: shorter than a window"] += 1
        return []
    found = windows(*span, unit["length"], unit["hop"])
    return [_item(recording, max(a - pad, span[0]), min(b + pad, span[1]), _group(recording)) for a, b in found]


class _Tier:
    """Annotations ordered by start, for asking what covers a window."""

    def __init__(self, found: list[Annotation]) -> None:
        self._found = found
        self._starts = np.array([a.start for a in found])
        self._ends = np.maximum.accumulate([a.stop for a in found])

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


_FINDERS = {"recording": _whole, "segment": _segments, "window": _windows}
