"""Check a corpus: report all its problems at once, without torch and without decoding media."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from plait.core.errors import PlaitError, shortened
from plait.core.parts import suggest
from plait.corpus.corpus import Corpus, RecordingEntry
from plait.corpus.manifest import read_manifest
from plait.corpus.summary import (
    Facts,
    facts_of,
    label_lines,
    label_summary,
    missing_streams,
    rare_streams,
    stream_lines,
    stream_summary,
)
from plait.examples.items import find_items, full_unit, split_items, unit_of
from plait.examples.splits import SIDES
from plait.importing.untold import lacks_rate
from plait.quality.deep import deep_check
from plait.quality.signals.table import signal_rows, signal_table
from plait.recipe import MIN_COVERAGE
from plait.streams.stream import Stream

__all__ = ["CheckReport", "check_corpus"]

T = TypeVar("T")

SLACK = 0.5
"""Seconds by which a label may extend beyond its recording."""

SHARE = 0.01
"""Share of its own length by which a label may extend beyond its recording with only a warning."""


@dataclass
class CheckReport:
    """Problems (to fix), warnings (to know) and a summary of the corpus."""

    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        return not self.problems

    def to_json(self) -> dict[str, object]:
        """Everything, as JSON types."""
        return {"ok": self.ok, **vars(self)}

    def lines(self) -> list[str]:
        """Lines to print."""
        count = self.summary["recordings"]
        lines = [f"{self.summary['manifest']}: {count} recordings"]
        lines += stream_lines(self.summary["streams"], count) + label_lines(self.summary, count)
        lines += signal_table(self.summary.get("signals", []))
        for name, fold in self.summary.get("folds", {}).items():
            lines.append(f"  items {name}: ".replace(" :", ":") + ", ".join(f"{k} {n}" for k, n in fold.items()))
        lines += [f"warning: {w}" for w in shortened(self.warnings)]
        lines += [f"problem: {p}" for p in shortened(self.problems)]
        return [*lines, "no problems" if self.ok else f"{len(self.problems)} problems"]


class _Lenient(Corpus):
    """A corpus of all valid lines of a manifest, whatever is wrong with the others."""

    def __init__(self, manifest: Path, allow_outside: bool) -> None:
        self.path, self.folder, self.allow_outside = manifest, manifest.parent, allow_outside
        self._lines, self.problems = read_manifest(manifest)
        self._index = {entry.id: i for i, (_, entry) in enumerate(self._lines)}

    @property
    def numbered(self) -> list[tuple[int, RecordingEntry]]:
        return self._lines


def check_corpus(
    manifest: str | Path,
    *,
    allow_outside: bool = False,
    recipe: Mapping[str, Any] | None = None,
    deep: bool = False,
    signals: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> CheckReport:
    """Validate a manifest and everything that it names; all problems at once.

    It checks the manifest's lines; that every file exists, is inside the folder and opens with its reader and options;
    clocks (rates, order, as many times as values); that the streams of a recording overlap in time; that labels lie
    within their recording; that the sides of the split are known and no group is on two. With a recipe's ``task`` and
    ``split`` sections it also checks that there are items and that they can be split.

    Args:
        manifest: the JSON Lines file.
        allow_outside: whether paths may leave the manifest's folder.
        recipe: a mapping with ``task`` and optionally ``split``.
        deep: also read all values: NaN and infinite numbers, constant channels, truncated media.
        signals: also measure signal quality, and warn of findings; see `plait.quality.signals`.
        progress: called with (done, total) after each recording.

    Returns:
        Problems, warnings and a summary. Only a missing manifest raises.

    Raises:
        DataError: there is no such manifest.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "talks.jsonl"
    >>> _ = path.write_text('{"id": "a", "streams": {"pose": {"path": "a.npy"}}, "split": "tset"}')
    >>> for problem in check_corpus(path).problems: print(problem.split(". ")[-1])
    Correct the path in the manifest or put the file there.
    Did you mean 'test'?
    """
    corpus = _Lenient(Path(manifest), allow_outside)
    report = CheckReport(problems=list(corpus.problems))
    found: dict[str, dict[str, Facts]] = {}
    for done, (number, entry) in enumerate(corpus.numbered, 1):
        found[entry.id] = _check_streams(corpus, number, entry, report, deep)
        where = f"{corpus.path.name}:{number}"
        _check_overlap(where, found[entry.id], report)
        _check_annotations(where, entry, found[entry.id], report)
        if progress:
            progress(done, len(corpus.numbered))
    _check_splits(corpus, report)
    _check_labels(corpus, report)
    entries = corpus.entries
    for stream, ids in missing_streams({e.id: e.streams for e in entries}).items():
        report.warnings.append(f"{len(ids)} of {len(entries)} recordings have no {stream!r}, such as {ids[0]!r}.")
    if recipe is None:  # with a recipe, its own streams and min_coverage decide, and are reported with it
        report.warnings += rare_streams({e.id: e.streams for e in entries}, MIN_COVERAGE).values()
    report.summary = {
        "manifest": str(corpus.path),
        "recordings": len(entries),
        "streams": stream_summary(found),
        **label_summary(entries),
    }
    if signals:
        report.summary["signals"] = signal_rows(corpus, corpus.numbered, progress)
        bad = [row for row in report.summary["signals"] if row["verdict"] != "good"]
        report.warnings += [f"{row['where']}: {row['verdict']}." for row in bad]
    if recipe is not None:
        _check_recipe(corpus, recipe, report)
    return report


def _check_streams(
    corpus: _Lenient, number: int, entry: RecordingEntry, report: CheckReport, deep: bool
) -> dict[str, Facts]:
    """Open every stream; the facts of those that open."""
    found: dict[str, Facts] = {}
    for name, given in entry.streams.items():
        place = f":{number} {name!r}"
        where = f"{corpus.path.name}{place}"
        try:
            stream = corpus.open_entry(given, place)
            found[name] = facts_of(stream)
            without_rate = lacks_rate(given) and len(stream) > 1
        except PlaitError as error:
            report.problems += error.problems
            continue
        if without_rate:
            report.warnings.append(f"{where}: an array without rate or times; taken as 1 observation per second.")
        if not len(stream):
            report.warnings.append(f"{where}: has no observations.")
        elif deep:
            _deep(stream, where, report)
    if not entry.streams:
        report.warnings.append(f"{corpus.path.name}:{number}: {entry.id!r} has no streams.")
    return found


def _deep(stream: Stream, where: str, report: CheckReport) -> None:
    problems, warnings = deep_check(stream)
    report.problems += [f"{where}: {p}" for p in problems]
    report.warnings += [f"{where}: {w}" for w in warnings]


def _meet(a: Facts, b: Facts) -> bool:
    return a.start <= b.stop and b.start <= a.stop


def _check_overlap(where: str, found: Mapping[str, Facts], report: CheckReport) -> None:
    """Report streams that overlap with no other stream in time; of two, the shorter."""
    streams = {name: f for name, f in found.items() if f.n}
    lonely = [n for n, f in streams.items() if not any(_meet(f, g) for m, g in streams.items() if m != n)]
    if len(streams) < 2 or not lonely:
        return
    if len(lonely) == len(streams):
        # None overlaps: the longest is taken to be right.
        lonely.remove(max(lonely, key=lambda n: streams[n].seconds))
    for name in lonely:
        others = [f for n, f in streams.items() if n != name]
        report.problems.append(
            f"{where} {name!r}: runs from {streams[name].start:.3f} to {streams[name].stop:.3f} s, but the other "
            f"streams from {min(f.start for f in others):.3f} to {max(f.stop for f in others):.3f} s; "
            "they never meet. Correct its origin or offset."
        )


def _check_annotations(where: str, entry: RecordingEntry, found: Mapping[str, Facts], report: CheckReport) -> None:
    # A transcript cannot prove where the recording ends, so measured streams decide if there are any.
    measured = [f for f in found.values() if f.n and f.kind != "words"] or [f for f in found.values() if f.n]
    low, high = min((f.start for f in measured), default=0.0), max((f.stop for f in measured), default=0.0)
    # By kind and tier: one wrong offset puts hundreds of labels outside, which is one problem.
    bad: dict[str, list[str]] = defaultdict(list)
    slight: list[str] = []
    for a in entry.annotations:
        place = f"{a.label!r} ({a.start:.3f} to {a.stop:.3f} s)"
        if not a.stop >= a.start:
            bad[f"ends before it starts. Expected stop >= start.|{a.tier}"].append(place)
        elif measured:
            before, after = max(0.0, low - a.start), max(0.0, a.stop - high)
            if SLACK < max(before, after) <= SHARE * (a.stop - a.start):
                slight.append(place)
            elif max(before, after) > SLACK or before + after > (a.stop - a.start) / 2:
                wrong = f"lies outside the recording, {low:.3f} to {high:.3f} s. Correct its times."
                bad[f"{wrong}|{a.tier}"].append(place)
        # NaN is the one value that differs from itself.
        if isinstance(a.label, float) and a.label != a.label:
            bad[f"has no label (NaN). Remove it.|{a.tier}"].append(place)
    for key, places in bad.items():
        what, _, tier = key.rpartition("|")
        more = f" and {len(places) - 1} more" if len(places) > 1 else ""
        report.problems.append(f"{where} tier {tier!r}: {places[0]}{more}: {what}")
    if slight:
        report.warnings.append(
            f"{where}: {len(slight)} labels extend slightly beyond the recording, such as {slight[0]}."
        )
    for name, f in found.items():
        if f.kind == "words" and f.n and measured and f.start < low - SLACK:
            begins = f"begins at {f.start:.3f} s, but the recording at {low:.3f} s."
            report.warnings.append(f"{where} {name!r}: {begins}")
        if f.kind == "words" and f.n and measured and f.stop > high + SLACK:
            ends = f"ends at {f.stop:.3f} s, but the recording at {high:.3f} s."
            report.warnings.append(f"{where} {name!r}: {ends}")


def _check_splits(corpus: _Lenient, report: CheckReport) -> None:
    sides: dict[str, dict[str, int]] = defaultdict(dict)
    for number, entry in corpus.numbered:
        if entry.split and entry.split not in SIDES:
            report.problems.append(
                f"{corpus.path.name}:{number} split: got {entry.split!r}; expected train, valid or test. "
                f"{suggest(entry.split, SIDES)}"
            )
        if entry.split:
            sides[entry.group or entry.id].setdefault(entry.split, number)
    for group, own in sides.items():
        if len(own) > 1:
            places = ", ".join(f"{side} on line {number}" for side, number in own.items())
            report.problems.append(
                f"{corpus.path.name}: group {group!r} is on several sides ({places}). "
                "Put all of it on one, or split by group in the recipe."
            )
    without = [e.id for e in corpus.entries if not e.split]
    if without and len(without) < len(corpus.entries):
        report.warnings.append(f"{len(without)} recordings have no split, though others do, such as {without[0]!r}.")


def _check_labels(corpus: _Lenient, report: CheckReport) -> None:
    kinds: dict[str, dict[str, int]] = defaultdict(dict)
    count: dict[str, int] = defaultdict(int)
    for number, entry in corpus.numbered:
        for name, value in entry.labels.items():
            count[name] += 1
            kinds[name].setdefault("text" if isinstance(value, str) else "number", number)
            if isinstance(value, float) and not abs(value) < float("inf"):
                report.problems.append(f"{corpus.path.name}:{number} label {name!r}: is {value}. Remove it.")
    for name, own in kinds.items():
        if len(own) > 1:
            places = " and ".join(f"a {kind} on line {number}" for kind, number in own.items())
            report.warnings.append(f"label {name!r} is {places}. Write it the same way everywhere.")
        if count[name] < len(corpus):
            report.warnings.append(f"{len(corpus) - count[name]} of {len(corpus)} recordings have no label {name!r}.")


def _check_recipe(corpus: Corpus, recipe: Mapping[str, Any], report: CheckReport) -> None:
    """Items and folds that the recipe's ``task`` and ``split`` would give."""

    def attempt(run: Callable[[], T]) -> T | None:
        try:
            return run()
        except PlaitError as error:
            report.problems += [p for p in error.problems if p not in report.problems]
            return None

    task, split = recipe.get("task") or {}, recipe.get("split")
    unit = unit_of(task)
    if attempt(lambda: full_unit(unit)) is None:
        return
    found = attempt(lambda: find_items(corpus, unit))
    if found is None:
        return
    report.summary["items"] = len(found)
    report.summary["dropped"] = found.dropped
    report.warnings += [f"items: dropped {n}: {why}." for why, n in found.dropped.items()]
    folds = attempt(lambda: split_items(found.items, corpus, split)) if split else None
    if folds:
        report.summary["folds"] = {f.name: {s: len(own) for s, own in f.sides.items()} for f in folds}
        report.warnings += list(dict.fromkeys(f"split: {note}" for f in folds for note in f.notes))
