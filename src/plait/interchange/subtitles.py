"""Subtitles: one file per recording and tier."""

from __future__ import annotations

import math
import re
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path

from plait.core.atomic import write_text
from plait.core.errors import ConfigError
from plait.core.names import Names
from plait.corpus.corpus import Corpus
from plait.interchange import Format, Moved
from plait.interchange.annotations import LACKS, Interval, tiers_of
from plait.interchange.sample import Sample

__all__ = ["Srt", "Vtt", "joined"]


class _Subtitles(Format):
    """Common base of the formats: they differ in how a cue is written."""

    features = False
    lacks = LACKS
    ending: str
    head = ""
    mark: str
    """Between seconds and milliseconds."""
    escapes: bool
    """Whether a text can hold what looks like markup."""

    def __init__(self, *, words: int = 1, pause: float = 0.6) -> None:
        if words < 1 or not 0 <= pause < math.inf:
            raise ConfigError(
                f"{type(self).__name__.lower()}: got words {words} and pause {pause}; expected 1 or more, and seconds."
            )
        self.words, self.pause = words, pause

    @abstractmethod
    def text(self, label: str) -> str:
        """A label as the text of a cue, on one line."""

    def write(self, corpus: Corpus, found: Iterator[Sample], out: Path, moved: Moved) -> None:
        out.mkdir()
        names = Names()
        for sample in found:
            tiers = {name: rows for name, rows in tiers_of(sample, moved).items() if rows}
            moved.note("recordings without annotations or words", not tiers)
            others = [n for n in corpus.entry(sample.id).streams if n not in sample.streams]
            moved.note("streams that are no words", len(others))
            for tier, rows in tiers.items():
                # A player looks for a film's name; more tiers are streams of the recording, by plait's convention.
                name = names.of(sample.id) if len(tiers) == 1 else names.of(f"{sample.id}.{tier}")
                write_text(out / f"{name}{self.ending}", self._file(rows, moved))

    def _file(self, rows: Sequence[Interval], moved: Moved) -> str:
        told = [row for row in rows if row[2].strip()]
        moved.note("intervals without a text", len(rows) - len(told))
        moved.note("texts of several lines (now one)", sum(len(label.splitlines()) > 1 for _, _, label in told))
        marked = sum(bool(re.search(r"<[^>]*>|\{\\", label)) for _, _, label in told)
        moved.note("texts with markup, which readers take out", 0 if self.escapes else marked)
        cues = joined(told, self.words, self.pause)
        parts = [
            f"{i}\n{self._time(a)} --> {self._time(b)}\n{self.text(' '.join(label.split()))}\n"
            for i, (a, b, label) in enumerate(cues, 1)
        ]
        return self.head + "\n".join(parts)

    def _time(self, seconds: float) -> str:
        whole, milli = divmod(round(seconds * 1000), 1000)
        return f"{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02}{self.mark}{milli:03}"


def joined(rows: Sequence[Interval], words: int, pause: float) -> list[Interval]:
    """Intervals in order of time, up to ``words`` of them as one while the gap between them is at most ``pause``.

    >>> joined([(0.0, 0.5, "good"), (0.5, 0.9, "day"), (3.0, 3.5, "all")], 7, 0.6)
    [(0.0, 0.9, 'good day'), (3.0, 3.5, 'all')]
    """
    found: list[list[Interval]] = []
    for row in rows:
        if found and len(found[-1]) < words and row[0] - found[-1][-1][1] <= pause:
            found[-1].append(row)
        else:
            found.append([row])
    return [(own[0][0], max(r[1] for r in own), " ".join(r[2] for r in own)) for own in found]


class Srt(_Subtitles):
    """SubRip subtitles: a folder with ``ID.srt``, or ``ID.TIER.srt`` of recordings with several tiers, in UTF-8.

    Every annotation and every word of a stream is a cue; times are rounded to milliseconds. What SubRip cannot hold is
    counted: texts of several lines become one line, empty ones are left out, and ``<i>`` in a text is taken for markup.

    Args:
        words: so many intervals at most are joined to one cue, for subtitles that people read: 7 or so.
        pause: not over a longer pause, seconds.
    """

    ending, mark, escapes = ".srt", ",", False

    def text(self, label: str) -> str:
        return label


class Vtt(_Subtitles):
    """WebVTT captions (W3C candidate recommendation, "WebVTT: The Web Video Text Tracks Format"), otherwise as `Srt`.

    Args:
        words, pause: see `Srt`.
    """

    ending, mark, head, escapes = ".vtt", ".", "WEBVTT\n\n", True

    def text(self, label: str) -> str:
        return label.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
