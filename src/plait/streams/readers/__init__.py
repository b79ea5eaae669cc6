"""Readers: one file a format. A reader turns a path into streams; it decodes nothing until asked."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

from plait.errors import ConfigError, DataError
from plait.parts import build, parts, suggest
from plait.streams.readers._budget import Budget
from plait.streams.stream import Stream

__all__ = ["Reader", "open_streams", "reader_for"]


class Reader(ABC):
    """One file format. Options are keyword-only arguments of ``__init__``; they come from the manifest.

    Beside a reader's own there is one of all readers: ``budget``, how many times the usual a file may unpack to or hold
    (64 MiB, or 100 times its size). A reader draws on ``self.budget`` before it takes memory that a file claims.

    A reader must end in streams or in `DataError` for any bytes whatever, must not read values before
    `Stream.read` asks, and must place every observation at the file's own seconds.
    """

    suffixes: ClassVar[tuple[str, ...]]
    """Lower-case file endings that it claims (``.mp4``); a folder format claims ``/``."""

    budget: Budget = Budget()

    @abstractmethod
    def open(self, path: Path) -> dict[str, Stream]:
        """The file's streams by the name that the format suggests, in the file's own seconds.

        Raises:
            DataError: the file is missing, truncated or not of the format.
        """

    def recordings(self, path: Path) -> dict[str, dict[str, Any]]:
        """Of a file that holds several recordings: the options that open each, by its id. Of any other: nothing.

        Raises:
            DataError: as `open`.
        """
        return {}

    def claims(self, path: Path) -> bool:
        """Whether this reader is for ``path`` (by its name; a folder format looks inside)."""
        return path.name.lower().endswith(self.suffixes)


@cache
def _readers() -> dict[str, type[Reader]]:
    return parts(Reader)


def reader_for(path: Path) -> str | None:
    """The name of the reader that claims ``path``, or None."""
    for name, cls in _readers().items():
        if cls().claims(path):
            return name
    return None


def open_streams(path: Path, reader: str | None = None, options: dict[str, Any] | None = None) -> dict[str, Stream]:
    """Open a file or folder with the reader that claims it (or the one named).

    Raises:
        DataError: it is not there, no reader claims it, or the reader cannot read it.
        ConfigError: an option that the reader does not have.
    """
    if not path.exists():
        raise DataError(f"{path}: no such file. Correct the path in the manifest or put the file there.")
    name = reader or reader_for(path)
    if name is None:
        known = sorted({s for cls in _readers().values() for s in cls.suffixes})
        raise DataError(f"{path}: no reader for this file name. Known endings: {' '.join(known)}.")
    if "." not in name and name not in _readers():
        raise ConfigError(f"{path}: there is no reader {name!r}. {suggest(name, _readers())}")
    budget, own = Budget.of(options, f"{path}: reader")
    made = build(Reader, {"name": name, **own}, where=f"{path}: reader")
    made.budget = budget
    return made.open(path)
