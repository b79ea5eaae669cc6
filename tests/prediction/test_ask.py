"""A question is asked of a trained model about new files; what it rests on is removed, and the answer moves."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from plait import evaluate, fit
from plait.cli import main
from plait.core.errors import ConfigError
from plait.corpus.corpus import CorpusWriter
from plait.prediction.predict import predict
from plait.recipe import parse_recipe
from plait.streams.stream import Stream
from plait.tasks.small_language import train_language
from plait.training.run import Run

pytest.importorskip("peft")
pytestmark = pytest.mark.slow

QUESTIONS = {"how high ?": ("low", "high"), "when ?": ("early", "late")}
SECONDS, RATE = 4.0, 5

RECIPE = """
corpus: {folder}/world/manifest.jsonl
task: {{name: unify, target: answer, language: {folder}/language, context_length: 32, projecting: 0.6, rank: 4}}
split: {{by: manifest}}
streams:
  bump: {{encoder: [{{name: position, periods: [0.5, 16], dropout: 0}}, {{name: projector, dropout: 0}}]}}
  asked:
    feature: {{name: hf_tokens, model: {folder}/language, special: false}}
    encoder: {{name: words, model: {folder}/language}}
fusion: sequence
model: {{dim: 32}}
augment: {{crop_resize: 0, gaussian_noise: 0, modality_dropout: 0.1}}
train: {{epochs: 25, batch: 24, lr: 0.005}}
evaluate: {{missing: [0.0]}}
"""


def clip(rng: np.random.Generator, high: int, late: int) -> Stream:
    """A bump, low or high, in the first or the second half."""
    t = np.arange(int(SECONDS * RATE)) / RATE
    middle = rng.uniform(0.5, 1.5) + 2 * late
    return Stream.of(((1 + 2 * high) * (np.abs(t - middle) < 0.31) + rng.normal(0, 0.05, len(t)))[:, None], rate=RATE)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder, rng = tmp_path_factory.mktemp("ask"), np.random.default_rng(0)
    with CorpusWriter(folder / "world") as out:
        for i in range(240):
            high, late = (int(x) for x in rng.integers(2, size=2))
            question = list(QUESTIONS)[i % 2]
            answer = QUESTIONS[question][(high, late)[i % 2]]
            asked = Stream.of(np.array([question], object), spans=([0.0], [SECONDS]), kind="words")
            split = "train" if i < 192 else "test"
            out.add(f"c{i}", {"bump": clip(rng, high, late), "asked": asked}, labels={"answer": answer}, split=split)
    told = [f"a {h} bump comes {w} . {q} {(h, w)[k]}" for h in ("low", "high") for w in ("early", "late")
            for k, q in enumerate(QUESTIONS)]  # fmt: skip
    train_language(told * 20, folder / "language", width=32, layers=2, heads=2, epochs=8, batch=16)
    return fit(parse_recipe(RECIPE.format(folder=folder)), folder / "run", cache=folder / "cache", quiet=True)


def test_it_answers_by_the_question_and_by_the_stream(run: Run) -> None:
    result = evaluate(run, cache=run.folder / "cache")
    found = {tuple(s["modalities"]): s["metrics"]["exact_match"]["mean"] for s in result["subsets"]}
    assert (found["bump", "asked"] or 0) > 0.9
    assert (found["asked",] or 0) < 0.75, "without the stream there is nothing to know"
    deletion = result["deletion"]
    assert deletion["answers"] > 0
    assert min(deletion["inside"], deletion["elsewhere"]) > 0
    weights = run.folder / run.finished[0].name / "model.safetensors"
    assert weights.stat().st_size < 200_000


def test_a_question_is_asked_of_new_files(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with CorpusWriter(tmp_path) as out:
        for name, (high, late) in {"a": (0, 1), "b": (1, 0)}.items():
            out.add(name, {"bump": clip(np.random.default_rng(3), high, late)})
    manifest, cache = tmp_path / "manifest.jsonl", tmp_path / "cache"
    for question, (low, high) in {"how high ?": ("low", "high"), "when ?": ("late", "early")}.items():
        rows = predict(run, manifest, ask=question, cache=cache)
        assert [str(row.answer) for row in rows] == [low, high]
        assert {row.used for row in rows} == {("bump", "asked")}
    words = rows[0].to_json()["words"]
    assert isinstance(words, list)
    assert words[0]["evidence"][1] > 2, "a late bump is seen late"
    code = main(["predict", str(run.folder), str(manifest), "--ask", "when ?", "--json", "--cache", str(cache)])
    told = json.loads(capsys.readouterr().out)
    assert (code, [row["text"] for row in told["predictions"]]) == (0, ["late", "early"])
    for wrong in (" ", "when " * 300):
        with pytest.raises(ConfigError, match="ask: the question is"):
            predict(run, manifest, ask=wrong, cache=cache)
