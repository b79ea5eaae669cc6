"""Subtitles: SRT, WebVTT, ASS."""

from __future__ import annotations

import html
import logging
import re
from pathlib import Path
from typing import Any, ClassVar

from plait.errors import DataError, raise_all
from plait.streams.readers import Reader
from plait.streams.readers._words import read_text, words
from plait.streams.stream import Stream

__all__ = ["Subtitles"]

_MARKUP = re.compile(r"</?[A-Za-z][^<>]*>|<\d[\d:.]*>|\{\\[^{}]*\}")


class Subtitles(Reader):
    """A stream ``words`` with one observation a subtitle: its interval, and its text in one line without markup.

    Subtitles out of order are put in order, and how many is logged; comments and empty ones are left out.

    Args:
        encoding: of files without a byte order mark.

    Raises:
        DataError: on opening: not of the format, a timing line that cannot be read, an end before its start.

    >>> Subtitles().suffixes
    ('.srt', '.vtt', '.ass', '.ssa')
    """

    suffixes: ClassVar[tuple[str, ...]] = (".srt", ".vtt", ".ass", ".ssa")

    def __init__(self, *, encoding: str = "utf-8") -> None:
        self.encoding = encoding

    def open(self, path: Path) -> dict[str, Stream]:
        text = read_text(path, self.encoding)
        events = _events(path, text)
        raise_all(DataError, _problems(path, text, events))
        rows = [(e.start / 1000, e.end / 1000, _clean(e.text)) for e in events if not e.is_comment]
        rows = [r for r in rows if r[2]]
        ordered = sorted(rows, key=lambda r: r[:2])
        moved = sum(a is not b for a, b in zip(rows, ordered))
        if moved:
            logging.getLogger("plait").warning("%s: %d subtitles out of order were sorted", path, moved)
        return {"words": words(path, ordered)}


def _events(path: Path, text: str) -> list[Any]:
    import pysubs2

    kind = {".srt": "srt", ".vtt": "vtt"}.get(path.suffix.lower(), "ass")
    try:
        return list(pysubs2.SSAFile.from_string(text, format_=kind).events)
    except Exception as error:  # its parsers raise whatever the broken line leads to
        raise DataError(
            f"{path}: cannot be read as {kind} subtitles ({error}). Open it in a subtitle editor and save it anew."
        ) from error


def _problems(path: Path, text: str, events: list[Any]) -> list[str]:
    marks = [n for n, line in enumerate(text.splitlines(), 1) if "-->" in line]
    problems = []
    if path.suffix.lower() in (".srt", ".vtt") and len(marks) != len(events):
        bad = [
            n for n in marks if not re.search(r"\d:\d\d[.,]\d+\s*-->\s*[\d:]*\d:\d\d[.,]\d+", text.splitlines()[n - 1])
        ]
        place = f":{bad[0]}" if bad else ""
        problems.append(
            f"{path}{place}: {len(marks)} timing lines but {len(events)} subtitles understood. "
            "Expected '00:00:01,000 --> 00:00:02,500'. Correct the timing lines."
        )
    elif not events:
        problems.append(f"{path}: has no subtitles. Expected at least one; get the file anew or leave it out.")
    problems += [
        f"{path}: subtitle {i} runs from {e.start / 1000:.3f} to {e.end / 1000:.3f} s; expected an end after "
        "its start. Correct its times."
        for i, e in enumerate(events, 1)
        if e.end < e.start
    ]
    return problems


def _clean(text: str) -> str:
    """One line without styling.

    >>> _clean(r"{\\i1}Hello{\\i0}\\N<b>you</b> &amp; me, 1 < 2")
    'Hello you & me, 1 < 2'
    """
    bare = _MARKUP.sub("", text.replace(r"\N", " ").replace(r"\n", " ").replace(r"\h", " "))
    return " ".join(html.unescape(bare).split())
