"""The lock of a run's folder: one process, gone with its owner, and nobody else's file."""

from __future__ import annotations

import errno
import fcntl
from pathlib import Path

import pytest

from plait.core.errors import ConfigError
from plait.training.lock import LOCK, locked


def test_a_lock_leaves_no_trace(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="refused"), locked(tmp_path / "new"):
        raise RuntimeError("refused")
    assert not (tmp_path / "new").exists()
    mine = tmp_path / "mine"
    mine.mkdir()
    for _ in range(2):
        with locked(mine):
            assert (mine / LOCK).exists()
    assert not list(mine.iterdir())


def test_a_file_of_the_lock_s_name_stays_as_it_was(tmp_path: Path) -> None:
    (tmp_path / LOCK).write_text("somebody's")
    with pytest.raises(ConfigError, match="is not a lock of plait"), locked(tmp_path):
        pass
    assert (tmp_path / LOCK).read_text() == "somebody's"


def test_a_lock_that_was_left_is_taken_over(tmp_path: Path) -> None:
    (tmp_path / LOCK).write_bytes(b"plait\n")  # its owner was killed
    with locked(tmp_path), pytest.raises(ConfigError, match="another process"), locked(tmp_path):
        pass


def test_who_waited_on_a_lock_that_is_gone_asks_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flock, calls = fcntl.flock, []

    def gone_meanwhile(lock: object, how: int) -> None:
        calls.append(how)
        if len(calls) == 1:
            (tmp_path / LOCK).unlink()  # its owner ended between our opening and our locking
        flock(lock, how)  # type: ignore[arg-type]

    monkeypatch.setattr(fcntl, "flock", gone_meanwhile)
    with locked(tmp_path):
        assert len(calls) == 2
        with pytest.raises(ConfigError, match="another process"), locked(tmp_path):
            pass


def test_a_disk_without_locks_is_not_another_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def without(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", without)
    with locked(tmp_path / "run"):
        pass
