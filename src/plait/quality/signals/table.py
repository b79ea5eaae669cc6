"""The quality table of a corpus: one row per stream of a recording."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from plait.core.errors import PlaitError
from plait.corpus.corpus import Corpus, RecordingEntry
from plait.quality.signals import Finding, quality_of

__all__ = ["signal_rows", "signal_table"]

Row = dict[str, Any]


def signal_rows(
    corpus: Corpus,
    entries: Sequence[tuple[int, RecordingEntry]],
    progress: Callable[[int, int], None] | None = None,
) -> list[Row]:
    """Every stream that opens, measured: recording, stream, kind, verdict and findings, and its place in the manifest.

    Args:
        entries: lines of the manifest, with their numbers.
        progress: called with (done, total) after each recording.
    """
    rows = []
    for done, (number, entry) in enumerate(entries, 1):
        for name, given in entry.streams.items():
            place = f":{number} {name!r}"
            try:
                stream = corpus.open_entry(given, place)
                found = quality_of(stream).to_json() if len(stream) else None
            except PlaitError as error:
                found = {"kind": "", "verdict": f"cannot be read: {error.problems[0]}", "findings": []}
            if found is not None:
                rows.append({"where": f"{corpus.path.name}{place}", "recording": entry.id, "stream": name, **found})
        if progress:
            progress(done, len(entries))
    return rows


def signal_table(rows: Sequence[Row], shown: int = 20) -> list[str]:
    """The table as text: by stream, bad recordings first, at most ``shown`` recordings each."""
    lines: list[str] = []
    for name in dict.fromkeys(row["stream"] for row in rows):
        own = sorted((r for r in rows if r["stream"] == name), key=lambda r: bool(r["verdict"] == "good"))
        bad = sum(r["verdict"] != "good" for r in own)
        lines.append(f"  signals of {name}: {len(own) - bad} of {len(own)} good")
        columns = list(dict.fromkeys(f["what"] for r in own for f in r["findings"]))
        cells = [["recording", *columns, "verdict"]]
        for row in own[:shown]:
            found = {f["what"]: Finding(**f).amount for f in row["findings"]}
            cells.append([row["recording"], *(found.get(c, "") for c in columns), row["verdict"]])
        widths = [max(len(line[i]) for line in cells) for i in range(len(columns) + 1)]
        lines += ["    " + "  ".join([*(c.ljust(w) for c, w in zip(line, widths)), line[-1]]) for line in cells]
        if len(own) > shown:
            lines.append(f"    and {len(own) - shown} more; all of them with --json")
    return lines
