"""Answers over time, from a corpus to annotations: what is tagged and what is said, with any stream missing."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from plait import evaluate, fit
from plait.cli import main
from plait.core.errors import ConfigError, DataError
from plait.corpus.corpus import Corpus, CorpusWriter
from plait.examples.targets import Annotated
from plait.models.model import Model
from plait.prediction.predict import Predictor
from plait.recipe import Recipe, load_recipe, parse_recipe
from plait.streams.recording import Annotation
from plait.streams.stream import Stream
from plait.tasks import Task
from plait.tasks.tag import Tag
from plait.tasks.transcribe import Transcribe
from plait.tokens import Instants, Tokens
from plait.training.experiment import Experiment
from plait.training.run import Run

RATE = 20


@pytest.fixture(scope="module")
def moves(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty recordings of eight seconds, in each a still, a slow and a fast second or more, in any order.

    ``hand`` tells how fast, ``foot`` whether anything moves; each is missing in some.
    """
    folder = tmp_path_factory.mktemp("moves")
    rng = np.random.default_rng(0)
    with CorpusWriter(folder) as out:
        for i in range(30):
            kinds = rng.permutation(["still", "slow", "fast"])
            edges = [0.0, *np.sort(rng.choice([2, 3, 4, 5, 6], 2, replace=False)).tolist(), 8.0]
            notes = [Annotation(a, b, str(k), "move") for a, b, k in zip(edges, edges[1:], kinds)]
            speed = np.repeat([{"still": 0.0, "slow": 1.0, "fast": 4.0}[n.label] for n in notes],
                              [round((n.stop - n.start) * RATE) for n in notes])  # fmt: skip
            wave = np.sin(np.cumsum(speed) * 2 * np.pi / RATE)
            hand = np.stack([wave, np.gradient(wave)], 1) + rng.normal(0, 0.05, (len(wave), 2))
            foot = (speed > 0)[:, None] + rng.normal(0, 0.2, (len(wave), 1))
            streams = {"hand": Stream.of(hand, rate=RATE), "foot": Stream.of(foot, rate=RATE)}
            if i % 6 == 1:
                del streams["foot"]
            out.add(f"r{i:02}", streams, annotations=notes, group=f"g{i // 2}", split="test" if i >= 22 else "train")
    return folder / "manifest.jsonl"


def recipe_of(moves: Path, task: str, more: str = "") -> Recipe:
    return parse_recipe(
        f"corpus: {moves}\ntask: {{{task}}}\nsplit: {{by: manifest}}\nmodel: {{dim: 16}}\n"
        "train: {epochs: 30, seeds: [0], lr: 0.01}\nevaluate: {missing: [0.0, 0.5]}\n" + more
    )


@pytest.fixture(scope="module")
def tagged(moves: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    place = tmp_path_factory.mktemp("tagged")
    recipe = recipe_of(moves, "name: tag, target: move, rate: 4, unit: window, length: 4, hop: 4, pad: 1")
    return fit(recipe, place / "run", cache=place / "cache", quiet=True)


@pytest.mark.slow
def test_the_held_out_model_chooses_the_post_processing(tagged: Run) -> None:
    chosen = json.loads((tagged.folder / "held-out" / "factors.json").read_text())["factors"]["postprocessing"]
    model = tagged.model(tagged.replicates[0])
    assert model.task.postprocessing == chosen
    output, at = torch.randn(1, 9, 3), Instants(torch.zeros(1, 9), torch.ones(1, 9) > 0)
    again = Tag.restore(model.task.state(), **model.task.options)
    assert torch.equal(
        again.postprocess(output, torch.ones(2, 1) > 0, at), model.task.postprocess(output, torch.ones(2, 1) > 0, at)
    )


@pytest.mark.slow
def test_tags_are_learnt_and_scored_over_every_subset(tagged: Run, tmp_path: Path) -> None:
    result = evaluate(tagged, cache=tmp_path / "cache", explain=True)
    by = {tuple(s["modalities"]): {k: v["mean"] for k, v in s["metrics"].items()} for s in result["subsets"]}
    both = by["hand", "foot"]
    assert both["macro_f1"] > 0.75
    assert both["segmental_f1"] > 0.4
    assert by[("foot",)]["macro_f1"] < both["macro_f1"]
    assert list(both)[:2] == ["macro_f1", "accuracy"]
    assert list(both)[-3:] == ["segmental_f1", "mean_average_precision", "onset_error"]
    assert result["deletion"]["answers"] > 4  # windows that one class fills have no room beside it
    assert result["deletion"]["ratio"] > 1
    assert result["task"] | {"metric": "macro_f1", "target": "move", "unit": "window"} == result["task"]
    assert sum(map(sum, result["confusion"]["counts"])) == 8 * 8 * 4, "every instant that is annotated, once"
    assert (tagged.folder / "examples.parquet").exists()
    assert {row["modality"] for row in result["dependence"]["permutation"]} == {"hand", "foot"}
    assert "additive" not in result["dependence"], "of one answer per item only"
    assert {row["modality"] for row in result["robustness"]["corruptions"]} == {"hand", "foot", ""}
    assert result["information"][0]["both"] > 0.5


@pytest.mark.slow
def test_what_is_said_of_raw_files_is_what_is_said_of_the_corpus(tagged: Run, moves: Path, tmp_path: Path) -> None:
    answers = Predictor(tagged, cache=tmp_path / "cache")([moves])
    assert len(answers) == 60
    corpus = Corpus(moves)
    right = total = 0.0
    for answer in answers:
        notes = answer.annotations(tier="said")
        assert notes == sorted(notes, key=lambda a: (a.start, a.stop))
        assert notes[0].start == pytest.approx(answer.start + (1.0 if answer.start > 0 else 0.0))
        for true in corpus[answer.recording].annotations:
            for said in notes:
                both = max(0.0, min(true.stop, said.stop) - max(true.start, said.start))
                total, right = total + both, right + both * (true.label == said.label)
    assert total == pytest.approx(30 * 8)
    assert right / total > 0.75
    (cut,) = Predictor(tagged, cache=tmp_path / "cache")([moves.parent / "arrays"], segments=[(1.0, 3.0)])[:1]
    assert cut.answer is not None


@pytest.mark.slow
def test_answers_become_annotations_that_are_viewed_and_exported(
    tagged: Run, moves: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = moves.parent / "said.jsonl"
    command = ["predict", str(tagged.folder), str(moves), "--cache", str(tmp_path), "--annotate", str(out), "--json"]
    assert main([*command, "--tier", "said"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["manifest"] == str(out)
    notes = [a for a in Corpus(out)["r25"].annotations if a.tier == "said"]
    spans = [s for row in said["predictions"] if row["recording"] == "r25" for s in row["spans"]]
    assert [(a.start, a.stop, a.label) for a in notes] == [(s["start"], s["stop"], s["label"]) for s in spans]
    assert {a.tier for a in Corpus(out)["r25"].annotations} == {"move", "said"}
    assert main(["export", str(out), "--to", "textgrid", "--out", str(tmp_path / "grids")]) == 0
    assert any('"said@plait"' in p.read_text() or '"said"' in p.read_text() for p in (tmp_path / "grids").rglob("*"))
    capsys.readouterr()
    assert main(["predict", str(tagged.folder), str(moves.parent / "arrays"), "--annotate", "x.jsonl"]) == 2
    assert "needs one manifest" in capsys.readouterr().err


@pytest.mark.slow
def test_a_saved_run_keeps_what_was_asked(tagged: Run, moves: Path, tmp_path: Path) -> None:
    again = Run(tagged.folder)
    model = again.model(again.replicates[0])
    assert isinstance(model.task, Tag)
    assert model.task.classes == ["fast", "slow", "still"]
    notes = [{"start": 0, "stop": 8, "label": "fast", "tier": "move", "annotator": ""}]
    rows = [json.loads(line) for line in moves.read_text().splitlines()]
    changed = moves.parent / "changed.jsonl"
    changed.write_text(
        "\n".join(json.dumps(r | ({"annotations": notes} if r.get("id") == "r29" else {})) for r in rows)
    )
    recipe = load_recipe(tagged.folder / "recipe.yaml", [f"corpus={changed}"])
    from plait.training.sides import Sides

    now = Sides.of(Corpus(changed), Experiment.of(recipe, Corpus(changed)).items.items, [])
    (told,) = Sides.read(tagged.folder, tagged.info.examples).changes(now)
    assert "have another target" in told


@pytest.mark.slow
@pytest.mark.parametrize("several", [False, True])
def test_the_quick_model_answers_over_time(moves: Path, tmp_path: Path, several: bool) -> None:
    task = f"name: tag, target: move, rate: 4, several: {str(several).lower()}, unit: window, length: 4, hop: 4, pad: 1"
    run = fit(recipe_of(moves, task), tmp_path / "run", cache=tmp_path / "cache", quiet=True, quick=True)
    result = evaluate(run, cache=tmp_path / "cache")
    name = "multilabel_f1" if several else "macro_f1"
    by = {tuple(s["modalities"]): s["metrics"][name]["mean"] for s in result["subsets"]}
    assert by["hand", "foot"] > 0.8
    assert by["hand", "foot"] > by[("foot",)]
    assert result["baseline"]["metrics"][name] < 0.5
    encoders = run.model(run.replicates[0]).describe()["encoders"]
    assert {spec[0]["name"] for spec in encoders.values()} == {"moving_statistics"}


@pytest.mark.slow
def test_the_quick_model_answers_beside_the_deep_heads(tagged: Run) -> None:
    model = tagged.model(tagged.replicates[0])
    assert model.wide is not None
    assert 0 < float(model.wide_weight[-1]) < 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "encoder", "told"),
    [
        ("name: tag, target: move", "mini_rocket", "of whole items, but task is answered over time"),
        ("name: classify, unit: segment, tier: move", "moving_statistics",
         "of each token, but task is answered once per item"),
    ],
)  # fmt: skip
def test_the_quick_model_refuses_features_of_the_other_kind(
    moves: Path, tmp_path: Path, task: str, encoder: str, told: str
) -> None:
    recipe = recipe_of(moves, task, f"fusion: opinion_pool\nstreams: {{hand: {{encoder: {encoder}}}}}\n")
    recipe.train.solver = "ridge"
    with pytest.raises(ConfigError, match=told):
        fit(recipe, tmp_path / "run", cache=tmp_path / "cache", quiet=True)


@pytest.mark.slow
def test_words_are_learnt_from_their_order_and_times(moves: Path, tmp_path: Path) -> None:
    recipe = recipe_of(moves, "name: transcribe, target: move, rate: 5")
    recipe.train.batch = 8
    run = fit(recipe, tmp_path / "run", cache=tmp_path / "cache", quiet=True)
    result = evaluate(run, cache=tmp_path / "cache")
    by = {tuple(s["modalities"]): {k: v["mean"] for k, v in s["metrics"].items()} for s in result["subsets"]}
    assert by["hand", "foot"]["wer"] < 0.4 < result["baseline"]["metrics"]["wer"]
    shown = result["examples"][0]
    assert set(shown["truth"].split()) == {"still", "slow", "fast"}
    (answer, *_) = Predictor(run, cache=tmp_path / "cache")([moves])
    assert answer.answer is not None
    words = answer.answer.to_json()["words"]
    assert str(answer.answer) == " ".join(w["label"] for w in words)
    assert all(0 <= w["start"] < w["stop"] <= 8.2 for w in words)
    assert answer.trust.keys() == {"hand", "foot"}
    assert answer.trust["hand"] > answer.trust["foot"]  # the foot does not tell slow from fast
    assert f"from hand ({answer.trust['hand']:.0%}), foot" in str(answer)
    assert np.sum(result["confusion"]["counts"]) > 0


@pytest.mark.parametrize("fusion", ["locf", "late"])
@pytest.mark.parametrize("kind", [Tag, partial(Transcribe, delay=0.3)])
def test_a_causal_answer_knows_nothing_that_comes_later(kind: Callable[..., Task], fusion: str) -> None:
    task = kind([Annotated(4.0, ((0.0, 2.0, "a"), (2.0, 4.0, "b")))], target="t", rate=2.0, causal=True)
    chain = [{"name": "conv", "strides": [2], "causal": True}, {"name": "gru", "bidirectional": False}]
    torch.manual_seed(0)
    model = Model({"x": 3, "y": 2}, task, encoders={"x": chain, "y": chain}, fusion=fusion, dim=16).eval()
    times = {"x": torch.arange(40.0).expand(2, -1) / 10, "y": torch.arange(20.0).expand(2, -1) / 5}
    batch = {m: Tokens(torch.randn(*t.shape, model.dims[m]), t, torch.ones_like(t) > 0) for m, t in times.items()}
    instants = task.instants(4.0)
    assert instants is not None
    when = torch.from_numpy(instants).float().expand(2, -1)
    at = Instants(when, torch.ones_like(when) > 0)
    before = model(batch, at)[""]
    for k, end in enumerate(when[0].tolist()):
        later = {m: t.with_values(torch.where((t.times > end)[..., None], 50.0, t.values)) for m, t in batch.items()}
        assert torch.allclose(model(later, at)[""][:, : k + 1], before[:, : k + 1], atol=1e-5)
    assert not torch.allclose(model(later | {"x": batch["x"].with_values(0 * batch["x"].values)}, at)[""], before)


@pytest.mark.parametrize(
    ("task", "more", "told"),
    [
        ("name: tag", "", "task.target: got None. tag needs the name of a tier"),
        ("name: tag, target: moev", "", "task.target: no recording of manifest.jsonl has 'moev'. Did you mean 'move'"),
        ("name: tag, target: move, rate: 0", "", "rate.*above 0"),
        (
            "name: tag, target: move, metric: wer",
            "",
            "tag.metric: 'wer' is of texts; expected one of classes or of spans",
        ),
        ("name: transcribe, target: move, token: phone", "", "token 'phone'"),
        ("name: tag, target: move, several: true, background: none", "", "tag.background"),
        ("name: tag, target: move, causal: true", "", "fusion: looks ahead.*locf"),
        (
            "name: tag, target: move, causal: true",
            "fusion: locf\nstreams: {hand: {normalization: centre}, foot: {encoder: gru, rate: 5}}\n",
            "(?s)streams.hand.normalization: centre looks at the whole.*streams.foot.rate",
        ),
        (
            "name: tag, target: move, causal: true",
            "fusion: locf\nstreams: {hand: {encoder: gru}}\n",
            "hand.encoder: looks",
        ),
        ("name: tag, target: move, rate: 1000, unit: window, length: 200000", "", "no items are left"),
    ],
)
def test_what_cannot_be_asked_is_told(moves: Path, tmp_path: Path, task: str, more: str, told: str) -> None:
    with pytest.raises((ConfigError, DataError), match=told):
        fit(recipe_of(moves, task, more), tmp_path / "run", cache=tmp_path / "cache", quiet=True)


def test_a_class_that_training_lacks_is_told_before_training(moves: Path, tmp_path: Path) -> None:
    rows = [json.loads(line) for line in moves.read_text().splitlines()]
    for row in rows:
        if row.get("id") == "r29":
            row["annotations"][0]["label"] = "jump"
    other = moves.parent / "strange.jsonl"
    other.write_text("\n".join(map(json.dumps, rows)))
    with pytest.raises(DataError, match="'jump' is no class of the training items"):
        fit(recipe_of(other, "name: tag, target: move"), tmp_path / "run", cache=tmp_path / "cache", quiet=True)
