"""Word alignments of the GRID corpus."""

from __future__ import annotations

import math
from pathlib import Path
from typing import ClassVar

from plait.core.errors import ConfigError, DataError, raise_all
from plait.readers import Reader
from plait.readers._words import read_text, words
from plait.streams.stream import Stream

__all__ = ["Align"]


class Align(Reader):
    """A stream ``words`` from lines ``start end word``; silences (``sil``, ``sp``) are words like the others.

    Source: Cooke, Barker, Cunningham, Shao, "An audio-visual corpus for speech perception and automatic speech
    recognition", JASA 2006; times there are in 1/25000 s, so that 1000 is a frame of video.

    Args:
        unit_hz: units of time per second.

    Raises:
        ConfigError: the unit is not above 0.
        DataError: on opening, with every line that is not ``start end word``.

    >>> Align().suffixes
    ('.align',)
    """

    suffixes: ClassVar[tuple[str, ...]] = (".align",)

    def __init__(self, *, unit_hz: float = 25000) -> None:
        if not (unit_hz > 0 and math.isfinite(unit_hz)):
            raise ConfigError(f"align.unit_hz: got {unit_hz}; expected units per second, above 0.")
        self.unit_hz = unit_hz

    def open(self, path: Path) -> dict[str, Stream]:
        rows: list[tuple[float, float, str]] = []
        problems: list[str] = []
        for number, line in enumerate(read_text(path).splitlines(), 1):
            cells = line.split(maxsplit=2)
            if not cells:
                continue
            try:
                start, stop, word = cells
                rows.append((float(start) / self.unit_hz, float(stop) / self.unit_hz, word.strip()))
            except ValueError:
                problems.append(f"{path}:{number}: got {line[:60]!r}; expected 'start end word'. Correct the line.")
        if not rows and not problems:
            problems.append(f"{path}: has no lines. Expected 'start end word' a line. Get the file anew.")
        raise_all(DataError, problems)
        return {"words": words(path, rows)}
