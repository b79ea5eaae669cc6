from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import plait
from plait.cli import commands, main


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"plait {plait.__version__}\n"


def test_the_package_is_a_command() -> None:
    done = subprocess.run([sys.executable, "-m", "plait", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"plait {plait.__version__}\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_completion(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--print-completion", shell])
    assert ended.value.code == 0
    script = capsys.readouterr().out
    assert all(name in script for name in commands())


def test_the_completion_is_a_script_that_bash_takes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--print-completion", "bash"])
    (tmp_path / "plait.sh").write_text(capsys.readouterr().out)
    subprocess.run(["bash", "-n", str(tmp_path / "plait.sh")], check=True)


@pytest.mark.parametrize("name", commands())
def test_every_help_has_two_examples_that_parse(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SystemExit):
        main([name, "--help"])
    shown = capsys.readouterr().out
    examples = commands()[name].EXAMPLES
    assert len(examples) >= 2
    assert all(line in shown for line in examples)
    asked = []
    monkeypatch.setattr(commands()[name], "run", lambda args: asked.append(args) or 0)
    for line in examples:
        assert main(line.split()[1:]) == 0
    assert len(asked) == len(examples)


def test_overrides_may_stand_behind_options(tiny_recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", str(tiny_recipe), "--json", "train.epochs=7"]) == 0
    assert '"epochs": 7' in capsys.readouterr().out
    for words in (["show", str(tiny_recipe), "--json", "nonsense"], ["list", "--json", "train.epochs=7"]):
        with pytest.raises(SystemExit) as ended:
            main(words)
        assert ended.value.code == 2
