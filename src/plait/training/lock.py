"""One process at a time writes a run; one that dies gives the lock back."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from plait.core.errors import ConfigError

__all__ = ["LOCK", "locked"]

LOCK = ".plait-lock"

TAKEN = b"plait\n"
"""What a lock of ours holds: a file of that name that says anything else is somebody's, and stays."""


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Nobody else writes the run in this block; folder and lock go again if they were made here and nothing came of it.

    Where the system has no such locks (some network disks) two fits of one folder are the user's to avoid.

    Raises:
        ConfigError: another process is writing it, or a file of the lock's name is not plait's.
        OSError: the folder cannot be written.

    >>> import tempfile
    >>> with locked(Path(tempfile.mkdtemp()) / "run"):
    ...     pass
    """
    made = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    with _taken(folder) as lock:
        try:
            yield
        finally:
            # while it is still held: whoever opened it meanwhile sees that it is gone, and asks again
            with suppress(OSError):
                if os.path.samestat(os.fstat(lock.fileno()), os.stat(folder / LOCK)):
                    (folder / LOCK).unlink()
            if made:
                with suppress(OSError):  # not empty: something came of it
                    folder.rmdir()


def _taken(folder: Path) -> IO[bytes]:
    """The lock's file, open and locked."""
    path = folder / LOCK
    while True:
        lock = open(path, "a+b")  # noqa: SIM115  # held until the caller closes it
        try:
            _lock(lock, folder)
            lock.seek(0)
            held = lock.read(len(TAKEN) + 1)
            if held not in (b"", TAKEN):
                raise ConfigError(f"{path}: is not a lock of plait; expected no file of that name. Move it away.")
            if path.exists() and os.path.samestat(os.fstat(lock.fileno()), os.stat(path)):
                if not held:
                    lock.write(TAKEN)
                    lock.flush()
                return lock
        except BaseException:
            lock.close()
            raise
        lock.close()  # its owner has just taken it away: make another


def _lock(lock: IO[bytes], folder: Path) -> None:
    try:
        import fcntl

        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise ConfigError(
            f"{folder}: another process is training this run. Wait for it, or choose another --out."
        ) from error
    except (ImportError, OSError):
        return  # not on this system, or not on this disk
