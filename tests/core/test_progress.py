from __future__ import annotations

import io
import subprocess
import sys
import time
from pathlib import Path

import pytest

from plait.core import progress
from plait.core.progress import bar


def test_a_bar_leaves_nothing_behind_and_another_may_follow(capsys: pytest.CaptureFixture[str]) -> None:
    with bar("first") as first, bar("second") as second:
        assert first
        assert second
        for i in range(4):
            first(i, 3, "x")
        for i in range(3):
            second(i, 3)
    assert capsys.readouterr().out == ""


def test_an_error_within_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KeyboardInterrupt), bar("work"):
        raise KeyboardInterrupt


def test_without_a_terminal_there_are_lines_from_the_first_second_and_within_long_work(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert progress.FIRST <= 1
    monkeypatch.setattr(progress, "FIRST", 0.02)
    monkeypatch.setattr(progress, "EVERY", 0.02)
    with bar("prepare") as report:
        assert report
        time.sleep(0.2)
        assert capsys.readouterr().err.startswith("prepare (0 s)\n")
        report(1, 3, "long.mp4")
        time.sleep(0.2)  # one long file: nothing is reported
        assert capsys.readouterr().err.count("prepare 1/3 long.mp4 (0 s)\n") >= 2
        report(3, 3, "")
        time.sleep(0.05)
        capsys.readouterr()
        time.sleep(0.1)
        assert capsys.readouterr().err == ""


def test_what_is_done_at_once_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with bar("look"):
        pass
    assert capsys.readouterr().err == ""


def test_on_a_terminal_the_bar_is_there_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    shown = Terminal()
    monkeypatch.setattr(sys, "stderr", shown)
    monkeypatch.setenv("TERM", "xterm")
    with bar("look"):
        time.sleep(0.3)
        assert "look" in shown.getvalue()


@pytest.mark.slow
def test_fit_into_a_file_tells_how_far_it_is(tiny_recipe: Path, tmp_path: Path) -> None:
    words = [
        "fit",
        str(tiny_recipe),
        "train.epochs=3",
        "train.temperature_scaling=false",
        "--out",
        str(tmp_path / "run"),
    ]
    words += ["--cache", str(tmp_path / "cache")]
    done = subprocess.run([sys.executable, "-m", "plait", *words], capture_output=True, text=True, check=True)
    assert "seed0: epoch 3/3" in done.stderr
    assert "wrote" in done.stdout
