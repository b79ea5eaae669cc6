"""Answers with their evidence, drawn over the recording."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import cv2
import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from plait.cli import main
from plait.core.errors import ConfigError
from plait.evaluation.explanation.neighbours import Near, TrainingItems
from plait.evaluation.explanation.schema import ExplainedFiles
from plait.evaluation.explanation.turning import Span
from plait.prediction.predict import Predictor
from plait.recipe import load_recipe
from plait.report.evidence import MOST_DRAWN, EvidencePage, draw_evidence
from plait.report.explained import Explained, explain_files
from plait.streams.stream import Stream
from plait.training.fit import fit

ROOT = Path(__file__).parents[2]
RNG = np.random.default_rng(0)
STREAMS = {
    "film": Stream.of(RNG.integers(0, 255, (20, 12, 16, 3)).astype(np.uint8), rate=5, kind="frames"),
    "sound": Stream.of(RNG.normal(size=(32000, 1)).astype(np.float32), rate=8000, kind="waveform"),
    "said": Stream.of(np.array(["well", "then", "no"], object), spans=([0, 1, 2.5], [0.5, 2, 3]), kind="words"),
    "imu": Stream.of(RNG.normal(size=(100, 9)), rate=25),
}


def one(**more):
    values = {m: np.sin(np.arange(30) + k) for k, m in enumerate(STREAMS)}
    told = {"recording": "r", "start": 0.0, "stop": 4.0, "answer": "yes", "method": "occlusion", "evidence": values}
    return Explained(**{**told, "turning": Span(1.0, 1.5, 0), "instead": "no", **more})


def test_every_kind_of_stream_is_drawn(tmp_path: Path) -> None:
    draw_evidence(one(), STREAMS, tmp_path / "all.png")
    picture = cv2.imread(str(tmp_path / "all.png"))
    assert picture.shape[0] > 600
    assert picture.std() > 10
    shares = {m: np.linspace(0, 1, 30) / 60 for m in STREAMS}
    draw_evidence(one(attention=shares), STREAMS, tmp_path / "attention.png")
    assert cv2.imread(str(tmp_path / "attention.png")).shape[0] > picture.shape[0]
    draw_evidence(one(turning=None, instead=""), {"imu": STREAMS["imu"]}, tmp_path / "one.png")
    assert cv2.imread(str(tmp_path / "one.png")).shape[0] < picture.shape[0]


def test_the_page_has_each_answer_in_words_and_few_drawn() -> None:
    page = EvidencePage("<b>mood</b>")
    for k in range(MOST_DRAWN + 3):
        page.add(one(recording=f"<i>{k}", answer="<script>"), {"imu": STREAMS["imu"]})
    html = page.render()
    assert "<script" not in html
    assert "<b>mood" not in html
    assert f"{MOST_DRAWN + 3} answers for {MOST_DRAWN + 3} recordings." in html
    assert html.count("<figure") == MOST_DRAWN
    assert all(f"&lt;i&gt;{k} 0.00-4.00 s: &lt;script&gt;" in html for k in range(MOST_DRAWN + 3))
    assert "<title>imu, 0.00–0.13 s: +0.141</title>" in html


def test_the_nearest_training_items_stand_below_each_item_once() -> None:
    near = Near(("<b>t1", "t2"), ("yes", "no"), (0.5, 1.0), 0.4, 1.25)
    page = EvidencePage("mood")
    for claim in ("well", "then"):
        page.add(one(claim=claim, near=near), {"imu": STREAMS["imu"]})
    page.add(one(recording="s", near=near._replace(far=0.25)), {"imu": STREAMS["imu"]})
    html = page.render()
    sections = html.split("<section>")[2:]
    assert [s.count("&lt;b&gt;t1") for s in sections] == [0, 1, 1], "once for two claims of one item"
    assert "typically 0.40 away" in sections[1]
    assert '<td class="num soft">1.2</td>' in sections[1]
    assert '<td class="num soft">2.5</td>' in sections[1]
    # The axis ends a little behind the farther of 1.25 and the distances.
    assert 'class="dot" style="left:38.46%"' in sections[1]
    assert 'class="base" style="left:30.77%"' in sections[1]
    assert "No training item is near" in sections[2]
    assert "No training item" not in sections[1]
    unknown = EvidencePage("mood")
    unknown.add(one(near=near._replace(typical=None, far=None)), {"imu": STREAMS["imu"]})
    assert "typical" not in unknown.render()


def test_what_is_said_of_it() -> None:
    assert str(one()) == "r 0.00-4.00 s: yes; most for it: sound 1.73-1.87 s; without 1.00-1.50 s it would be no"
    found = json.loads(json.dumps(one(start=2.0, stop=6.0).to_json()))
    assert found["turning"] == {"start": 3.0, "stop": 3.5, "answer": "no"}
    assert len(found["evidence"]["imu"]) == 30
    assert one(evidence={"imu": np.full(30, -1.0)}).strongest() == ""
    shares = {"film": np.full(30, 0.02), "imu": np.full(30, 0.4 / 30)}
    near = Near(("t1", "t2"), ("yes", "no"), (0.5, 0.75), 0.4, 1.25)
    told = str(one(turning=None, attention=shares, near=near))
    assert "; attention: film 60 %, imu 40 %; nearest in training: t1 (yes) 0.50, t2 (no) 0.75; a test item's" in told
    assert "no near example: the nearest, t1 (yes), is 0.50 away" in str(near._replace(far=0.25))
    found = json.loads(json.dumps(one(attention=shares, near=near).to_json()))
    assert found["nearest"]["near"][1] == {"item": "t2", "label": "no", "distance": 0.75}
    assert found["nearest"]["is_near"]
    assert sum(map(sum, found["attention"].values())) == pytest.approx(1, abs=1e-4)


def test_the_schemas_file_is_that_of_the_code_and_fits_what_is_told() -> None:
    made = runpy.run_path(str(ROOT / "docs/pictures/explained_schema.py"))
    assert made["FILE"].read_text(encoding="utf-8") == made["text"](), "run: python docs/pictures/explained_schema.py"
    near = Near(("t1",), ("yes",), (0.5,), None, None)
    shares = {"imu": np.full(30, 1 / 30)}
    rows = [one(), one(turning=None, span=(1, 2.5), claim="well", attention=shares, near=near), one(objects=("cup",))]
    told = {"version": 1, "explained": [row.to_json() for row in rows], "notes": [], "report": "r/explained.html"}
    check = TypeAdapter(ExplainedFiles).validate_json
    check(json.dumps(told), strict=True)
    told["explained"][1]["nearest"]["nearness"] = 1
    with pytest.raises(ValidationError, match="nearness"):
        check(json.dumps(told), strict=True)


@pytest.mark.slow
def test_files_of_a_run(tiny_corpus: Path, tiny_recipe: Path, tmp_path: Path, capsys) -> None:
    run = fit(load_recipe(tiny_recipe), tmp_path / "run", cache=tmp_path / "cache", quiet=True)
    predictor = Predictor(run, cache=tmp_path / "cache")
    few = tiny_corpus.with_name("few.jsonl")
    few.write_text("".join(tiny_corpus.read_text().splitlines(keepends=True)[:5]))
    page = EvidencePage("tiny")
    found = explain_files(predictor, [few], seen=page.add)
    assert page.render().count("<figure") == 5
    assert [list(e.evidence) for e in found] == [["left", "right"]] * 3 + [["right"], ["left"]]
    with pytest.raises(ConfigError, match="occlusion"):
        explain_files(predictor, [few], method="occlusoin")
    training = TrainingItems(run, str(tmp_path / "cache"))
    with predictor.examples([few]) as (items, data, _, _):
        near = training.near(data.batch(range(5), predictor.model.dims), 2)
        known = {item.id for item in training.items}
        assert all(len(n.items) == 2 and set(n.items) <= known for n in near)
        own = [n for n, item in zip(near, items) if item.id in known]
    # a training item is its own nearest, 0 away
    assert own
    assert max(n.distances[0] for n in own) == pytest.approx(0, abs=1e-3)
    assert training.typical is not None
    assert 0 < training.typical <= training.far
    arguments = ["explain", str(run.folder), str(few), "--cache", str(tmp_path / "cache"), "--json"]
    arguments += ["--draw", str(tmp_path / "drawn"), "--out", str(tmp_path / "out")]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    TypeAdapter(ExplainedFiles).validate_json(printed, strict=True)
    told = json.loads(printed)
    assert len(list((tmp_path / "drawn").glob("*.png"))) == 5
    assert Path(told["report"]) == tmp_path / "out/explained.html"
    assert len(told["explained"][0]["nearest"]["near"]) == 3
    assert told["notes"] == []
    assert "attention" not in told["explained"][0], "the default fusion has none"
    assert [row["recording"] for row in told["explained"]] == [e.recording for e in found]
