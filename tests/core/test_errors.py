from __future__ import annotations

from pathlib import Path

import pytest

from plait.cli import main
from plait.core.errors import MOST, DataError, shortened


def test_problems_of_many_kinds_stay_as_they_are() -> None:
    problems = [f"a.csv:{i}: {word}." for i, word in enumerate(["no number", "no time", "no name"] * 5)]
    assert shortened(problems) == problems


def test_kinds_are_counted_each() -> None:
    missing = [f"m.jsonl:{i} 'x': r{i}.npy: no such file." for i in range(50)]
    wrong = [f"m.jsonl:{i} 'y': rate {i} must be above 0." for i in range(30)]
    lines = shortened([p for pair in zip(missing, wrong) for p in pair] + missing[30:])
    assert len(lines) == 22
    assert lines.count("... and 40 more of the same kind.") == 1
    assert lines.count("... and 20 more of the same kind.") == 1


def test_no_message_is_endless() -> None:
    kinds = [f"x: {chr(97 + i % 26) * (i // 26 + 1)}" for i in range(1000)]
    assert len(shortened(kinds)) == MOST + 1
    error = DataError(kinds)
    assert len(error.problems) == 1000
    assert str(error).splitlines()[-1] == "... and 800 more."


def test_the_command_line_counts_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifest = tmp_path / "m.jsonl"
    manifest.write_text('{"id": ""}\n' * 500)
    assert main(["check", str(manifest)]) == 1
    said = capsys.readouterr()
    assert "... and 490 more of the same kind." in said.out + said.err
    assert len((said.out + said.err).splitlines()) < 20
