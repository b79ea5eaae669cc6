"""Recordings that are being put together while a folder is imported."""

from __future__ import annotations

import re
import string
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from plait.core.errors import ConfigError, DataError, raise_all
from plait.core.parts import suggest
from plait.corpus.corpus import AnnotationEntry, RecordingEntry
from plait.corpus.summary import Facts, label_summary, missing_streams, rare_streams, stream_summary
from plait.importing.cells import normal_split, number
from plait.importing.labels import Labels, ids_in, read_labels
from plait.importing.matching import alike
from plait.importing.options import ImportOptions, LabelOptions, conventional_tables
from plait.importing.report import ImportReport, first_of, some_of
from plait.importing.rows import read_rows
from plait.importing.scan import Found, Scan, scan_folder
from plait.importing.untold import rate_notes
from plait.recipe import MIN_COVERAGE

__all__ = ["Importer"]

EPOCH = 1e8
"""Seconds above which a time is a date (here March 1973) and not an offset in a recording."""


@dataclass
class _Draft:
    """A recording that is being put together."""

    entry: RecordingEntry
    facts: dict[str, Facts] = field(default_factory=dict)


class Importer:
    """Collects streams, labels and metadata by recording; `entries` finishes them, `report` sums them up."""

    def __init__(self, root: Path, manifest: Path, options: ImportOptions) -> None:
        self.root, self.manifest, self.options = root, manifest, options
        self.drafts: dict[str, _Draft] = {}
        self.left_out: dict[str, str] = {}
        self.notes: list[str] = []
        self.outside = manifest.parent.resolve() != root.resolve()
        self.tables_wanted = self._tables()

    def _tables(self) -> list[tuple[Path, LabelOptions, bool]]:
        if self.options.labels is not None:
            return [(self.root / x.file, x, False) for x in self.options.labels]
        return [(self.root / options.file, options, True) for options in conventional_tables(self.root)]

    def draft(self, name: str) -> _Draft:
        return self.drafts.setdefault(name, _Draft(RecordingEntry(id=name)))

    def files(self, progress: Callable[[int, int], None] | None = None) -> None:
        """Streams from files and folders that readers claim."""
        # The tables are no recordings, though readers would take them for such.
        special = {p.resolve() for p, _, _ in self.tables_wanted} | {self.manifest.resolve()}
        special |= {(self.root / r.file).resolve() for r in self.options.rows}
        ids = {id for path, options, _ in self.tables_wanted for id in ids_in(path, options)}
        self.take(
            scan_folder(
                self.root,
                self.manifest.parent,
                self.options,
                special,
                check_links=not self.outside,
                ids=ids,
                progress=progress,
            )
        )

    def take(self, scan: Scan) -> None:
        """Add what a scan found."""
        self.left_out |= scan.left_out
        self.notes += [*rate_notes(scan.streams), *scan.notes]
        for found in scan.streams:
            self._add(found)
        self._unused_rules(scan)

    def _add(self, found: Found) -> None:
        draft = self.draft(found.place.id)
        if found.annotations is not None:
            draft.entry.annotations += found.annotations
        else:
            draft.entry.streams[found.name] = found.entry
            draft.facts[found.name] = found.facts
        place = found.place
        self._set(draft.entry, place.group, normal_split(place.split), place.meta, found.place.path)

    def _set(self, entry: RecordingEntry, group: str, split: str, meta: Mapping[str, object], where: str) -> None:
        """Set facts of a recording: the first source counts, and later ones that differ are noted."""
        for key, value in {"group": group, "split": split}.items():
            old = getattr(entry, key)
            if value and old and value != old:
                self.notes.append(
                    f"{where}: {key} of {entry.id!r} is {value!r} here, but {old!r} elsewhere; that is kept."
                )
            elif value:
                setattr(entry, key, value)
        for key, fact in meta.items():
            if entry.meta.setdefault(key, fact) != fact:
                self.notes.append(
                    f"{where}: {key} of {entry.id!r} is {fact!r} here, but {entry.meta[key]!r} elsewhere."
                )

    def _unused_rules(self, scan: Scan) -> None:
        for name in self.options.streams:
            if name not in scan.named and not any(name in rows.streams for rows in self.options.rows):
                self.notes.append(f"import.streams.{name}: no such stream was found. {suggest(name, scan.named)}")

    def rows(self) -> None:
        """Streams, labels and texts from arrays with one row per recording."""
        for rows in self.options.rows:
            streams, facts, labels = read_rows(self.root / rows.file, self.manifest.parent, rows, self.options)
            for name, own in streams.items():
                draft = self.draft(name)
                for stream, entry in own.items():
                    if stream in draft.entry.streams:
                        self.left_out[f"{rows.file}:{name}:{stream}"] = f"{name!r} has a stream {stream!r} already."
                        continue
                    draft.entry.streams[stream] = entry
                    draft.facts[stream] = facts[stream]
            self._merge(labels, rows.file)

    def tables(self) -> None:
        """Labels, annotations, texts, groups and splits from tables."""
        for path, options, guessed in self.tables_wanted:
            try:
                self._merge(read_labels(path, options, self.drafts, self._times), options.file)
            except DataError as error:
                if not guessed:
                    raise
                self.left_out[options.file] = str(error)

    def _times(self, name: str) -> tuple[float, float]:
        """When a recording starts and stops, in the seconds of its streams; 0 s without any."""
        facts = self.drafts[name].facts.values() if name in self.drafts else []
        return min((f.start for f in facts), default=0.0), max((f.stop for f in facts), default=0.0)

    def _merge(self, labels: Labels, where: str) -> None:
        self.notes += labels.notes
        for name, texts in labels.texts.items():
            entry = self.draft(name).entry
            for stream, text in texts.items():
                if stream in entry.streams:
                    self.left_out[f"{where}:{name}:{stream}"] = f"{name!r} has a stream {stream!r} already."
                else:
                    entry.streams[stream] = text
        for name, values in labels.labels.items():
            entry = self.draft(name).entry
            # Tables come in the order of the options; an earlier one counts.
            entry.labels = {**values, **entry.labels}
        for name, found in labels.annotations.items():
            self.draft(name).entry.annotations += found
        for name in [*labels.groups, *(n for n in labels.splits if n not in labels.groups)]:
            entry = self.draft(name).entry
            self._set(entry, labels.groups.get(name, ""), labels.splits.get(name, ""), {}, where)

    def entries(self) -> list[RecordingEntry]:
        """The finished manifest lines.

        Raises:
            ConfigError: a template or list names metadata that no recording has.
            DataError: there are none.
        """
        # The order of the disk differs between machines; that of the manifest must not.
        drafts = [self.drafts[name] for name in sorted(self.drafts, key=_natural)]
        if not drafts:
            reasons = first_of([f"{path}: {why}" for path, why in self.left_out.items()], 10)
            raise DataError([f"{self.root}: nothing to import ({len(self.left_out)} files left out).", *reasons])
        for draft in drafts:
            self._from_id(draft.entry)
        self._from_meta([d.entry for d in drafts])
        for draft in drafts:
            self._set_origin(draft)
        return [d.entry for d in drafts]

    def _from_id(self, entry: RecordingEntry) -> None:
        found = re.search(self.options.id_match, entry.id) if self.options.id_match else None
        if found:
            named = {k: v for k, v in found.groupdict().items() if v is not None}
            group, split = named.pop("group", ""), normal_split(named.pop("split", ""))
            self._set(entry, group, split, {k: number(v) for k, v in named.items()}, "import.id_match")

    def _from_meta(self, entries: list[RecordingEntry]) -> None:
        known = {"id"}.union(*(e.meta for e in entries))
        template = self.options.group
        needed = [name for _, name, _, _ in string.Formatter().parse(template or "") if name is not None]
        places = [
            *(("group", n) for n in needed),
            *(("labels_from_meta", n) for n in self.options.labels_from_meta),
        ]
        raise_all(
            ConfigError,
            [f"import.{p}: no recording has {n!r}. {suggest(n, known)}" for p, n in places if n not in known],
        )
        # Counted, so that a thousand recordings give one note.
        without: Counter[str] = Counter()
        for entry in entries:
            facts = {**entry.meta, "id": entry.id}
            if template and all(name in facts for name in needed):
                entry.group = template.format_map(facts)
            elif template:
                without["group"] += 1
            for name in self.options.labels_from_meta:
                if name in facts:
                    entry.labels.setdefault(name, facts[name])
                else:
                    without[f"label {name!r}"] += 1
        self.notes += [f"{n} recordings have no {what}: their names do not tell it." for what, n in without.items()]

    def _set_origin(self, draft: _Draft) -> None:
        """Let the seconds of a recording whose clocks are dates start at its first stream."""
        entry = draft.entry
        epochs = {n: f for n, f in draft.facts.items() if f.start > EPOCH and f.n}
        # Words (notes, button presses) are typed by hand or by another device: they do not say when it began.
        starts = [f.start for f in epochs.values() if f.kind != "words"] or [f.start for f in epochs.values()]
        dated = [a for a in entry.annotations if a.start > EPOCH]
        spans = [s for s in entry.streams.values() if s.spans and s.spans[0][0] > EPOCH]
        if not starts and draft.facts:
            return  # its streams tell no date, so nothing says what date their second 0 is
        starts = starts or [s.spans[0][0] for s in spans if s.spans] or [a.start for a in dated]
        if not starts:
            return
        origin = min(starts)
        entry.meta["epoch"] = origin
        for name, facts in epochs.items():
            entry.streams[name].origin = origin
            moved = {**vars(facts), "start": facts.start - origin, "stop": facts.stop - origin}
            draft.facts[name] = Facts(**moved)
        for stream in spans:
            stream.origin = origin
        entry.annotations = [_earlier(a, origin) if a.start > EPOCH else a for a in entry.annotations]

    def report(self, entries: list[RecordingEntry]) -> ImportReport:
        facts = {e.id: {**self.drafts[e.id].facts, **_inline(e)} for e in entries}
        self._outside_notes(entries, facts)
        self.notes += [
            f"recordings {', '.join(map(repr, ids))} differ in capitals, blanks or the like only. If they are one, "
            "rename their files."
            for ids in alike(self.drafts)
        ]
        self.notes += rare_streams({e.id: e.streams for e in entries}, MIN_COVERAGE).values()
        return ImportReport(
            manifest=self.manifest,
            outside=any((s.path or "").startswith("..") for e in entries for s in e.streams.values()),
            recordings=len(entries),
            streams=stream_summary(facts),
            labels=label_summary(entries),
            left_out=dict(sorted(self.left_out.items())),
            missing=missing_streams({e.id: e.streams for e in entries}),
            notes=list(dict.fromkeys(self.notes)),
        )

    def _outside_notes(self, entries: list[RecordingEntry], facts: Mapping[str, Mapping[str, Facts]]) -> None:
        outside: dict[str, int] = defaultdict(int)
        for entry in entries:
            own = facts[entry.id].values()
            if own:
                low, high = min(f.start for f in own), max(f.stop for f in own)
                outside[entry.id] += sum(a.start > high or a.stop < low for a in entry.annotations)
        bad = [name for name, n in outside.items() if n]
        if bad:
            self.notes.append(
                f"{sum(outside.values())} annotations of {len(bad)} recordings lie outside their streams "
                f"({some_of(bad, 5)}). Correct their times."
            )


def _inline(entry: RecordingEntry) -> dict[str, Facts]:
    found = {}
    for name, stream in entry.streams.items():
        if stream.path is None and stream.texts is not None:
            spans = stream.spans or [(0.0, 0.0)]
            start, stop = min(a for a, _ in spans) - stream.origin, max(b for _, b in spans) - stream.origin
            found[name] = Facts("words", len(stream.texts), start, stop, None, ())
    return found


def _earlier(a: AnnotationEntry, origin: float) -> AnnotationEntry:
    return a.model_copy(update={"start": a.start - origin, "stop": a.stop - origin})


def _natural(name: str) -> list[tuple[bool, int, str]]:
    """Sort key under which clip2 stands before clip10."""
    return [(part.isdigit(), int(part) if part.isdigit() else 0, part) for part in re.split(r"(\d+)", name)]
