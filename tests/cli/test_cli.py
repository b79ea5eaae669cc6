from __future__ import annotations

import json
import subprocess
import sys
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from plait.cli import main


def run(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, Any]:
    """Exit code and the JSON that a command printed, which must be all that it printed."""
    code = main([*argv, "--json"])
    return code, json.loads(capsys.readouterr().out)


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """A folder of raw files by the naming convention: sound, a sensor, subtitles and labels."""
    folder = tmp_path / "raw"
    folder.mkdir()
    rng = np.random.default_rng(0)
    rows = ["recording,mood,speaker"]
    for i in range(12):
        with wave.open(str(folder / f"talk{i:02d}.wav"), "wb") as out:
            out.setparams((1, 2, 8000, 0, "NONE", ""))
            pitch = 200 if i % 2 else 800
            tone = np.sin(2 * np.pi * pitch * np.arange(8000) / 8000) + 0.1 * rng.normal(size=8000)
            out.writeframes((8000 * tone).astype("<i2").tobytes())
        table = "time,x,y\n" + "".join(f"{k / 50},{rng.normal()},{rng.normal() + i % 2}\n" for k in range(50))
        (folder / f"talk{i:02d}.imu.csv").write_text(table)
        if i % 3:
            (folder / f"talk{i:02d}.srt").write_text(f"1\n00:00:00,100 --> 00:00:00,600\nhello number {i}\n")
        rows.append(f"talk{i:02d},{'happy' if i % 2 else 'sad'},s{i // 2}")
    (folder / "labels.csv").write_text("\n".join(rows))
    return folder


@pytest.mark.slow
def test_from_raw_files_to_a_prediction(
    raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, report = run(capsys, "import", str(raw))
    assert code == 0
    assert report["recordings"] == 12
    code, report = run(capsys, "check", str(raw / "manifest.jsonl"))
    assert (code, report["problems"]) == (0, [])
    recipe = tmp_path / "mood.yaml"
    recipe.write_text("corpus: raw/manifest.jsonl\ntask: {name: classify, target: mood}\ntrain: {epochs: 6}\n")
    code, report = run(capsys, "check", str(recipe))
    assert code == 0
    code, report = run(capsys, "prepare", str(recipe))
    assert code == 0, report
    assert {m: c["computed"] for m, c in report["features"].items()} == {"audio": 12, "imu": 12, "words": 8}
    code, report = run(capsys, "fit", str(recipe), "model={dim: 16}")
    assert (code, list(report["replicates"])) == (0, ["seed0"])
    code, report = run(capsys, "evaluate", "runs/mood")
    assert code == 0
    assert len(report["subsets"]) == 7
    assert Path(report["report"]).stat().st_size > 10_000
    code, report = run(capsys, "predict", "runs/mood", str(raw / "talk03.imu.csv"))
    (row,) = report["predictions"]
    assert (row["recording"], row["used"], row["missing"]) == ("talk03", ["imu"], ["audio", "words"])
    assert sum(row["probabilities"].values()) == pytest.approx(1)
    code, report = run(capsys, "predict", "runs/mood", str(raw / "talk03.imu.csv"), str(raw / "talk03.wav"))
    assert set(report["predictions"][0]["used"]) == {"audio", "imu"}


def test_show_prints_every_default_and_is_itself_a_recipe(
    tiny_recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, full = run(capsys, "show", str(tiny_recipe), "train.epochs=7")
    assert code == 0
    assert full["train"]["epochs"] == 7
    assert {"smoothing", "unit"} <= set(full["task"])
    assert full["fusion"]["name"] == "concat"
    assert "recurrent" in full["fusion"]
    assert main(["show", str(tiny_recipe)]) == 0
    again = tmp_path / "again.yaml"
    again.write_text(capsys.readouterr().out)
    assert run(capsys, "show", str(again))[1]["fusion"] == full["fusion"]


def test_list_names_every_part(capsys: pytest.CaptureFixture[str]) -> None:
    code, found = run(capsys, "list")
    assert code == 0
    assert {"conv", "gru", "lstm", "linear"} <= set(found["encoders"])
    assert {"concat", "late", "shared"} <= set(found["fusions"])
    assert all(one["what"] for ones in found.values() for one in ones.values())


@pytest.mark.parametrize(
    ("path", "expected"), [("Gru", "no dotted path"), ("os.path.join", "not a concrete"), ("os.PathLike", "")]
)
def test_list_shows_a_class_by_its_dotted_path(path: str, expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, found = run(capsys, "list", "--class", "plait.encoders.recurrent.Gru")
    assert (code, list(found), list(found["encoders"])) == (0, ["encoders"], ["plait.encoders.recurrent.Gru"])
    assert found["encoders"]["plait.encoders.recurrent.Gru"] == run(capsys, "list", "encoders")[1]["encoders"]["gru"]
    code, found = run(capsys, "list", "--class", path)
    assert code == 2
    assert expected in found["problems"][0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("corpus: a.jsonl\ntask: classify\ntrain:\n  epocs: 3\n", "4 train.epocs: there is no such key. Did you mean"),
        ("corpus: a.jsonl\ntask: clasify\n", "Did you mean 'classify'"),
        ("corpus: a.jsonl\ntask: classify\nfusion: {name: shared, layer: 2}\n", "fusion.layer: shared has no such"),
        ("corpus: a.jsonl\ntask: {name: classify, taget: x}\n", "taget"),
        ("corpus: a.jsonl\ntask: classify\nmodel: {width: 3}\n", "model.width: there is no such option"),
        ("corpus: [\n", "is not YAML"),
        ("task: classify\n", "corpus: is missing"),
    ],
)
def test_a_wrong_recipe_is_refused_with_place_and_remedy(
    text: str, expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    code, found = run(capsys, "show", str(path))
    assert code == 2
    assert expected in "\n".join(found["problems"])


def test_check_finds_everything_in_one_go(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "back.csv").write_text("time,x\n0,1\n2,1\n1,1\n")
    (tmp_path / "inf.csv").write_text("time,x\n0,1\n1,inf\n")
    (tmp_path / "short.csv").write_text("time,x\n0,1\n1,2\n")
    (tmp_path / "cut.mp4").write_bytes(b"\0\0\0\x18ftypmp42" + b"\0" * 40)
    lines = [
        {"id": "a", "streams": {"x": {"path": "empty.csv"}}},
        {"id": "b", "streams": {"x": {"path": "back.csv"}}},
        {"id": "c", "streams": {"x": {"path": "inf.csv"}}},
        {"id": "d", "streams": {"x": {"path": "cut.mp4"}}},
        {"id": "e", "streams": {"x": {"path": "nowhere.csv"}}},
        {"id": "f", "streams": {"x": {"path": "../outside.csv"}}},
        {"id": "g", "streams": {"x": {"path": "short.csv"}}, "annotations": [{"start": 50, "stop": 60, "label": "y"}]},
        {"id": "h", "strems": {}},
    ]
    manifest = tmp_path / "m.jsonl"
    manifest.write_text("\n".join(map(json.dumps, lines)))
    code, found = run(capsys, "check", str(manifest))
    assert code == 1
    for number in range(1, 9):
        assert any(f"m.jsonl:{number}" in p for p in found["problems"]), (number, found["problems"])


def test_errors_are_one_paragraph_without_traceback(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "plait.cli", "check", str(tmp_path / "none.jsonl")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "no such manifest" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_interrupting_says_how_to_go_on(
    tiny_recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import plait.training.fit

    def interrupt(*args: Any, **kwargs: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(plait.training.fit, "train_replicate", interrupt)
    monkeypatch.chdir(tmp_path)
    code, found = run(capsys, "fit", str(tiny_recipe))
    assert code == 130
    assert "continues from there" in found["problems"][0]


@pytest.mark.slow
def test_check_answers_without_torch(tiny_corpus: Path) -> None:
    command = f"main(['check', {str(tiny_corpus)!r}])"
    code = f"import sys; from plait.cli import main; {command}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("False")


@pytest.mark.parametrize("given", ["0", "-1", "1.5", "1e3", "1" + 90 * "0", "٣", ""])
def test_jobs_are_a_number_of_processes(given: str, capsys: pytest.CaptureFixture[str]) -> None:
    for command in (["fit", "x.yaml"], ["sync", "x.jsonl"], ["segment", "x.jsonl"], ["demo"]):
        with pytest.raises(SystemExit) as ended:
            main([*command, f"--jobs={given}"])
        assert ended.value.code == 2
        assert "expected a whole number from 1" in capsys.readouterr().err
