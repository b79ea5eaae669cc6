"""Readers: one file per format. A reader turns a path into streams; it decodes nothing until asked."""

from __future__ import annotations

import stat
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from typing import ClassVar, TypeAlias

from plait.core.errors import ConfigError, DataError
from plait.core.parts import build, find, parts, suggest
from plait.readers._budget import Budget
from plait.streams.stream import Stream

__all__ = ["Opened", "Reader", "check_path", "open_streams", "opened_once", "reader_for", "reader_version"]

Opened: TypeAlias = dict[tuple[object, ...], dict[str, Stream]]
"""Streams by what they were opened from: the file as it was then, its reader and options."""

_kept: ContextVar[Opened | None] = ContextVar("opened", default=None)
MOST = 256
"""Files of which the streams are kept."""

_KINDS = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


class Reader(ABC):
    """One file format. Options are keyword-only arguments of ``__init__``; they come from the manifest.

    All readers have one more option, ``budget``: by which factor a file may exceed the usual limit on what it unpacks
    to or holds (64 MiB, or 100 times its size). A reader draws on ``self.budget`` before it takes memory that a file
    claims.

    For any bytes whatever, a reader must end in streams or in `DataError`. It must not read values before
    `Stream.read` asks, and must place every observation at the file's own seconds.
    """

    suffixes: ClassVar[tuple[str, ...]]
    """Lower-case file endings that it claims (``.mp4``); a folder format claims ``/``."""

    version: ClassVar[int] = 1
    """Raise it when the reader gives other values for the same bytes: features are then computed anew."""

    budget: Budget = Budget()

    @abstractmethod
    def open(self, path: Path) -> dict[str, Stream]:
        """The file's streams by the name that the format suggests, in the file's own seconds.

        Raises:
            DataError: the file is missing, truncated or not of the format.
        """

    def recordings(self, path: Path) -> dict[str, dict[str, object]]:
        """For a file that holds several recordings: the options that open each, by its id. Empty for any other file.

        Raises:
            DataError: as `open`.
        """
        return {}

    def claims(self, path: Path) -> bool:
        """Whether this reader is for ``path`` (by its name; formats that are folders look inside)."""
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


def reader_version(path: Path, reader: str | None = None) -> int:
    """The `version` of the reader that claims ``path``, or of the one named; 1 if none claims it.

    Raises:
        ConfigError: there is no reader of that name.

    >>> reader_version(Path("talk.csv"), "array"), reader_version(Path("talk.unknown"))
    (1, 1)
    """
    name = reader or reader_for(path)
    return find(Reader, name, f"{path}: reader")[0].version if name else 1


def check_path(path: Path) -> None:
    """Refuse, without opening it, what is no regular file or folder: a pipe or a device may never end, or block.

    Raises:
        DataError: nothing is there, the name cannot be one, or it is a pipe, a socket or a device.
    """
    try:
        kind = stat.S_IFMT(path.stat().st_mode)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        missing = isinstance(error, FileNotFoundError | NotADirectoryError)
        what = "no such file" if missing else f"cannot be opened ({getattr(error, 'strerror', None) or error})"
        shown = str(path).replace("\0", "\\0")
        raise DataError(f"{shown}: {what}. Correct the path in the manifest or put the file there.") from error
    if kind not in (stat.S_IFREG, stat.S_IFDIR):
        raise DataError(
            f"{path}: is {_KINDS.get(kind, 'something else')}; expected a regular file or a folder. "
            "Save what it gives to a file, and name that."
        )


def open_streams(path: Path, reader: str | None = None, options: dict[str, object] | None = None) -> dict[str, Stream]:
    """Open a file or folder with the reader that claims it (or the one named).

    Raises:
        DataError: it is not there, is no regular file or folder, no reader claims it, or the reader cannot read it.
        ConfigError: an option that the reader does not have.
    """
    check_path(path)
    name = reader or reader_for(path)
    if name is None:
        known = sorted({s for cls in _readers().values() for s in cls.suffixes})
        raise DataError(f"{path}: no reader for this file name. Known endings: {' '.join(known)}.")
    if "." not in name and name not in _readers():
        raise ConfigError(f"{path}: there is no reader {name!r}. {suggest(name, _readers())}")
    kept, seen = _kept.get(), _identity(path, name, options or {})
    if kept is not None and seen in kept:
        return dict(kept[seen])
    budget, own = Budget.of(options, f"{path}: reader")
    made = build(Reader, {"name": name, **own}, where=f"{path}: reader")
    made.budget = budget
    found = made.open(path)
    if kept is not None and path.is_file():
        while len(kept) >= MOST:
            del kept[next(iter(kept))]
        kept[seen] = dict(found)
    return found


@contextmanager
def opened_once(kept: Opened) -> Iterator[None]:
    """Within it, `open_streams` opens a file again only if it, or a file that its options name, has changed.

    Args:
        kept: what was opened; it is added to, and may be given again.
    """
    token = _kept.set(kept)
    try:
        yield
    finally:
        _kept.reset(token)


def _identity(path: Path, reader: str, options: Mapping[str, object]) -> tuple[object, ...]:
    beside = (path.parent / v for v in options.values() if isinstance(v, str) and v)
    stamps = [(str(p), s.st_size, s.st_mtime_ns, s.st_ctime_ns, s.st_ino)
              for p in (path, *(p for p in beside if p.is_file())) for s in [p.stat()]]  # fmt: skip
    return (reader, repr(sorted(options.items())), *stamps)
