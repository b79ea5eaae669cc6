"""Synchronise a corpus: find its devices, estimate their clocks, and write the corrected manifest."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import groupby
from pathlib import Path

from plait.clocks.consistency import Consistency
from plait.clocks.estimate import JOINT, ClockFix, solve_all
from plait.clocks.flags import Flag
from plait.clocks.link import Limits
from plait.core.errors import DataError, PlaitError
from plait.core.jobs.work import in_order
from plait.core.names import Names
from plait.corpus.corpus import Corpus, RecordingEntry, StreamEntry, write_manifest
from plait.recipe import suggest
from plait.streams.recording import Recording
from plait.streams.stream import Stream
from plait.streams.warp import Warp

__all__ = ["SyncReport", "corrected_entry", "devices_of", "synchronise", "write_synced"]


@dataclass(frozen=True)
class SyncReport:
    """The result for each device except the reference, in the order of the manifest.

    Attributes:
        reference: names of the streams whose clock all others are aligned to.
        fixes: one per recording and device.
        recordings: number of recordings compared.
        consistency: for each recording with three devices or more, whether they agree.
        tolerance: seconds; corrected clocks that are less certain than this are flagged.
    """

    reference: tuple[str, ...]
    fixes: tuple[ClockFix, ...]
    recordings: int
    consistency: tuple[Consistency, ...] = ()
    tolerance: float = 0.010

    @property
    def flagged(self) -> tuple[ClockFix, ...]:
        """Devices that were not corrected, or corrected with doubt; each has its reason."""
        return tuple(fix for fix in self.fixes if fix.flagged)

    @property
    def applied(self) -> tuple[ClockFix, ...]:
        return tuple(fix for fix in self.fixes if fix.applied)

    @property
    def uncertain(self) -> tuple[ClockFix, ...]:
        """Devices that were corrected, but are less certain than the tolerance."""
        return tuple(fix for fix in self.applied if fix.uncertainty_s > self.tolerance)

    @property
    def left(self) -> dict[str, int]:
        """How many clocks were not corrected, by flag, the most frequent first."""
        return dict(Counter(str(fix.flag) for fix in self.fixes if not fix.applied).most_common())

    @property
    def summary(self) -> str:
        """How many clocks were corrected and how many were not, in one sentence."""
        if not self.fixes:
            return "no recording has two devices, so there was no clock to correct"
        said = f"{len(self.applied)} of {len(self.fixes)} clocks corrected"
        if self.uncertain:
            worst = max(fix.uncertainty_s for fix in self.uncertain)
            said += f", {len(self.uncertain)} of them within {worst * 1e3:.0f} ms only"
        left = ", ".join(f"{count} {flag}" for flag, count in self.left.items())
        return said + (f"; {sum(self.left.values())} left as they are: {left}" if left else "")

    def of(self, recording: str, stream: str) -> ClockFix | None:
        """The result for one stream; None for the reference, and where there was nothing to compare."""
        return next((f for f in self.fixes if f.recording == recording and stream in f.streams), None)

    def to_json(self) -> dict[str, object]:
        """Everything, for JSON (null where unknown)."""
        return {
            "reference": list(self.reference),
            "recordings": self.recordings,
            "devices": len(self.fixes),
            "applied": len(self.applied),
            "uncertain": len(self.uncertain),
            "left": self.left,
            "tolerance_s": self.tolerance,
            "flagged": len(self.flagged),
            "summary": self.summary,
            "fixes": [{k: _plain(v) for k, v in asdict(fix).items()} for fix in self.fixes],
            "consistency": [each.to_json() for each in self.consistency],
        }

    def lines(self) -> list[str]:
        """Lines to print: one per device, one per loss of samples, whether a recording's devices agree; the summary
        last."""
        more = {each.recording: each.lines() for each in self.consistency}
        lines: list[str] = []
        for recording, fixes in groupby(self.fixes, key=lambda fix: fix.recording):
            lines += [line for fix in fixes for line in (_line(fix), *_change_point_lines(fix))] + more.get(
                recording, []
            )
        return [*lines, self.summary]


def _plain(value: object) -> object:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return [_plain(v) for v in value] if isinstance(value, tuple) else value


def _line(fix: ClockFix) -> str:
    found = (
        f"offset {fix.offset:+8.4f} s  drift {fix.drift_ppm:+7.1f} ppm  confidence {fix.confidence:.3f}"
        if math.isfinite(fix.offset)
        else "nothing found"
    )
    bent = f"  bent by up to {fix.bend_s * 1e3:.1f} ms" if fix.knots else ""
    sure = f"  within {fix.uncertainty_s * 1e3:.1f} ms" if math.isfinite(fix.uncertainty_s) else ""
    flag = f"  FLAGGED {fix.flag}: {fix.reason}" if fix.flagged else ""
    return f"{fix.recording}  {fix.device:<14} {found}{bent}{sure}{flag}"


def _change_point_lines(fix: ClockFix) -> list[str]:
    lines = []
    for t, size in fix.change_points:
        count = round(abs(size) * fix.rate)
        what = f"{count} sample{'s' * (count != 1)} lost" if count else "the clock leaps ahead"
        whose = what if size > 0 else f"samples of {fix.reference} lost"
        lines.append(f"{fix.recording}  {fix.device:<14} {whose} at {t:.1f} s: {abs(size) * 1e3:.0f} ms")
    return lines


def devices_of(entry: RecordingEntry) -> list[tuple[str, ...]]:
    """Streams grouped by the device that made them: those of one file or folder share its clock.

    >>> film, sensor = StreamEntry(path="a.mp4"), StreamEntry(path="a.csv")
    >>> devices_of(RecordingEntry(id="a", streams={"face": film, "imu": sensor, "voice": film}))
    [('face', 'voice'), ('imu',)]
    """
    groups: dict[str, list[str]] = {}
    for name, stream in entry.streams.items():
        # A stream without a file is a device of its own; no relative path begins with a slash.
        groups.setdefault(f"/{name}" if stream.path is None else stream.path, []).append(name)
    return [tuple(names) for names in groups.values()]


def _reference(entries: Sequence[RecordingEntry], wanted: Sequence[str] | None) -> tuple[str, ...]:
    """Names of the reference device's streams: those wanted, else of the device present in most recordings (among
    equals, with the most streams; then the first).

    Streams that share a file in any recording belong to one device in all of them.
    """
    alike: dict[str, set[str]] = {}
    seen: Counter[str] = Counter()
    for entry in entries:
        for names in devices_of(entry):
            group = set(names).union(*(alike.get(n, {n}) for n in names))
            for n in group:
                alike[n] = group
    for entry in entries:
        seen.update({min(alike[n]) for n in entry.streams})
    if wanted is not None:
        if unknown := [n for n in wanted if n not in alike]:
            raise DataError(f"reference {unknown[0]!r}: no recording has such a stream. {suggest(unknown[0], alike)}")
        group = set().union(*(alike[n] for n in wanted))
    else:
        order = [n for entry in entries for n in entry.streams]
        often = Counter(min(alike[n]) for n in order)
        group = alike[max(order, key=lambda n: (seen[min(alike[n])], often[min(alike[n])]))] if order else set()
    first = dict.fromkeys(n for entry in entries for n in entry.streams if n in group)
    return (*(wanted or ()), *(n for n in first if n not in (wanted or ())))


def synchronise(
    corpus: Corpus,
    *,
    reference: str | Sequence[str] | None = None,
    max_offset: float = 10.0,
    max_drift_ppm: float = 1000.0,
    tolerance: float = 0.010,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
    plot: str | Path | None = None,
) -> SyncReport:
    """Estimate from the signals how far each device's clock is off the reference's.

    Args:
        corpus: recordings whose streams saw the same events.
        reference: name(s) of the streams whose clock is right; labels refer to it. Default: those of the device that
            is present in most recordings; among equals, the one with the most streams, then the first. ``joint``:
            in each recording the device that all others can be aligned to best.
        max_offset: seconds to search in either direction.
        max_drift_ppm: parts per million to search in either direction.
        tolerance: seconds; a clock less certain than this anywhere in its recording is flagged.
        workers: processes that read and compare (see `plait.core.jobs.work`).
        progress: called with (done, total) after each recording.
        plot: a folder for one picture per recording (see `plait.clocks.plot.draw`).

    Returns:
        Offset, drift, confidence and uncertainty of each device; no manifest is written (see `write_synced`).

    Raises:
        DataError: the reference is no stream of the corpus, or a limit is out of its range.
    """
    limits = Limits(max_offset, max_drift_ppm, tolerance)
    wanted = (reference,) if isinstance(reference, str) else reference
    names = _wanted(corpus.entries, tuple(wanted) if wanted is not None else None)
    fixes: list[ClockFix] = []
    consistency: list[Consistency] = []
    work = partial(_one, corpus, names, limits, None if plot is None else _pictures(corpus.entries, Path(plot)))
    for i, (found, agreeing) in enumerate(in_order(work, range(len(corpus)), workers)):
        fixes += found
        consistency += agreeing
        if progress:
            progress(i + 1, len(corpus))
    return SyncReport(names, tuple(fixes), len(corpus), tuple(consistency), tolerance)


def _wanted(entries: Sequence[RecordingEntry], wanted: tuple[str, ...] | None) -> tuple[str, ...]:
    if wanted == (JOINT,) and not any(JOINT in entry.streams for entry in entries):
        return (JOINT,)
    return _reference(entries, wanted)


Found = tuple[list[ClockFix], list[Consistency]]


def _pictures(entries: Sequence[RecordingEntry], folder: Path) -> list[Path]:
    """The file of each recording's picture."""
    names = Names()
    return [folder / f"{names.of(entry.id)}.png" for entry in entries]


def _one(corpus: Corpus, names: Sequence[str], limits: Limits, plots: Sequence[Path] | None, index: int) -> Found:
    return _of_recording(corpus.entries[index], corpus[index], names, limits, plots[index] if plots else None)


def _of_recording(
    entry: RecordingEntry, recording: Recording, reference: Sequence[str], limits: Limits, plot: Path | None
) -> Found:
    groups = devices_of(entry)
    if len(groups) < 2:
        return [], []
    chosen = next((g for name in reference for g in groups if name in g), None)
    if chosen is None and tuple(reference) == (JOINT,):
        chosen = (JOINT,)
    if chosen is None:
        why = f"the reference ({', '.join(reference)}) is missing in this recording"
        return [ClockFix(entry.id, "+".join(g), g, "", flag=Flag.NO_REFERENCE, reason=why) for g in groups], []
    name = "+".join(chosen)
    devices, fixes = _opened(entry.id, groups, recording, name)
    if name not in devices and (name != JOINT or not devices):
        why = "the reference cannot be read"
        bare = [ClockFix(entry.id, d, tuple(s), name) for d, s in devices.items()]
        return fixes + [replace(fix, flag=Flag.NO_REFERENCE, reason=why) for fix in bare], []
    solution = solve_all(entry.id, devices, name, limits)
    if plot is not None:
        from plait.clocks.plot import draw  # matplotlib is slow to import

        draw(solution, plot)
    agreeing = [solution.consistency] if solution.consistency.loops or solution.consistency.left_out else []
    return [*solution.fixes, *fixes], agreeing


def _opened(
    recording_id: str, groups: Sequence[tuple[str, ...]], recording: Recording, reference: str
) -> tuple[dict[str, dict[str, Stream]], list[ClockFix]]:
    """The streams of each device, and a flagged fix for each device that cannot be read."""
    devices: dict[str, dict[str, Stream]] = {}
    fixes: list[ClockFix] = []
    for group in groups:
        try:
            devices["+".join(group)] = {name: recording.streams[name] for name in group}
        except PlaitError as error:
            bare = ClockFix(recording_id, "+".join(group), group, reference)
            fixes.append(replace(bare, flag=Flag.UNREADABLE, reason=error.problems[0]))
    return devices, fixes


def corrected_entry(entry: StreamEntry, fix: ClockFix) -> StreamEntry:
    """A manifest's stream with the new correction composed with the one that it has.

    ``(t - origin) * (1 + drift) + offset``, bent by ``warp`` if there is one, gives the seconds that were compared. The
    fix acts on these.
    """
    note = {
        "reference": fix.reference,
        "offset": _plain(fix.offset),
        "drift_ppm": _plain(fix.drift_ppm),
        "confidence": fix.confidence,
        "uncertainty_s": _plain(fix.uncertainty_s),
        "change_points": _plain(fix.change_points),
        "untold": _plain(fix.untold),
        "method": fix.method,
        "better": _plain(fix.better),
        "applied": fix.applied,
        "flag": str(fix.flag),
        "reason": fix.reason,
    }
    if not fix.applied:
        return entry.model_copy(update={"sync": note})
    # The fix acts on corrected seconds: drifts multiply, and the old offset is stretched by the new drift.
    scale = 1 + fix.drift_ppm * 1e-6
    drift = ((1 + entry.drift_ppm * 1e-6) * scale - 1) * 1e6
    # Rounded as `Clock` rounds it, so that a manifest read and written again is the same.
    line = {"drift_ppm": round(drift, 3), "offset": entry.offset * scale + fix.offset}
    bends = Warp(entry.warp or ()).moved(fix.offset, fix.drift_ppm).then(fix.warp)
    # Both bends come after both lines, so the old one is moved onto the new seconds first.
    warp = [(round(t, 6), round(add, 7)) for t, add in bends.points]
    return entry.model_copy(update={"sync": note, **line, "warp": warp or None})


def write_synced(corpus: Corpus, report: SyncReport, out: str | Path) -> Path:
    """Write the corpus's manifest with corrected clocks; an uncertain stream keeps its clock, and the reason is noted.

    Args:
        corpus: the corpus of the report.
        report: result of `synchronise`.
        out: the new manifest, in the corpus's folder (its paths are relative to it).

    Raises:
        DataError: ``out`` is in another folder, or the report is of another corpus.
    """
    target = corpus.beside(out)
    fixes: Mapping[tuple[str, str], ClockFix] = {(f.recording, n): f for f in report.fixes for n in f.streams}
    if strangers := sorted({f.recording for f in report.fixes} - set(corpus.ids)):
        raise DataError(f"{corpus.path}: has no recording {strangers[0]!r}; the report is of another corpus.")
    entries = []
    for entry in corpus.entries:
        streams = {
            name: corrected_entry(stream, fixes[entry.id, name]) if (entry.id, name) in fixes else stream
            for name, stream in entry.streams.items()
        }
        entries.append(entry.model_copy(update={"streams": streams}))
    write_manifest(target, entries)
    return target
