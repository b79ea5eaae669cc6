"""What the names of files say, all of them together: which recording, and which of its streams.

``talk01.imu.csv`` is the stream ``imu`` of the recording ``talk01``. But ``2024.01.05 visit.mp4`` is one recording, and
so is ``J.R. Smith.mov``: a dot alone says nothing. What tells a stream's name from a part of the recording's is that it
is a word, and that it comes again: after other recordings, or beside the recording's other files.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

__all__ = ["Named", "names_of"]

_WORD = re.compile(r"(?!v\d+(\.|$))[^\W\d_][\w-]*(\.[^\W\d_][\w-]*)*")
"""A stream's name: words joined by dots; no number, date, version or blank."""

_LONELY = re.compile(r"[a-z][a-z_-]*")
"""What is taken for a stream's name even where it comes once only."""


class Named(NamedTuple):
    """What a file's name says; ``stream`` is '' where the reader is to name it."""

    id: str
    stream: str


def names_of(files: Iterable[str], streams: Collection[str] = ()) -> dict[str, Named]:
    """Recording and stream of each file name.

    A name without its ending is split at a dot where what follows is a word, and

    - is a stream that is known (``streams``), or follows other recordings too; of several such, the longest; else
    - what stands before is a recording by another file, whose ending differs; else
    - it is a single word in small letters.

    Elsewhere the whole name is the recording's. Accents are one letter, in whichever form a disk writes them.

    Args:
        files: names without folders.
        streams: names of streams that are known (of rules, or of the corpus that a model was trained on).

    >>> found = names_of(["a.1.mp4", "a.1.imu.csv", "b.2.mp4", "b.2.imu.csv", "2024.01.05 visit.mp4"])
    >>> found["a.1.imu.csv"], found["b.2.mp4"].id, found["2024.01.05 visit.mp4"].id
    (Named(id='a.1', stream='imu'), 'b.2', '2024.01.05 visit')
    """
    split = {file: _split(file) for file in files}
    follows: dict[str, set[str]] = defaultdict(set)
    for stem, _ in split.values():
        for id, stream in _ways(stem):
            follows[stream].add(id)
    known = {s for s in follows if s in streams or len(follows[s]) > 1}
    found: dict[str, Named] = {}
    for file, (stem, _) in split.items():
        ways = [way for way in _ways(stem) if way.stream in known]
        if ways:
            found[file] = ways[0]
    ids = {named.id for named in found.values()}
    stems = {stem for stem, _ in split.values()}
    endings: dict[str, set[str]] = defaultdict(set)
    for stem, ending in split.values():
        for id in _beginnings(stem):
            endings[id].add(ending)
    return {file: found.get(file) or _single(*split[file], ids, stems, endings) for file in split}


def _single(
    stem: str, ending: str, ids: Collection[str], stems: Collection[str], endings: Mapping[str, Collection[str]]
) -> Named:
    """A file whose name, after any dot, comes once; ``endings``: of the files whose names begin so."""
    ways = _ways(stem)
    if stem in ids:
        return Named(stem, "")
    for way in ways:
        if way.id in ids or way.id in stems or any(other != ending for other in endings[way.id]):
            return way
    return next((way for way in ways if _LONELY.fullmatch(way.stream)), Named(stem, ""))


def _split(file: str) -> tuple[str, str]:
    """The name without its ending, and the ending."""
    stem, _, ending = unicodedata.normalize("NFC", file).rpartition(".")
    return (stem, ending.lower()) if stem else (ending, "")


def _beginnings(stem: str) -> list[str]:
    """What stands before each dot, the shortest first."""
    return [stem[: m.start()] for m in re.finditer(r"\.", stem)]


def _ways(stem: str) -> list[Named]:
    """Every split at a dot that leaves a recording and a word, the longest word first."""
    ways = [Named(id, stem[len(id) + 1 :]) for id in _beginnings(stem)]
    return [way for way in ways if way.id.strip(" .") and _WORD.fullmatch(way.stream)]
