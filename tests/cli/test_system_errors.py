"""What the system refuses is told with its file and a remedy, never by a traceback."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from plait.cli import main


def limited() -> None:
    """Files of more than 4 kB cannot be written: a fault of the kernel, as a full disk is."""
    import signal

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))


@pytest.mark.slow
@pytest.mark.parametrize("command", ["fit", "prepare"])
def test_a_disk_that_takes_no_more(command: str, tiny_recipe: Path, tmp_path: Path) -> None:
    words = [sys.executable, "-m", "plait.cli", command, str(tiny_recipe), "--out", str(tmp_path / "run")]
    words += ["--cache", str(tmp_path / "cache")]
    done = subprocess.run(words, capture_output=True, text=True, preexec_fn=limited, timeout=120, check=False)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "SystemError: " in done.stderr or "DataError: " in done.stderr
    assert not list((tmp_path / "run").rglob("done.json"))


@pytest.mark.parametrize(
    ("code", "told"),
    [
        (errno.ENOSPC, "disk is full: make room; what is finished is kept"),
        (errno.EROFS, "can only be read"),
        (errno.EACCES, "may not be used by you"),
        (errno.ENAMETOOLONG, "shorter one"),
        (errno.ELOOP, "circle"),
        (errno.EIO, "What is finished is kept. The same command"),
    ],
)
def test_each_cause_has_a_remedy(
    code: int, told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tiny_recipe: Path
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code), "some/file")

    monkeypatch.setattr("plait.training.full.full_recipe", refuse)
    assert main(["show", str(tiny_recipe)]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"SystemError: some/file: {os.strerror(code)}.")
    assert told in said


@pytest.mark.parametrize("error", [MemoryError, RecursionError])
def test_memory_and_depth(
    error: type[Exception], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tiny_recipe: Path
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("plait.training.full.full_recipe", refuse)
    assert main(["show", str(tiny_recipe)]) == 1
    assert "memory" in capsys.readouterr().err or error is RecursionError
