"""What file names say, taken together: which recording, and which of its streams.

``talk01.imu.csv`` is the stream ``imu`` of the recording ``talk01``. But ``2024.01.05 visit.mp4`` is one recording, and
so is ``J.R. Smith.mov``: a dot alone says nothing. A stream's name differs from a part of the recording's name in two
ways: it is a word, and it forms a table with others, since the same streams recur with other recordings.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

__all__ = ["Named", "Naming", "names_of", "normal", "ways_of"]

_WORD = re.compile(r"(?!v\d+(\.|$))[^\W\d_][\w-]*(\.[^\W\d_][\w-]*)*")
"""A stream's name: words joined by dots; no numbers, dates, versions or blanks."""

_LONELY = re.compile(r"[a-z][a-z_-]*(\.[a-z][a-z_-]*)*")
"""What counts as a stream's name where there is a single recording."""

_ENDING = re.compile(r"(?=.*[a-z])[a-z0-9]{1,9}")

DENSE = 0.7
"""Share of all pairs (recording, stream) that must be exceeded by those that exist; else the words are no streams."""

MANY = 8
"""Up to this number of streams there may be fewer recordings than streams."""


class Named(NamedTuple):
    """What a file's name says; ``stream`` is '' where the reader is to name it."""

    id: str
    stream: str


@dataclass(frozen=True)
class Naming:
    """What each name says, and notes for people on what could have another meaning."""

    named: dict[str, Named]
    notes: list[str] = field(default_factory=list)


def names_of(
    files: Collection[str], streams: Collection[str] = (), ids: Collection[str] = (), *, closed: bool = False
) -> Naming:
    """Recording and stream of each file name.

    The ending is cut off (and so is that of another file: ``talk01.mp4.srt`` beside ``talk01.mp4``). What is left is
    split at a dot

    - after a recording that is known (``ids``), or before a stream that is known (``streams``);
    - after the whole name of another file, if a word follows: ``talk01.imu`` beside ``talk01``; and before the same
      word elsewhere;
    - before words that form a table: they follow several names, more than 7 in 10 of the pairs exist, and some name has
      several of them, or all files have the same;
    - before a word in small letters, if the folder is then one recording.

    Otherwise the whole name is the recording's: dates, versions, initials and titles stay in it. Both forms in which
    disks write accents are the same.

    Args:
        files: names without folders.
        streams: names of streams that are known (of rules, or of the corpus that a model was trained on).
        ids: recordings that are known (of a table of labels), or their files.
        closed: whether there are no streams but those that are known.

    >>> found = names_of(["a.1.mp4", "a.1.imu.csv", "b.2.mp4", "b.2.imu.csv", "2024.01.05 visit.mp4"]).named
    >>> found["a.1.imu.csv"], found["b.2.mp4"].id, found["2024.01.05 visit.mp4"].id
    (Named(id='a.1', stream='imu'), 'b.2', '2024.01.05 visit')
    """
    stems = _stems(files)
    whole = set(stems.values())
    told = _known(whole, streams, {stem for i in map(normal, ids) for stem in (i, stems.get(i, i))})
    notes: list[str] = []
    if not closed:
        told |= _behind_others(whole, told)
        # Once more with the streams found just now: b.imu is split even where there is no file b.
        told |= _known(whole - told.keys(), {named.stream for named in told.values()}, ())
        rest = [stem for stem in dict.fromkeys(stems.values()) if stem not in told]
        found = _table(rest) or _one_recording(rest, told)
        notes = _ambiguous(found, [stem for stem in rest if stem not in found])
        told |= found
    said = {file: stems[normal(file)] for file in files}
    return Naming({file: told.get(stem, Named(stem, "")) for file, stem in said.items()}, notes)


def normal(name: str) -> str:
    """A name with its accents in one form; disks write two forms."""
    return unicodedata.normalize("NFC", name)


def _stems(files: Iterable[str]) -> dict[str, str]:
    """The name of each file without its ending; ``a.mp4.srt`` beside ``a.mp4`` loses both endings."""
    ends = {file: file.rpartition(".") for file in map(normal, files)}
    stems = {file: stem or ending for file, (stem, _, ending) in ends.items()}
    return {file: stems[stem] if stem in stems and _has_ending(stem) else stem for file, stem in stems.items()}


def _has_ending(file: str) -> bool:
    stem, _, ending = file.rpartition(".")
    return bool(stem and _ENDING.fullmatch(ending.lower()))


def ways_of(stem: str) -> list[Named]:
    """Every split at a dot that leaves a recording and a word, the longest word first."""
    places = [m.start() for m in re.finditer(r"\.", stem)]
    ways = [Named(stem[:at], stem[at + 1 :]) for at in places]
    return [way for way in ways if way.id.strip(" .") and _WORD.fullmatch(way.stream)]


def _known(stems: Collection[str], streams: Collection[str], ids: Collection[str]) -> dict[str, Named]:
    """Stems with a known recording or stream, split at the longest one."""
    told = {}
    for stem in stems:
        ways = [Named(stem[: m.start()], stem[m.end() :]) for m in re.finditer(r"\.", stem)]
        ways = [way for way in ways if way.id.strip(" .") and way.stream]
        if stem in ids:
            told[stem] = Named(stem, "")
        elif behind := [way for way in ways if way.id in ids]:
            told[stem] = behind[-1]
        elif before := [way for way in ways if way.stream in streams]:
            told[stem] = before[0]
    return told


def _behind_others(stems: Collection[str], told: Mapping[str, Named]) -> dict[str, Named]:
    """Stems that follow the whole name of another file, or of a recording that is known by now."""
    whole = {stem for stem in stems if stem not in told} | {named.id for named in told.values()}
    # A whole name that itself follows another is no recording: a.b.c follows a, not a.b.
    first = {stem for stem in whole if not any(way.id in whole for way in ways_of(stem))}
    found: dict[str, Named] = {}
    for stem in stems:
        way = next((way for way in ways_of(stem) if way.id in first), None)
        if stem not in told and way is not None:
            found[stem] = way
            if way.id in stems:
                found[way.id] = told.get(way.id, Named(way.id, ""))
    return found


def _table(stems: Sequence[str]) -> dict[str, Named]:
    """Stems split before words that follow several names, such that most names have most of the words."""
    ways = {stem: own for stem in stems if (own := ways_of(stem))}
    # One depth for all files: otherwise cam.left would be the stream left of some recordings only.
    tables = [_of_depth(ways, depth) for depth in range(max(map(len, ways.values()), default=0), 0, -1)]
    return max(tables, key=lambda table: table[0], default=(0.0, {}))[1]


def _of_depth(ways: Mapping[str, list[Named]], depth: int) -> tuple[float, dict[str, Named]]:
    """The share of the table that exists, and its stems, if names of streams have at most ``depth`` words."""
    chosen = {stem: own[max(len(own) - depth, 0)] for stem, own in ways.items()}
    behind: dict[str, set[str]] = defaultdict(set)
    for way in chosen.values():
        behind[way.stream].add(way.id)
    # A word after a single name is as likely a part of that name.
    words = {word for word, ids in behind.items() if len(ids) > 1}
    cells = {stem: way for stem, way in chosen.items() if way.stream in words}
    ids = {way.id for way in cells.values()}
    found = {stem: way for stem, way in chosen.items() if way.id in ids}
    share = len(cells) / max(len(ids) * len(words), 1)
    groups = len(cells) > len(ids) or len(found) == len(ways)
    good = share > DENSE and groups and len(words) <= max(len(ids), MANY)
    return (share, found) if good else (0.0, {})


def _one_recording(stems: Sequence[str], told: Mapping[str, Named]) -> dict[str, Named]:
    """The stems as streams, if the whole folder is then one recording."""
    ways = {stem: own[0] for stem in stems if (own := ways_of(stem)) and _LONELY.fullmatch(own[0].stream)}
    ids = {way.id for way in ways.values()} | {named.id for named in told.values()}
    return ways if len(ids) == 1 and len(ways) == len(stems) else {}


def _ambiguous(streams: Mapping[str, Named], whole: Sequence[str]) -> list[str]:
    """Notes on what was taken for streams, or for parts of recordings' names, where it could be the other."""
    notes = []
    if words := {way.stream: stem for stem, way in streams.items()}:
        some, stem = ", ".join(sorted(words)[:5]) + " ..." * (len(words) > 5), words[min(words)]
        notes.append(
            f"taken for streams: {some} (as in {stem!r}). If recordings are named so, say it: import.match, such as "
            r"'(?P<id>[^/]*)\.\w+$'."
        )
    if dotted := [(stem, ways[-1]) for stem in whole if (ways := ways_of(stem))]:
        stem, way = dotted[0]
        notes.append(
            f"taken for a part of the recording's name: {way.stream!r} in {stem!r} (and so in {len(dotted)} names). If "
            f"it is a stream, name it: import.streams.{way.stream}: {{}}."
        )
    return notes
