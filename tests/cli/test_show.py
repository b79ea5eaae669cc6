from __future__ import annotations

import json
from pathlib import Path

import pytest

from plait.cli import main


def shown(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(["show", *words]) == 0
    return capsys.readouterr().out


def test_a_recipe_shows_what_it_comes_to_on_its_corpus(
    tiny_recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = shown(capsys, str(tiny_recipe))
    assert "# left: of the stream left" in out
    assert "; 10 rows per second, 3 columns" in " ".join(out.replace("#", "").split())
    assert "# heads: left, right, all together" in out
    assert all(len(line) <= 80 for line in out.splitlines() if line.startswith("#"))
    found = json.loads(shown(capsys, str(tiny_recipe), "--json"))["resolved"]["modalities"]
    assert {m: (own["rate"], own["dim"]) for m, own in found.items()} == {"left": (10, 3), "right": (20, 2)}
    assert all("name" in spec and len(spec) > 1 for own in found.values() for spec in own["encoder"])


@pytest.mark.slow
def test_a_run_shows_what_it_was_built_of(
    tiny_recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    asked = json.loads(shown(capsys, str(tiny_recipe), "--json"))["resolved"]["modalities"]
    assert main(["fit", str(tiny_recipe), "train.epochs=1", "--out", str(folder), "--cache", str(tmp_path / "c")]) == 0
    capsys.readouterr()
    assert "# left: of the stream left" in shown(capsys, str(folder))
    built = json.loads(shown(capsys, str(folder), "--json"))["resolved"]["modalities"]
    assert {m: own["dim"] for m, own in built.items()} == {"left": 3, "right": 2}
    wides = [json.loads(shown(capsys, str(place), "--json"))["resolved"]["wide"] for place in (tiny_recipe, folder)]
    assert wides[0].keys() == wides[1].keys() == {"left", "right"}
    assert [w["left"][0]["name"] for w in wides] == ["mini_rocket"] * 2
    assert "# beside them, wide: left by mini_rocket(" in shown(capsys, str(tiny_recipe))
    assert "# beside them, wide: nothing" in shown(capsys, str(tiny_recipe), "train.wide=false")
    names = [{m: [s["name"] for s in own["encoder"]] for m, own in found.items()} for found in (asked, built)]
    assert names[0] == names[1]


def test_without_its_corpus_a_recipe_is_shown_all_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(f"corpus: {tmp_path}/nowhere.jsonl\ntask: {{name: classify, target: x}}\n")
    out = shown(capsys, str(path))
    assert "epochs:" in out
    assert "# streams, features and encoders are not known:" in out
