"""What an import understood and what it left out, for people and as JSON."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from plait.corpus.summary import label_lines, stream_lines

__all__ = ["ImportReport", "first_of", "some_of"]


@dataclass
class ImportReport:
    """What an import understood, and what it left out.

    Attributes:
        manifest: the file written.
        outside: whether paths in it leave its folder, so that the corpus needs ``allow_outside=True``.
        recordings: how many.
        streams: by name: recordings that have it, kinds, shapes, rates (Hz), hours.
        labels: labels, annotation tiers, groups and splits with counts.
        left_out: why, by file.
        missing: recordings without a stream that most have, by stream.
        notes: everything else that was dropped, renamed or not used.
    """

    manifest: Path
    outside: bool
    recordings: int
    streams: dict[str, dict[str, object]]
    labels: dict[str, object]
    left_out: dict[str, str] = field(default_factory=dict)
    missing: dict[str, list[str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, object]:
        """Everything, as JSON types."""
        return {**vars(self), "manifest": str(self.manifest)}

    def lines(self, most: int = 10) -> list[str]:
        """Lines for people; long lists are cut after ``most``."""
        lines = [f"{self.manifest}: {self.recordings} recordings"]
        lines += stream_lines(self.streams, self.recordings)
        lines += label_lines(self.labels, self.recordings)
        for stream, ids in self.missing.items():
            lines.append(f"  without {stream}: {some_of(ids, most)}")
        lines += self.lines_of_left_out(most)
        lines += first_of([f"note: {note}" for note in self.notes], most)
        if self.outside:
            lines.append("note: paths leave the manifest's folder; open the corpus with allow_outside.")
        return lines

    def lines_of_left_out(self, most: int = 10) -> list[str]:
        """How many files were left out, and the first files of each reason."""
        if not self.left_out:
            return []
        by_reason: dict[str, list[str]] = defaultdict(list)
        for path, why in self.left_out.items():
            by_reason[why].append(path)
        told = [f"  {some_of(paths, 3)}: {why}" for why, paths in by_reason.items()]
        count = len(self.left_out)
        return [f"left out: {count} file{'' if count == 1 else 's'}", *first_of(told, most)]


def some_of(ids: list[str], most: int) -> str:
    """The first few names, and how many more there are."""
    return ", ".join(ids[:most]) + (f" and {len(ids) - most} more" if len(ids) > most else "")


def first_of(lines: list[str], most: int) -> list[str]:
    """The first few lines, and a line that says how many more there are."""
    return lines[:most] + ([f"  and {len(lines) - most} more (all of them with --json)"] if len(lines) > most else [])
