"""Facts of a corpus for people and for JSON: streams, labels, splits. Shared by import and check."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from plait.corpus.corpus import RecordingEntry
from plait.streams.clock import Clock, Grid
from plait.streams.stream import Stream
from plait.streams.warp import Warped

__all__ = [
    "Facts",
    "facts_of",
    "label_lines",
    "label_summary",
    "missing_streams",
    "rare_streams",
    "stream_lines",
    "stream_summary",
]


Summary = Mapping[str, Any]
"""Facts in JSON types: of a stream, of one kind of label, or of all labels of a corpus."""


@dataclass(frozen=True)
class Facts:
    """What is known of a stream without decoding it; times in the recording's seconds."""

    kind: str
    n: int
    start: float
    stop: float
    rate: float | None
    shape: tuple[int, ...]

    @property
    def seconds(self) -> float:
        return self.stop - self.start


def facts_of(stream: Stream, clock: Clock | None = None) -> Facts:
    """The facts of a stream, on ``clock`` instead of its own where given."""
    clock = stream.clock if clock is None else clock
    rate = float(clock.rate) if isinstance(clock, Grid | Warped) else None
    return Facts(stream.kind, len(clock), clock.start, clock.stop, rate, stream.shape[1:])


def stream_summary(found: Mapping[str, Mapping[str, Facts]]) -> dict[str, dict[str, object]]:
    """By stream: number of recordings, kinds, shapes, rates in Hz, hours; from facts by recording and stream."""
    by_name: dict[str, list[Facts]] = defaultdict(list)
    for streams in found.values():
        for name, facts in streams.items():
            by_name[name].append(facts)
    return {
        name: {
            "recordings": len(all_facts),
            "kinds": sorted({f.kind for f in all_facts}),
            # Three of them tell that sizes differ; a corpus of photographs has thousands.
            "shapes": [list(s) for s in sorted({f.shape for f in all_facts})[:3]],
            # Measured rates of one device differ in later digits.
            "rates": [r for r, _ in Counter(round(f.rate, 3) for f in all_facts if f.rate).most_common(5)],
            "hours": round(sum(f.seconds for f in all_facts) / 3600, 4),
        }
        for name, all_facts in sorted(by_name.items())
    }


def stream_lines(summary: Mapping[str, Summary], recordings: int) -> list[str]:
    """One line per stream.

    >>> imu = {"recordings": 3, "kinds": ["series"], "shapes": [[6]], "rates": [50.0], "hours": 0.5}
    >>> stream_lines({"imu": imu}, 4)
    ['  imu: series (6), 3 of 4 recordings, 50 Hz, 30.0 min']
    """
    lines = []
    for name, s in summary.items():
        shapes = " or ".join("x".join(map(str, shape)) for shape in s["shapes"] if shape)
        rates = ", ".join(f"{r:g}" for r in s["rates"][:3]) + " ..." * (len(s["rates"]) > 3)
        lines.append(
            f"  {name}: {' and '.join(s['kinds'])}{f' ({shapes})' if shapes else ''}, "
            f"{s['recordings']} of {recordings} recordings, {f'{rates} Hz' if rates else 'irregular'}, "
            f"{_long(s['hours'])}"
        )
    return lines


def _long(hours: float) -> str:
    return f"{hours:.1f} h" if hours >= 1 else f"{hours * 60:.1f} min" if hours >= 1 / 60 else f"{hours * 3600:.1f} s"


def _values(values: Sequence[object]) -> dict[str, object]:
    """Counts by value, or the range where there are many numbers."""
    numbers = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
    counts = Counter(str(v) for v in values)
    summary: dict[str, object] = {"n": len(values), "distinct": len(counts)}
    if len(counts) <= 30:
        summary["counts"] = dict(sorted(counts.items()))
    elif len(numbers) == len(values):
        summary |= {"min": min(numbers), "max": max(numbers), "mean": round(sum(numbers) / len(numbers), 4)}
    return summary


def label_summary(entries: Iterable[RecordingEntry]) -> dict[str, object]:
    """Labels of recordings, annotations by tier, groups and splits, each with counts."""
    labels: dict[str, list[object]] = defaultdict(list)
    tiers: dict[str, list[object]] = defaultdict(list)
    seconds: dict[str, float] = defaultdict(float)
    splits: Counter[str] = Counter()
    groups = set()
    for entry in entries:
        groups.add(entry.group or entry.id)
        splits[entry.split] += 1
        for name, value in entry.labels.items():
            labels[name].append(value)
        for a in entry.annotations:
            tiers[a.tier].append(a.label)
            seconds[a.tier] += a.stop - a.start
    return {
        "groups": len(groups),
        "splits": {k: v for k, v in sorted(splits.items()) if k or len(splits) > 1},
        "labels": {name: _values(values) for name, values in sorted(labels.items())},
        "tiers": {t: {**_values(values), "hours": round(seconds[t] / 3600, 4)} for t, values in sorted(tiers.items())},
    }


def label_lines(summary: Summary, recordings: int) -> list[str]:
    """Lines of text for a `label_summary`."""
    lines = [f"  label {name}: {_say(v)}; {v['n']} of {recordings} recordings" for name, v in summary["labels"].items()]
    lines += [
        f"  tier {name}: {v['n']} annotations, {_say(v)}, {_long(v['hours'])}" for name, v in summary["tiers"].items()
    ]
    if summary["groups"] < recordings:
        lines.append(f"  groups: {summary['groups']}")
    if summary["splits"]:
        lines.append("  split: " + ", ".join(f"{k or '(none)'} {n}" for k, n in summary["splits"].items()))
    return lines


def _say(values: Summary) -> str:
    if "min" in values:
        return f"{values['min']:g} to {values['max']:g} (mean {values['mean']:g})"
    counts = values.get("counts")
    if counts is None or len(counts) > 12:
        return f"{values['distinct']} different"
    return ", ".join(f"{k} {n}" for k, n in counts.items())


def missing_streams(streams: Mapping[str, Iterable[str]]) -> dict[str, list[str]]:
    """By stream that more than half of all recordings have: those without it; from stream names by recording.

    >>> missing_streams({"a": ["imu"], "b": ["imu", "gps"], "c": []})
    {'imu': ['c']}
    """
    names = {recording: set(own) for recording, own in streams.items()}
    counts = Counter(name for own in names.values() for name in own)
    return {
        stream: [r for r, own in names.items() if stream not in own]
        for stream, count in sorted(counts.items())
        if len(names) / 2 < count < len(names)
    }


def rare_streams(streams: Mapping[str, Iterable[str]], least: float) -> dict[str, str]:
    """Streams that less than the share ``least`` of the recordings has, so that they are no modality by themselves, and
    a note on each. If all streams were rare, none is.

    >>> list(rare_streams({"a": ["imu"], "b": ["imu", "gps"], "c": ["imu"]}, 0.5))
    ['gps']
    """
    counts = Counter(name for own in streams.values() for name in set(own))
    rare = {name: count for name, count in sorted(counts.items()) if count < least * len(streams)}
    return {
        name: f"stream {name!r}: only {count} of {len(streams)} recordings have it (min_coverage: {least:g}); it is no "
        f"modality. Name it under streams: if it is to be one."
        for name, count in (rare.items() if len(rare) < len(counts) else ())
    }
