"""Files that are whole or absent: written beside their place, then moved there.

A process that is killed while it writes leaves the old file as it was, and beside it a ``.part`` that nobody reads;
`sweep` takes those away. Any number of processes may write one file at once: the last to finish wins, whole.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["read_text", "replacing", "sweep", "write_text"]

PART = ".part"

STALE_S = 3600.0
"""A part that nobody has written to for so long belongs to a process that is gone."""


LONGEST = 1 << 28
"""Bytes of a text that is read in one go."""


@contextmanager
def replacing(path: str | Path, *, durable: bool = False) -> Iterator[Path]:
    """Gives a name beside ``path`` to write to; at the end of the block that file takes the place of ``path``.

    If the block raises, ``path`` stays as it was and the new file is deleted. The folder must exist.

    Args:
        path: the file.
        durable: whether it must be on the disk before the block is left, since it marks something as done: so that a
            power cut leaves no mark without what it stands for.

    >>> import tempfile
    >>> target = Path(tempfile.mkdtemp()) / "numbers.txt"
    >>> with replacing(target) as new:
    ...     _ = new.write_text("1 2 3")
    ...     target.exists()
    False
    >>> target.read_text()
    '1 2 3'

    Raises:
        OSError: the folder is not there or not writable, or the disk is full.
    """
    target = Path(path)
    part = target.with_name(f"{target.name}.{os.urandom(4).hex()}{PART}")
    try:
        yield part
        if durable:
            _flush(part)
        os.replace(part, target)
        if durable:
            _flush(target.parent)
    finally:
        part.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    """To the disk; a folder where the system cannot is left to it."""
    if os.name == "nt" and path.is_dir():
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_text(path: str | Path, text: str, *, durable: bool = False) -> None:
    """Write a text file in UTF-8, atomically; ``durable``: as for `replacing`.

    Raises:
        OSError: as `replacing`.
    """
    with replacing(path, durable=durable) as part:
        part.write_text(text, encoding="utf-8")


def read_text(path: str | Path, longest: int = LONGEST) -> str:
    """The text of a file in UTF-8, of one that has an end: not of a device or a pipe.

    Raises:
        OSError: there is none, it is no file, or it has more than ``longest`` bytes.
        UnicodeDecodeError: it is not UTF-8.
    """
    place = Path(path)
    if not stat.S_ISREG(place.stat().st_mode):  # opening a pipe waits for whoever writes to it
        code = errno.EISDIR if place.is_dir() else errno.EINVAL
        raise OSError(code, "is no file", str(path))
    with open(place, "rb") as file:
        found = file.read(longest + 1)
    if len(found) > longest:
        raise OSError(errno.EFBIG, f"has more than {longest:,} bytes", str(path))
    return found.decode("utf-8")


def sweep(folder: str | Path, older_than: float = STALE_S) -> int:
    """Delete the parts that killed processes left in a folder and those below it; returns how many.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> left = (folder / "features.0a1b2c3d.part").write_text("half a")
    >>> sweep(folder), sweep(folder, older_than=-1)
    (0, 1)
    """
    found = 0
    for part in Path(folder).rglob(f"*{PART}"):
        with suppress(FileNotFoundError):  # its writer has just finished, or another sweeps too
            if time.time() - part.stat().st_mtime > older_than:
                part.unlink()
                found += 1
    return found
