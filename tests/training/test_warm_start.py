"""Pre-training a run without labels, and fine-tuning from it by one line of a recipe."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from plait.core.errors import ConfigError, DataError
from plait.encoders.chain import build_encoder, steps_of
from plait.evaluation.evaluate import evaluate
from plait.prediction.predict import predict
from plait.recipe import Recipe, load_recipe, parse_recipe
from plait.store.store import Store
from plait.training.build import build_model
from plait.training.claim import claim
from plait.training.experiment import Experiment, open_corpus
from plait.training.fit import fit
from plait.training.run import Replicate, Run
from plait.training.sides import Sides
from plait.training.warm_start import WarmStart

PRETRAIN = ["task={name: pretrain, projection_dim: 4}", "train.epochs=3"]


@pytest.fixture(scope="module")
def once(tiny_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run and the cache of its features, made once."""
    folder = tmp_path_factory.mktemp("pretrained")
    split = "split={hash: group, test: 0.25, valid: 0.2}"
    text = f"{{corpus: {tiny_corpus}, task: classify, model: {{dim: 16}}, train: {{batch: 8}}}}"
    fit(parse_recipe(text, [*PRETRAIN, split]), folder / "pre", cache=folder / "cache", quiet=True)
    return folder


@pytest.fixture
def pretrained(once: Path, tmp_path: Path) -> Run:
    """A copy of it, to be changed at will."""
    shutil.copytree(once, tmp_path, dirs_exist_ok=True)
    return Run(tmp_path / "pre")


def tuned(recipe: Path, run: Run, *overrides: str) -> Recipe:
    return load_recipe(recipe, [f"model={{from: {run.folder}}}", "train.epochs=2", *overrides])


def begun(recipe: Recipe, folder: Path) -> tuple[Any, Any, dict[str, Any], Experiment]:
    """The model at the start of fine-tuning, that it starts from, and what was copied."""
    folder.mkdir(exist_ok=True)
    experiment = Experiment.of(recipe, open_corpus(recipe, folder))
    start = WarmStart.of(recipe)
    assert start is not None
    features = experiment.prepare(Store(folder.parent / "cache"))
    model, _ = build_model(experiment, experiment.folds[0], features, start)
    replicate = start.run.replicates[0]
    return model, start.run.model(replicate), start.begin(model, replicate, experiment.folds[0], experiment), experiment


@pytest.mark.slow
def test_a_run_without_labels_learns_and_answers_with_embeddings(pretrained: Run, tmp_path: Path) -> None:
    log = pretrained.done(pretrained.replicates[0]).log
    assert len(log["train_loss"]) == len(log["valid_loss"]) == 3
    assert log["train_loss"][-1] < log["train_loss"][0]
    assert pretrained.info.items == 48
    (row, *_) = predict(pretrained, [pretrained.info.corpus], cache=tmp_path / "cache")
    assert len(row.answer.embedding) == 4
    with pytest.raises(ConfigError, match="Fine-tune it"):
        evaluate(pretrained, cache=tmp_path / "cache")


@pytest.mark.slow
def test_groups_of_the_corpus_reach_the_loss(tiny_recipe: Path, tmp_path: Path) -> None:
    logs = []
    for name, more in (("plain", ""), ("groups", ", within: true, neighbours: 0.0")):
        recipe = load_recipe(tiny_recipe, [f"task={{name: pretrain, projection_dim: 4{more}}}", "train.epochs=2"])
        run = fit(recipe, tmp_path / name, cache=tmp_path / "cache", quiet=True)
        logs.append(run.done(run.replicates[0]).log["train_loss"])
        groups = {item.group for item in Sides.read(run.folder, run.info.examples).folds()[0].train}
        assert groups == {f"g{int(r[1:]) // 4}" for r in run.info.folds[0].train}
    assert logs[0] != logs[1]


def test_windows_need_no_annotations(tiny_recipe: Path, tmp_path: Path) -> None:
    windows = "task={name: pretrain, projection_dim: 4, unit: window, length: 0.5}"
    recipe = load_recipe(tiny_recipe, [windows])
    experiment = Experiment.of(recipe, open_corpus(recipe, tmp_path))
    assert len(experiment.items) > 96
    assert all(abs(i.stop - i.start - 0.5) < 1e-6 and i.target == i.group for i in experiment.items)


def test_fine_tuning_starts_with_its_encoders_scales_and_fusion(
    tiny_recipe: Path, pretrained: Run, tmp_path: Path
) -> None:
    model, source, copied, _ = begun(tuned(tiny_recipe, pretrained), tmp_path / "run")
    assert [*copied] == [*model.modalities, ""]
    for mine, its in (
        (model.backbone.encoders, source.backbone.encoders),
        (model.backbone.fusion, source.backbone.fusion),
    ):
        assert all(torch.equal(v, its.state_dict()[k]) for k, v in mine.state_dict().items())
    assert all(
        torch.equal(model.backbone.get_buffer(f"{w}_{i}"), source.backbone.get_buffer(f"{w}_{i}"))
        for w in ("mean", "std")
        for i in (0, 1)
    )
    assert model.task.n_outputs == 4
    assert model.ensemble.heads[0].linear.in_features == 2 * source.dim


@pytest.mark.slow
def test_what_the_recipe_leaves_open_is_taken_from_there(tiny_recipe: Path, tmp_path: Path) -> None:
    narrow = load_recipe(tiny_recipe, [*PRETRAIN, "model={dim: 24}", "streams.left.encoder=linear"])
    run = fit(narrow, tmp_path / "pre", cache=tmp_path / "cache", quiet=True)
    model, _, _, _ = begun(tuned(tiny_recipe, run), tmp_path / "run")
    assert model.dim == 24
    assert [s["name"] for s in model.backbone.encoder_specs["left"]] == ["linear"]


def test_what_is_frozen_stays_as_it_was_while_the_rest_learns(
    tiny_recipe: Path, pretrained: Run, tmp_path: Path
) -> None:
    run = fit(
        tuned(tiny_recipe, pretrained, "model.freeze=true", "fusion=late"),
        tmp_path / "run",
        cache=tmp_path / "cache",
        quiet=True,
    )
    model, source = run.model(run.replicates[0]), pretrained.model(pretrained.replicates[0])
    for mine, its in zip(model.backbone.encoders.state_dict().values(), source.backbone.encoders.state_dict().values()):
        assert torch.equal(mine, its)
    log = run.done(run.replicates[0]).log
    assert log["train_loss"][-1] < log["train_loss"][0]


def test_freezing_nothing_is_told(tiny_recipe: Path, pretrained: Run) -> None:
    for change in ("model={freeze: true}", f"model={{from: {pretrained.folder}, freeze: 3}}"):
        with pytest.raises(ConfigError, match=r"model\.freeze: got"):
            WarmStart.of(load_recipe(tiny_recipe, [change]))


def test_another_fusion_starts_afresh(tiny_recipe: Path, pretrained: Run, tmp_path: Path) -> None:
    _, _, copied, _ = begun(tuned(tiny_recipe, pretrained, "fusion=late"), tmp_path / "run")
    assert [*copied] == ["left", "right"]


def test_one_modality_alone_can_be_tuned(tiny_recipe: Path, pretrained: Run, tmp_path: Path) -> None:
    _, _, copied, _ = begun(tuned(tiny_recipe, pretrained, "streams={right: null}"), tmp_path / "run")
    assert [*copied] == ["right"]


@pytest.mark.slow
def test_a_tuned_run_says_what_it_came_from_and_refuses_another(
    tiny_recipe: Path, pretrained: Run, tmp_path: Path
) -> None:
    recipe, cache = tuned(tiny_recipe, pretrained), tmp_path / "cache"
    run = fit(recipe, tmp_path / "run", cache=cache, quiet=True)
    (record,) = run.info.start.replicates.values()
    assert record.replicate == pretrained.replicates[0].name
    assert len(record.sha256) == 64
    assert run.done(run.replicates[0]).copied == ["left", "right", ""]
    assert fit(recipe, tmp_path / "run", cache=cache, quiet=True).info.start == run.info.start
    recipe.train.seeds = [0, 1]
    more = fit(recipe, tmp_path / "run", cache=cache, quiet=True)
    assert [m.seed for m in more.finished] == [0, 1], "a seed that is added begins from the same run"
    fit(
        load_recipe(tiny_recipe, [*PRETRAIN, "train.seeds=[5]"]),
        pretrained.folder,
        cache=cache,
        quiet=True,
        overwrite=True,
    )
    with pytest.raises(ConfigError, match="have changed since"):
        fit(recipe, tmp_path / "run", cache=cache, quiet=True)


def test_a_tuned_run_whose_claim_was_cut_off_is_claimed_again(
    tiny_recipe: Path, pretrained: Run, tmp_path: Path
) -> None:
    recipe = tuned(tiny_recipe, pretrained)
    claim(tmp_path / "run", recipe)
    (tmp_path / "run/recipe.yaml").unlink()
    claim(tmp_path / "run", recipe)
    assert Run(tmp_path / "run").info.start.run == str(pretrained.folder.resolve())


def test_what_does_not_fit_is_told_at_once(tiny_recipe: Path, pretrained: Run, tmp_path: Path) -> None:
    other = tuned(tiny_recipe, pretrained, "model.dim=24", "streams.left={encoder: linear, normalization: centre}")
    with pytest.raises(ConfigError) as caught:
        begun(other, tmp_path / "run")
    text = str(caught.value)
    for part in ("left: width of tokens", "left: encoder", "left: normalization"):
        assert part in text


def test_a_run_that_saw_the_test_items_is_refused(tiny_recipe: Path, pretrained: Run, tmp_path: Path) -> None:
    crossed = tuned(tiny_recipe, pretrained, "split={hash: group, test: 0.4, salt: other}")
    with pytest.raises(DataError, match="that this recipe tests on, such as 'r"):
        begun(crossed, tmp_path / "run")


def test_an_unfinished_or_missing_run_is_refused(tiny_recipe: Path, pretrained: Run, tmp_path: Path) -> None:
    (pretrained.folder / pretrained.replicates[0].name / "done.json").unlink()
    with pytest.raises(DataError, match="not trained to its end"):
        WarmStart(pretrained.folder)
    with pytest.raises(DataError, match="is not a plait run"):
        WarmStart(tmp_path / "nowhere")


def test_the_path_is_relative_to_the_recipe(tiny_recipe: Path) -> None:
    recipe = load_recipe(tiny_recipe, ["model={from: runs/pre}"])
    assert Path(recipe.model["from"]) == tiny_recipe.parent / "runs/pre"


@pytest.mark.slow
def test_a_run_with_several_seeds_serves_each_seed_with_its_own(tiny_recipe: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    run = fit(load_recipe(tiny_recipe, [*PRETRAIN, "train.seeds=[0, 1]"]), tmp_path / "pre", cache=cache, quiet=True)
    start = WarmStart(run.folder)
    assert [start.source(m) for m in run.replicates] == run.replicates
    assert start.source(Replicate(7, "")) == run.replicates[0]
    assert start.digest(run.replicates[0])["sha256"] != start.digest(run.replicates[1])["sha256"]


def test_a_chain_goes_on_behind_the_encoder_of_the_run_in_another_width(
    tiny_recipe: Path, pretrained: Run, tmp_path: Path
) -> None:
    source = pretrained.model(pretrained.replicates[0])
    first = [{**step, "dim": source.dim} for step in source.describe()["encoders"]["left"]]
    chain = json.dumps([*first, {"name": "projector", "prefix": 2}])
    longer = ["model.freeze=true", "model.dim=24", f"streams.left.encoder={chain}", "streams.right.encoder=linear"]
    with pytest.raises(ConfigError, match="right: encoder"):
        begun(tuned(tiny_recipe, pretrained, *longer), tmp_path / "refused")
    alone = json.dumps({"left": {"encoder": json.loads(chain)}})
    run = fit(
        tuned(tiny_recipe, pretrained, *longer[:2], f"streams={alone}"),
        tmp_path / "run",
        cache=tmp_path / "c",
        quiet=True,
    )
    model = run.model(run.replicates[0])
    *copied, projector = steps_of(model.backbone.encoders[0])
    for mine, its in zip(copied, steps_of(source.backbone.encoders[0]), strict=True):
        assert all(torch.equal(value, its.state_dict()[key]) for key, value in mine.state_dict().items())
    assert (projector.dim_in, projector.dim) == (source.dim, 24)
    assert run.done(run.replicates[0]).copied == ["left"]


def test_the_width_of_a_step_is_checked() -> None:
    with pytest.raises(ConfigError, match=r"x\[0\]\.dim: got 'wide'; expected a whole number"):
        build_encoder([{"name": "conv", "dim": "wide"}, "gru"], 3, 8, "x")
    with pytest.raises(ConfigError, match=r"x\[1\]\.dim: 4, but the model's is 8"):
        build_encoder(["conv", {"name": "gru", "dim": 4}], 3, 8, "x")
