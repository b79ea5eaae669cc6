"""What the system refuses is told with its file and a remedy, never by a traceback."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from plait.cli import main


@pytest.mark.parametrize(
    ("code", "told"),
    [
        (errno.ENOSPC, "disk is full: make room; finished work is kept"),
        (errno.EROFS, "read-only"),
        (errno.EACCES, "have no permission"),
        (errno.ENAMETOOLONG, "shorter one"),
        (errno.ELOOP, "circle"),
        (errno.EIO, "Finished work is kept. The same command"),
    ],
)
def test_each_cause_has_a_remedy(
    code: int, told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tiny_recipe: Path
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code), "some/file")

    monkeypatch.setattr("plait.cli.show.run", refuse)
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

    monkeypatch.setattr("plait.cli.show.run", refuse)
    assert main(["show", str(tiny_recipe)]) == 1
    assert "memory" in capsys.readouterr().err or error is RecursionError
