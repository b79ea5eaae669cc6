"""Subtitles: SRT, WebVTT, ASS."""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import ClassVar

from plait.core.errors import DataError, raise_all
from plait.readers import Reader
from plait.readers._told import tell
from plait.readers._webvtt import cues_of
from plait.readers._words import read_text, words
from plait.streams.stream import Stream

__all__ = ["Subtitles"]

Rows = list[tuple[float, float, str]]

_MARKUP = re.compile(r"</?[A-Za-z][^<>]*>|<\d[\d:.]*>|\{\\[^{}]*\}")


class Subtitles(Reader):
    """A stream ``words`` with one observation per subtitle: its interval, and its text in one line without markup.

    Subtitles out of order are sorted, and their number is logged; comments and empty ones are left out.

    Args:
        encoding: of files without a byte order mark.

    Raises:
        DataError: on opening: not of the format, a timing line that cannot be read, an end before its start.

    >>> Subtitles().suffixes
    ('.srt', '.vtt', '.ass', '.ssa')
    """

    version = 2
    suffixes: ClassVar[tuple[str, ...]] = (".srt", ".vtt", ".ass", ".ssa")

    def __init__(self, *, encoding: str = "utf-8") -> None:
        self.encoding = encoding

    def open(self, path: Path) -> dict[str, Stream]:
        text = read_text(path, self.encoding)
        rows = _webvtt(path, text) if path.suffix.lower() == ".vtt" else _others(path, text)
        rows = [(start, stop, bare) for start, stop, text in rows if (bare := _clean(text))]
        if not rows:
            raise DataError(f"{path}: has no subtitles with text. Get the file anew or leave it out.")
        ordered = sorted(rows, key=lambda r: r[:2])
        moved = sum(a is not b for a, b in zip(rows, ordered))
        if moved:
            tell(path, f"{moved} subtitles out of order were sorted")
        return {"words": words(path, ordered)}


def _webvtt(path: Path, text: str) -> Rows:
    found = cues_of(text)
    problems = [f"{path}{problem}." for problem in found.problems]
    raise_all(DataError, problems + ([] if problems else _problems(path, found.rows)))
    for told in found.told:
        tell(path, told)
    return found.rows


def _others(path: Path, text: str) -> Rows:
    """SubRip, and the Sub Station Alphas."""
    import pysubs2

    kind = "srt" if path.suffix.lower() == ".srt" else "ass"
    more = (
        {"keep_html_tags": True} if kind == "srt" else {}
    )  # else it takes "a < b and c > d" for a tag, and long for it
    ended = text + "\n\n0\n" if kind == "srt" else text  # otherwise a number in the very last line is lost
    try:
        events = list(pysubs2.SSAFile.from_string(ended, format_=kind, **more).events)
    except Exception as error:  # its parsers raise whatever the broken line leads to
        raise DataError(
            f"{path}: cannot be read as {kind} subtitles ({error}). Open it in a subtitle editor and save it anew."
        ) from error
    rows = [(e.start / 1000, e.end / 1000, e.text) for e in events]
    lost = _lost(path, text, len(rows)) if kind == "srt" else []
    raise_all(DataError, lost + ([] if lost and not rows else _problems(path, rows)))
    return [row for row, event in zip(rows, events) if not event.is_comment]


def _lost(path: Path, text: str, understood: int) -> list[str]:
    """Timing lines that were not understood."""
    marks = [(n, line) for n, line in enumerate(text.splitlines(), 1) if "-->" in line]
    if len(marks) == understood:
        return []
    bad = [n for n, line in marks if not re.search(r"\d:\d\d[.,]\d+\s*-->\s*[\d:]*\d:\d\d[.,]\d+", line)]
    return [
        f"{path}{f':{bad[0]}' if bad else ''}: {len(marks)} timing lines but {understood} subtitles understood. "
        "Expected '00:00:01,000 --> 00:00:02,500'. Correct the timing lines."
    ]


def _problems(path: Path, rows: Rows) -> list[str]:
    if not rows:
        return [f"{path}: has no subtitles. Expected at least one; get the file anew or leave it out."]
    return [
        f"{path}: subtitle {i} runs from {start:.3f} to {stop:.3f} s; expected an end after its start. "
        "Correct its times."
        for i, (start, stop, _) in enumerate(rows, 1)
        if stop < start
    ]


def _clean(text: str) -> str:
    """One line without styling.

    >>> _clean(r"{\\i1}Hello{\\i0}\\N<b>you</b> &amp; me, 1 < 2")
    'Hello you & me, 1 < 2'
    """
    bare = _MARKUP.sub("", text.replace(r"\N", " ").replace(r"\n", " ").replace(r"\h", " "))
    return " ".join(html.unescape(bare).split())
