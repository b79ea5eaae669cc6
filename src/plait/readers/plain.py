"""Plain text."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from plait.readers import Reader
from plait.readers._words import read_text, words
from plait.streams.stream import Stream

__all__ = ["Plain"]


class Plain(Reader):
    """A stream ``text`` of one observation at 0 s: the whole file without blanks around it.

    Raises:
        DataError: on opening, of bytes that are not UTF-8 (or UTF-16 with a byte order mark).

    >>> Plain().suffixes
    ('.txt',)
    """

    suffixes: ClassVar[tuple[str, ...]] = (".txt",)

    def open(self, path: Path) -> dict[str, Stream]:
        return {"text": words(path, [(0.0, 0.0, read_text(path).strip())])}
