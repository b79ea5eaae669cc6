"""Files, and folders, that are whole or absent: written beside their place, then moved there.

A process that is killed while it writes leaves the old file as it was, and beside it a ``.part`` that nobody reads;
`sweep` takes those away. Any number of processes may write one file at once: the last to finish wins, whole.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

__all__ = ["open_file", "read_bytes", "read_text", "replacing", "sweep", "write_text"]

PART = ".part"

STALE_S = 3600.0
"""Seconds without a write after which a part is taken to belong to a process that is gone."""


LONGEST = 1 << 28
"""Bytes of a text that may be read at once."""


@contextmanager
def replacing(path: str | Path, *, durable: bool = False) -> Iterator[Path]:
    """Gives a name beside ``path`` to write to; at the end of the block that file takes the place of ``path``.

    If the block raises, ``path`` stays as it was and the new file is deleted. The folder must exist. A folder may be
    made instead of a file, where nothing stands at ``path``.

    Args:
        path: the file or folder.
        durable: whether the file must be on the disk when the block is left. Needed for files that mark other work as
            done, so that a power cut never leaves such a mark without the work.

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
    # Beside its target, since a rename is atomic within one file system only.
    part = target.with_name(f"{target.name}.{os.urandom(4).hex()}{PART}")  # `sweep` knows its parts by this
    try:
        yield part
        if durable:
            _flush(part)
        os.replace(part, target)
        # The rename is recorded in the folder: it is durable once the folder is.
        if durable:
            _flush(target.parent)
    finally:
        _remove(part)


def _remove(part: Path) -> None:
    if part.is_dir() and not part.is_symlink():
        shutil.rmtree(part)
    else:
        part.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    """Flush a file or folder to the disk; Windows cannot flush a folder."""
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
    """The text of a file in UTF-8.

    Raises:
        OSError: as `open_file`, or it has more than ``longest`` bytes.
        UnicodeDecodeError: it is not UTF-8.
    """
    with open_file(path) as file:
        # Measured by reading: files of /proc, for one, state a size of 0.
        found = file.read(longest + 1)
    if len(found) > longest:
        raise OSError(errno.EFBIG, f"has more than {longest:,} bytes", str(path))
    return found.decode("utf-8")


def read_bytes(path: str | Path) -> bytes:
    """All of a file.

    Raises:
        OSError: as `open_file`.
    """
    with open_file(path) as file:
        return file.read()


def open_file(path: str | Path) -> BinaryIO:
    """Open a file that has an end: not a pipe, which waits for whoever writes to it, nor a device such as /dev/zero.

    >>> open_file("/dev/zero")
    Traceback (most recent call last):
    OSError: [Errno 22] is no file: '/dev/zero'

    Raises:
        OSError: there is none, it cannot be read, or it is no file.
    """
    place = Path(path)
    if not stat.S_ISREG(place.stat().st_mode):
        code = errno.EISDIR if place.is_dir() else errno.EINVAL
        raise OSError(code, "is no file", str(path))
    return open(place, "rb")


def sweep(*folders: str | Path, older_than: float = STALE_S) -> int:
    """Delete the parts that killed processes left in folders, not in those below them; returns how many.

    The user may name any folder, also a home or the root of a disk. So subfolders are not searched, and only files
    named as `replacing` names its parts are deleted (a browser calls a download ``film.mp4.part``).

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> left = (folder / "features.0a1b2c3d.part").write_text("half a")
    >>> theirs = (folder / "film.mp4.part").write_text("half a")
    >>> sweep(folder), sweep(folder, older_than=-1)
    (0, 1)
    """
    found, ours = 0, f"*.{8 * '[0-9a-f]'}{PART}"
    for part in [part for folder in folders for part in Path(folder).glob(ours)]:
        with suppress(FileNotFoundError):  # its writer has just finished, or another sweeps too
            if time.time() - part.stat().st_mtime > older_than:
                _remove(part)
                found += 1
    return found
