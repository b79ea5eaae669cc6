"""A lock, so that one process at a time writes a run; the system frees it when the process dies."""

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
"""Content of our lock files; a file of that name with other content is not ours and stays."""


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other processes from writing the run in this block. A folder that was made here and stays empty is deleted.

    Some network disks have no such locks; there the user must not run two fits of one folder.

    Raises:
        ConfigError: another process is writing the run, or a file with the lock's name is not plait's.
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
            # Deleted while it is held: a process that opened it meanwhile sees that it is gone and tries again.
            with suppress(OSError):
                if os.path.samestat(os.fstat(lock.fileno()), os.stat(folder / LOCK)):
                    (folder / LOCK).unlink()
            if made:
                with suppress(OSError):  # not empty: something was written
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
            # The file may have been deleted between open and lock: then we hold a lock that nobody else sees.
            if path.exists() and os.path.samestat(os.fstat(lock.fileno()), os.stat(path)):
                if not held:
                    lock.write(TAKEN)
                    lock.flush()
                return lock
        except BaseException:
            lock.close()
            raise
        lock.close()  # its owner has just deleted it: make a new one


def _lock(lock: IO[bytes], folder: Path) -> None:
    try:
        import fcntl

        # flock, not a file's mere existence: it ends with its process, so no stale lock stays after a crash.
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise ConfigError(
            f"{folder}: another process is training this run. Wait for it, or choose another --out."
        ) from error
    except (ImportError, OSError):
        return  # no flock on this system, or on this disk
