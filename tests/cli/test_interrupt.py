"""A real process, a real signal: what is finished stays, and the same command ends in the same numbers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from plait.recipe import load_recipe
from plait.training.fit import fit
from plait.training.run import Run


def heeds_interrupts() -> None:
    """In a new process: a shell's background job ignores them, and so would all that it starts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


LONG = ["train.epochs=30", "train.wide=false"]


def start(recipe: Path, folder: Path, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "plait.cli", "fit", str(recipe), *LONG, *more, "--json"]
    command += ["--out", str(folder / "run"), "--cache", str(folder / "cache")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, text=True, env=environment, preexec_fn=heeds_interrupts, **pipes)


def wait_for_epochs(log: Path, count: int) -> None:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        if log.exists() and len(log.read_text().splitlines()) > count:
            return
        time.sleep(0.02)
    pytest.fail("the fit never got so far")


@pytest.mark.slow
def test_a_fit_cut_off_ends_in_the_same_numbers(tiny_recipe: Path, tmp_path: Path) -> None:
    whole = fit(load_recipe(tiny_recipe, LONG), tmp_path / "whole", cache=tmp_path / "cache", quiet=True)
    for how in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        _cut_off_and_resumed(how, tiny_recipe, tmp_path / how.name, whole)


def _cut_off_and_resumed(how: signal.Signals, recipe: Path, folder: Path, whole: Run) -> None:
    process = start(recipe, folder)
    wait_for_epochs(folder / "run/seed0/log.csv", 5)
    process.send_signal(how)
    _, said = process.communicate(timeout=60)
    assert Run(folder / "run").finished == []
    if how is not signal.SIGKILL:
        assert process.returncode == 128 + how
        assert "Traceback" not in said
        assert "continues from there" in said
    again = start(recipe, folder)
    _out, said = again.communicate(timeout=120)
    assert again.returncode == 0, said
    resumed = Run(folder / "run")
    replicate = whole.replicates[0]
    logs = [run.done(replicate).log for run in (resumed, whole)]
    assert all(len(log.pop("processor_seconds")) == 30 for log in logs)  # the machine's, not the training's
    assert logs[0] == logs[1]
    theirs, ours = resumed.model(replicate).state_dict(), whole.model(replicate).state_dict()
    assert all((theirs[k] == ours[k]).all() for k in ours)


def children(pid: int) -> list[int]:
    found = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(p) for p in found.read_text().split()] if found.exists() else []


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="reads the processes of /proc")
def test_a_terminated_fit_leaves_no_process_behind(tiny_recipe: Path, tmp_path: Path) -> None:
    process = start(tiny_recipe, tmp_path, "train.seeds=[0, 1]", "--jobs", "2")
    wait_for_epochs(tmp_path / "run/seed1/log.csv", 2)
    born = children(process.pid)
    assert len(born) >= 2
    process.terminate()
    _, said = process.communicate(timeout=60)
    assert process.returncode == 143
    assert "Traceback" not in said
    assert "finished work is kept" in said
    deadline = time.monotonic() + 20
    while any(Path(f"/proc/{pid}").exists() for pid in born) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not [pid for pid in born if Path(f"/proc/{pid}").exists()]
