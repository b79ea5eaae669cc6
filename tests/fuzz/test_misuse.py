"""Commands in a process of their own: on a disk that takes no more, and on runs whose files are no files."""

from __future__ import annotations

import importlib.util
import os
import resource
import shutil
import signal
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

import pytest

from plait.cli import main

CACHE = ("--cache", "cache")
ALIGN = ("align", "corpus/manifest.jsonl", "--grid", "10", "--out", "new", "--streams", "imu", *CACHE)
EXPORT = (
    "export",
    "corpus/manifest.jsonl",
    "--out",
    "new",
    "--feature",
    "mic={name: log_mel, rate: 2000, mels: 8}",
    *CACHE,
)

WRITING: dict[str, tuple[str, ...]] = {
    "import": ("import", "raw", "--out", "raw/m.jsonl", "--options", "options.yaml"),
    "sync": ("sync", "corpus/manifest.jsonl", "--out", "corpus/s.jsonl", "--reference", "imu", "--plot", "plots"),
    "segment": ("segment", "corpus/manifest.jsonl", "--speech", "mic", "--out", "corpus/g.jsonl", "--least", "0.3"),
    "align-parquet": ALIGN,
    "align-npz": (*ALIGN, "--to", "npz"),
    "export-webdataset": (*EXPORT, "--to", "webdataset"),
    "export-textgrid": ("export", "corpus/manifest.jsonl", "--to", "textgrid", "--out", "new", *CACHE),
    "prepare": ("prepare", "parts.yaml", "--out", "new", "--cache", "fresh"),
    "fit": ("fit", "windows.yaml", "--out", "new", *CACHE),
    "fit-quick": ("fit", "plain.yaml", "--quick", "--out", "new", *CACHE),
    "fit-raw": ("fit", "raw.yaml", "--out", "new", *CACHE),
    "evaluate": ("evaluate", "run", *CACHE),
    "evaluate-out": ("evaluate", "run", *CACHE, "--out", "elsewhere"),
    "predict": ("predict", "run", "corpus/manifest.jsonl", "--cache", "fresh"),
    "compare": ("compare", "plain.yaml", "--out", "new", *CACHE, "--only", "late", "concat", "--tune", "2"),
    "demo": ("demo", "--out", "demo", "--raw", "--recordings", "4"),
    "view": ("view", "corpus/manifest.jsonl", "--save", "r.rrd"),
}


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Where commands work, and what stands there before."""
    base = tmp_path_factory.mktemp("full")
    spec = importlib.util.spec_from_file_location("misuse", Path(__file__).with_name("misuse_material.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    (base / "work").mkdir()
    module.make_material(base / "work")
    shutil.copytree(base / "work", base / "before")
    return base / "work", base / "before"


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(WRITING))
def test_a_disk_that_takes_no_more(name: str, material: tuple[Path, Path]) -> None:
    """It is said, harms nothing that stood there, leaves nothing half written, and the same command goes on later."""
    work, before = material
    for most in (0, 4096):
        shutil.rmtree(work)
        shutil.copytree(before, work)
        code, said = run_limited(WRITING[name], work, most)
        assert "Traceback" not in said, said
        assert not [p for p in work.rglob("*") if p.name.endswith(".part")]
        if code:
            assert code == 1, said
            assert "SystemError: " in said or "DataError: " in said, said
        assert code or most, "nothing could be written, and yet it was done"
        if not most:
            assert contents(before).items() <= contents(work).items(), "what stood there before is harmed"
        if code:
            code, said = run_limited(WRITING[name], work, resource.RLIM_INFINITY)
        assert code == 0, f"once there is room: {said}"


@pytest.mark.slow
@pytest.mark.parametrize("what", ["pipe", "device", "folder", "loop"])
@pytest.mark.parametrize(
    "file",
    [
        *("run.json", "recipe.yaml", "examples.parquet", "seed0/done.json", "seed0/model.json"),
        *("seed0/model.safetensors", "seed0/checkpoints/last.ckpt"),
    ],
)
def test_what_is_no_file(file: str, what: str, material: tuple[Path, Path]) -> None:
    """A pipe waits for whoever writes to it, a device has no end: neither is read."""
    work, before = material
    for words in ("evaluate run", "predict run corpus/manifest.jsonl", "fit plain.yaml --out run"):
        shutil.rmtree(work)
        shutil.copytree(before, work)
        path = work / "run" / file
        path.unlink()
        put(path, what)
        code, said = run_limited([*words.split(), *CACHE], work, resource.RLIM_INFINITY)
        assert code in (0, 1, 2), f"{words}: {code}: {said}"
        assert "Traceback" not in said, said
        assert "not enough memory" not in said, said
        assert not code or "Error: " in said, said


def put(path: Path, what: str) -> None:
    if what == "pipe":
        os.mkfifo(path)
    elif what == "folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero" if what == "device" else path)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def run_limited(argv: Sequence[str], folder: Path, most: int) -> tuple[int, str]:
    """Exit code and words of a command whose files take ``most`` bytes each: the kernel's fault, as a full disk is."""
    read, write = os.pipe()
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        os.close(read)
        _child(argv, folder, most, write)
    os.close(write)
    with open(read, encoding="utf-8", errors="replace") as pipe:
        said = pipe.read()
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), said


def _child(argv: Sequence[str], folder: Path, most: int, out: int) -> None:
    code = 70
    try:
        sys.stdout = sys.stderr = open(out, "w", encoding="utf-8", buffering=1)  # noqa: SIM115
        os.chdir(folder)
        signal.alarm(60)  # ends a process that waits for what never comes
        resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
        code = main(list(argv))
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)
