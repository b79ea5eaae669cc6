"""Detections from outside: one object a line, as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import ClassVar

from plait.core.errors import DataError, raise_all
from plait.readers import Reader
from plait.readers._words import read_text, words
from plait.streams.objects import objects_of
from plait.streams.stream import Stream

__all__ = ["Detections"]


class Detections(Reader):
    """A stream ``objects`` of words: one object a row, as JSON (`plait.streams.objects`).

    Each line is an object: ``{"time": 0.04, "class": "dog", "box": [10, 20, 30, 40], "id": 3, "confidence": 0.9,
    "picture": [640, 480]}``. The box is left, top, width and height in pixels, as in COCO. ``time`` is in seconds, 0
    where it is left out (a picture); lines are in its order. The same id is the same object at other times (a track).
    ``id``, ``confidence`` and ``picture`` may be left out.

    Args:
        rate: pictures per second: an object is there until the next picture; by default for a second.

    Raises:
        DataError: on opening: a line that is no object (see `plait.streams.objects.objects_of`), with its line.

    >>> Detections().claims(Path("talk01.objects.jsonl")), Detections().claims(Path("manifest.jsonl"))
    (True, False)
    """

    suffixes: ClassVar[tuple[str, ...]] = (".objects.jsonl", ".detections.jsonl")

    def __init__(self, *, rate: float | None = None) -> None:
        self.rate = rate

    def open(self, path: Path) -> dict[str, Stream]:
        rows, problems = list[tuple[float, float, str]](), list[str]()
        for number, line in enumerate(read_text(path).splitlines(), 1):
            if not line.strip():
                continue
            try:
                rows.append(self._row(line))
            except (ValueError, RecursionError) as error:
                problems.append(f"{path}:{number}: {str(error)[:200]}. Expected one object in JSON.")
        if not rows and not problems:
            problems.append(f"{path}: has no objects. Expected one in JSON per line.")
        raise_all(DataError, problems)
        stream = words(path, rows)
        objects_of(stream)  # so that a wrong box is told where it stands, before anything is computed
        return {"objects": stream}

    def _row(self, line: str) -> tuple[float, float, str]:
        found = json.loads(line)
        if not isinstance(found, dict):
            raise ValueError(f"holds {type(found).__name__}")
        time = found.pop("time", 0.0)
        if isinstance(time, bool) or not isinstance(time, int | float) or not abs(time) < 1e15:
            raise ValueError(f"time is {time!r}; expected seconds")
        return float(time), float(time) + 1 / (self.rate or 1), json.dumps(found, ensure_ascii=False)
