from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from plait.cli import main
from plait.core.errors import ConfigError, DataError
from plait.corpus.corpus import Corpus, CorpusWriter
from plait.examples.items import find_items
from plait.prediction.predict import Prediction, Predictor, predict
from plait.recipe import load_recipe
from plait.streams.recording import Annotation
from plait.streams.stream import Stream
from plait.training.fit import fit
from plait.training.run import Run

UNIT = {"unit": "segment", "tier": "words", "match": "[a-z]", "pad": 0.5}


@pytest.fixture(scope="module")
def segments_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run that looks at some of the annotated segments of ten seconds, with context, as in the issue's example."""
    folder = tmp_path_factory.mktemp("segments")
    rng = np.random.default_rng(0)
    with CorpusWriter(folder) as out:
        for i in range(6):
            imu = Stream.of(rng.normal(0, 1, (100, 2)), rate=10)
            notes = [Annotation(0, 1, "ab"[i % 2]), Annotation(2.5, 4, "silence"), Annotation(9, 10, "ba"[i % 2])]
            notes = [Annotation(a.start, a.stop, a.label, "words") for a in notes]
            out.add(f"r{i}", {"imu": imu}, annotations=notes, group=f"g{i}")
    recipe = folder / "r.yaml"
    recipe.write_text(
        f"corpus: {folder}/manifest.jsonl\n"
        "task: {name: classify, unit: segment, tier: words, match: '[a-z]', pad: 0.5}\n"
        "split: {hash: group, test: 0.2}\nmodel: {dim: 8}\ntrain: {epochs: 1}\n"
    )
    return fit(load_recipe(recipe), folder / "run", cache=folder / "cache", quiet=True)


def places(rows: list[Prediction]) -> list[tuple[str, float, float]]:
    return [(r.recording, r.start, r.stop) for r in rows]


def test_prediction_looks_at_the_examples_that_training_saw(segments_run: Run, tmp_path: Path) -> None:
    manifest = Path(segments_run.info.corpus)
    rows = predict(segments_run, [manifest], cache=tmp_path)
    trained = find_items(Corpus(manifest), UNIT).items
    assert places(rows) == [(i.recording, i.start, i.stop) for i in trained]
    assert places(rows)[:2] == [("r0", 0.0, 1.5), ("r0", 8.5, 10.0)]


def test_one_that_is_loaded_answers_many_times_as_one_that_is_not(segments_run: Run, tmp_path: Path) -> None:
    predictor, manifest = Predictor(segments_run, cache=tmp_path), Path(segments_run.info.corpus)
    once = predict(segments_run, [manifest], cache=tmp_path)
    assert predictor([manifest]) == predictor([manifest]) == once


def test_a_prediction_turned_into_annotations_says_the_same(segments_run: Run, tmp_path: Path) -> None:
    rows = predict(segments_run, [segments_run.info.corpus], cache=tmp_path)
    said = [note for row in rows for note in row.annotations(tier="words")]
    assert [(a.start, a.stop, a.label) for a in said] == [(r.start, r.stop, r.answer.label) for r in rows]
    assert {(a.tier, a.annotator) for a in said} == {("words", "plait")}
    nothing = replace(rows[0], answer=None, used=(), note="no answer: nothing")
    assert nothing.annotations(tier="words") == []
    assert "label" not in nothing.to_json()
    assert str(nothing) == "r0 0.00-1.50 s: no answer: nothing"


def test_too_few_held_out_items_promise_nothing(segments_run: Run, tmp_path: Path, capsys, monkeypatch) -> None:
    """Six recordings, of which a model without one of them was calibrated."""
    row = predict(segments_run, [segments_run.info.corpus], cache=tmp_path)[0]
    assert row.within is not None
    assert (row.within.level, row.within.classes, row.within.indirect) == (0.9, ("a", "b"), True)
    assert "[90 %: any class]" in str(row)
    assert row.to_json()["within"]["set"] == ["a", "b"]  # type: ignore[index]
    argv = ["predict", str(segments_run.folder), segments_run.info.corpus, "--cache", str(tmp_path)]
    assert main(argv) == 0
    assert "note: nothing is left out: 4 items calibrate it, and 90 % needs 9" in capsys.readouterr().out
    assert main([*argv, "--level", "0.5"]) == 0
    assert "[50 %: {" in capsys.readouterr().out
    assert main([*argv, "--level", "1.5"]) == 2
    assert "level 1.5: expected a whole percentage" in capsys.readouterr().err
    monkeypatch.setattr(Predictor, "within", lambda _, one: one)
    assert main(argv) == 0
    assert "--level" not in capsys.readouterr().out
    assert main([*argv, "--level", "0.5"]) == 0
    assert "note: --level: no answer has a set or an interval" in capsys.readouterr().out


def test_thresholds_of_the_validation_part_are_kept(
    tiny_recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = load_recipe(tiny_recipe, ["split={hash: group, test: 0.25, valid: 0.4}"])
    run = fit(recipe, tmp_path / "run", cache=tmp_path / "cache", quiet=True, quick=True)
    predictor = Predictor(run, cache=tmp_path / "cache", level=0.8)
    rows = predictor([recipe.corpus])
    assert {row.used for row in rows} == {("left",), ("right",), ("left", "right")}
    promises = {row.used: row.within.promise() for row in rows if row.within}
    assert "80 % of further items of the same" in promises["left", "right"]
    assert "of new groups nothing is promised" in promises["left", "right"]
    old = tmp_path / "run/seed0/model.json"
    saved = json.loads(old.read_text())
    assert {tuple(one["modalities"]) for one in saved.pop("conformal")} == set(promises)
    old.write_text(json.dumps(saved))  # as of an older version
    assert [row.within for row in Predictor(run, cache=tmp_path / "cache")([recipe.corpus])] == [None] * len(rows)


def test_a_segment_outside_the_recording_is_an_error(segments_run: Run, tmp_path: Path) -> None:
    manifest = Path(segments_run.info.corpus)
    with pytest.raises(DataError, match=r"segment 15 to 19 s.*measured from 0 to 10 s"):
        predict(segments_run, [manifest], cache=tmp_path, segments=[(15, 19)])
    with pytest.raises(DataError, match="segment 0 to inf s"):
        predict(segments_run, [manifest], cache=tmp_path, segments=[(0, float("inf"))])
    with pytest.raises(DataError, match="segment 3 to 3 s"):
        predict(segments_run, [manifest], cache=tmp_path, segments=[(1, 2), (3, 3)])
    assert places(predict(segments_run, [manifest], cache=tmp_path, segments=[(9, 12)]))[0] == ("r0", 8.5, 12)


def test_where_the_unit_finds_nothing_the_whole_is_asked_and_told(
    segments_run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with CorpusWriter(tmp_path / "new") as out:
        out.add("bare", {"imu": Stream.of(np.zeros((30, 2)), rate=10)})
        out.add("other", {"pose": Stream.of(np.zeros((30, 2)), rate=10)})
    manifest = str(tmp_path / "new/manifest.jsonl")
    assert main(["predict", str(segments_run.folder), manifest, "--cache", str(tmp_path / "cache")]) == 0
    first, second, note = capsys.readouterr().out.splitlines()
    assert note.startswith("note: ")
    assert "90 %" in note
    assert "nothing on tier 'words': asked about as a whole" in first
    assert second == "other 0.00-3.00 s: no answer: none of the model's modalities is there"


def bare(path: Path, seconds: float = 10, rate: int = 10) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, np.random.default_rng(1).normal(0, 1, (round(seconds * rate), 2)))
    return path


def test_a_bare_array_has_the_rate_of_the_runs_corpus(segments_run: Run, tmp_path: Path) -> None:
    (row,) = predict(segments_run, [bare(tmp_path / "new.imu.npy")], cache=tmp_path / "cache", segments=[(9, 10)])
    assert (row.start, row.stop, row.used) == (8.5, 10.0, ("imu",))
    with pytest.raises(DataError, match="measured from 0 to 2 s"):
        predict(segments_run, [tmp_path / "new.imu.npy"], cache=tmp_path, segments=[(9, 10)], rates={"imu": 50})
    with pytest.raises(ConfigError, match=r"rate of 'imo'.*'imu'"):
        predict(segments_run, [tmp_path / "new.imu.npy"], cache=tmp_path, rates={"imo": 50})


def test_a_rate_that_nobody_knows_is_asked_for(segments_run: Run, tmp_path: Path, capsys, monkeypatch) -> None:
    run = Run(segments_run.folder)
    monkeypatch.setattr(run.info, "rates", {"imu": None})  # of a corpus of several rates, or of times of its own
    path = bare(tmp_path / "new.imu.npy")
    with pytest.raises(DataError, match=r"nothing says how many.*--rate imu=HZ.*new\.imu\.times\.npy"):
        predict(run, [path], cache=tmp_path / "cache")
    assert predict(run, [path], cache=tmp_path / "cache", rates={"imu": "20"}, segments=[(1, 2)])[0].used == ("imu",)
    np.save(tmp_path / "new.imu.times.npy", np.arange(100) / 10)
    assert predict(run, [path], cache=tmp_path / "cache", segments=[(1, 2)])[0].used == ("imu",)
    assert main(["predict", str(run.folder), str(path), "--rate", "imu=fast"]) == 2
    assert "Expected STREAM=HZ" in capsys.readouterr().err


def test_what_a_folder_held_besides_is_counted_and_named(segments_run: Run, tmp_path: Path, capsys) -> None:
    bare(tmp_path / "new/a.imu.npy")
    (tmp_path / "new/a.txt").write_text("")
    (tmp_path / "new/b.xlsx").write_bytes(b"PK")
    (tmp_path / "new/b.csv").write_text("time,x\n0,1\n1,2\n")
    asked = ["predict", str(segments_run.folder), str(tmp_path / "new"), "--cache", str(tmp_path / "cache")]
    assert main(asked) == 0
    out = capsys.readouterr().out
    assert "left out: 2 files" in out
    assert "a.txt: is empty (0 bytes)" in out
    assert "b.xlsx: is a spreadsheet" in out
    assert "stream 'series', of 1 recordings, is not a stream of the model: not used." in out
    assert main([*asked, "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["left_out"]) == 2


@pytest.mark.slow
def test_a_replicates_folder_answers_alone(
    tiny_recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = fit(load_recipe(tiny_recipe, ["train.epochs=1"]), tmp_path / "run", cache=tmp_path / "cache", quiet=True)
    corpus = run.info.corpus
    expected = [p.to_json() for p in predict(run, [corpus], cache=tmp_path / "cache")]
    alone = tmp_path / "elsewhere"
    shutil.copytree(run.folder / "seed0", alone)
    shutil.rmtree(run.folder)
    for path in alone.rglob("*"):
        assert not path.is_file() or str(tmp_path).encode() not in path.read_bytes() or "log" in path.name, path
    assert [p.to_json() for p in predict(alone, [corpus], cache=tmp_path / "other")] == expected
    assert main(["predict", str(alone), corpus, "--cache", str(tmp_path / "other"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["predictions"] == expected
    with pytest.raises(ConfigError, match="is one replicate of a run"):
        Predictor(alone, cache=tmp_path / "other", replicate="seed1")
    (alone / "preparation.json").write_text("{}")
    with pytest.raises(DataError, match=r"damaged or of another version \(task: Field required"):
        Predictor(alone, cache=tmp_path / "other")
    with pytest.raises(DataError, match="Give the folder of a run"):
        Predictor(tmp_path, cache=tmp_path / "other")
