"""What the system refuses is told with its file and a remedy, never by a traceback."""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.io.wavfile

from plait.cli import main


def limited() -> None:
    """Files of more than 4 kB cannot be written: a fault of the kernel, as a full disk is."""
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


@pytest.fixture(scope="module")
def material(tiny_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of sound, its manifest, a recipe and a finished run."""
    folder = tmp_path_factory.mktemp("full")
    (folder / "raw").mkdir()
    noise = np.random.default_rng(0).normal(0, 3000, 16000).astype(np.int16)
    for name in ("one", "two"):
        for stream in ("near", "far"):
            scipy.io.wavfile.write(folder / f"raw/{name}.{stream}.wav", 8000, noise)
    assert main(["import", str(folder / "raw"), "--out", str(folder / "raw/manifest.jsonl")]) == 0
    (folder / "r.yaml").write_text(
        f"corpus: {tiny_corpus}\ntask: {{name: classify, target: kind}}\nmodel: {{dim: 8}}\n"
        "train: {epochs: 1, wide: false, balance: false}\n"
    )
    assert main(["fit", str(folder / "r.yaml"), "--out", str(folder / "run"), "--cache", str(folder / "cache")]) == 0
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        "import raw --out {new}/m.jsonl",
        "sync raw/manifest.jsonl --out {new}/m.jsonl",
        "align raw/manifest.jsonl --grid 10 --out {new}",
        "segment raw/manifest.jsonl --speech near --out {new}/m.jsonl",
        "export raw/manifest.jsonl --to webdataset --out {new}",
        "export raw/manifest.jsonl --to elan --out {new}",
        "evaluate run --out {new}",
        "predict run raw/one.near.wav --cache {new}",
        "compare r.yaml --out {new} --cache {new}/cache",
        "demo --out {new}",
    ],
    ids=lambda words: words.partition(" ")[0],
)
def test_a_disk_that_takes_nothing(words: str, material: Path, tmp_path: Path) -> None:
    """No command that writes ends in a traceback, or leaves a whole-looking file, where nothing can be written."""
    (tmp_path / "new").mkdir()
    asked = [sys.executable, "-m", "plait.cli", *words.format(new=tmp_path / "new").split()]
    done = subprocess.run(
        asked, capture_output=True, text=True, preexec_fn=nothing, timeout=120, check=False, cwd=material
    )
    assert "Traceback" not in done.stderr
    whole = [p for p in (tmp_path / "new").rglob("*") if p.is_file() and p.stat().st_size and p.suffix != ".part"]
    assert done.returncode in (1, 2) or not whole
    if done.returncode == 1:
        assert "Error: " in done.stderr


def nothing() -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (16, 16))


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
