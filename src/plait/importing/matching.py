"""Which recording a cell of a table means: by its id, its file, or what a spreadsheet made of the id."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Iterable
from pathlib import Path

from plait.importing.naming import normal, ways_of
from plait.readers import reader_for

__all__ = ["alike", "match_ids"]


def match_ids(names: Collection[str], known: Collection[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Recordings by name: certain matches, and matches in spite of another spelling.

    A match is certain if the name is the id, or a file of the recording with or without its folder. For the rest,
    capitals, the kind of blanks, hyphens and underscores between letters, leading zeros and a trailing ``.0`` are
    ignored, and a match counts only if it is one to one.

    >>> match_ids(["t1", "sound/t2.wav", "T 3", "04.0", "t5"], ["t1", "t2", "t_3", "4"])
    ({'t1': 't1', 'sound/t2.wav': 't2'}, {'T 3': 't_3', '04.0': '4'})
    """
    there = set(known)
    sure = {name: id for name in names if (id := _sure(normal(name), there)) is not None}
    meant = set(sure.values())
    left = _by_form(id for id in known if id not in meant)
    asking = _by_form(name for name in names if name not in sure)
    loose = {own[0]: left[form][0] for form, own in asking.items() if len(own) == len(left.get(form, [])) == 1}
    return sure, loose


def _sure(name: str, known: Collection[str]) -> str | None:
    """The id that a name is, or that the file of this name has."""
    path = name.replace("\\", "/")
    for file in dict.fromkeys((name, path, path.rpartition("/")[2])):
        if file in known:
            return file
        if reader_for(Path(file)) is not None:
            stem = file.rpartition(".")[0]
            for id in (stem, *(way.id for way in reversed(ways_of(stem)))):
                if id in known:
                    return id
    return None


def alike(names: Iterable[str]) -> list[list[str]]:
    """Groups of names that differ only in what `match_ids` ignores.

    >>> alike(["Talk 1", "talk_01", "talk2"])
    [['Talk 1', 'talk_01']]
    """
    return [own for own in _by_form(names).values() if len(own) > 1]


def _by_form(names: Iterable[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for name in names:
        found[_form(name)].append(name)
    return found


def _form(name: str) -> str:
    """A name without what gets lost in spreadsheets and in typing."""
    text = unicodedata.normalize("NFKC", name).casefold().strip()
    # pandas writes the id 4 as 4.0 once a cell of its column is empty.
    if re.fullmatch(r"\d+\.0+", text):
        text = text.partition(".")[0]
    text = re.sub(r"(?<=[^\W_])[\s_-]+(?=[^\W_])", " ", text)
    # Spreadsheets turn 007 into 7.
    return re.sub(r"(?<!\d)0+(?=\d)", "", text)
