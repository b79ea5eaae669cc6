"""The quick model: an ordinary run, in seconds, whose answers come of a closed form."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from plait.cli import main
from plait.core.errors import ConfigError
from plait.evaluation.evaluate import evaluate
from plait.examples.collate import Ragged, Rows
from plait.examples.data import Asked, ItemData
from plait.fusion.opinion_pool import OpinionPool
from plait.models.model import Model
from plait.prediction.predict import predict
from plait.recipe import load_recipe, quick_recipe
from plait.tasks.classify import Classify
from plait.tasks.regress import Regress
from plait.tokens import Tokens
from plait.training.closed_form import fit_closed_form
from plait.training.fit import fit
from plait.training.run import Run


class Made(ItemData):
    """Items of arrays: {modality: [rows or None]}."""

    def __init__(self, rows: dict[str, list[np.ndarray | None]], target: torch.Tensor, groups: list[str]) -> None:
        from plait.examples.items import Item

        self.items = [Item(f"r{i}", 0.0, 1.0, 0, g) for i, g in enumerate(groups)]
        self.modalities, self.asked, self.noisy = list(rows), Asked(target), {}
        self.seed, self.epoch = 0, lambda: 0
        made = {
            m: [None if x is None else Rows(x, np.arange(len(x), dtype=np.float32)) for x in v] for m, v in rows.items()
        }
        self.rows = {m: Ragged(v) for m, v in made.items()}


def world(classes: int = 3, items: int = 120, *, length: int = 20, seed: int = 0) -> tuple[Made, np.ndarray]:
    """``wave`` tells a class by its frequency, ``noise`` by nothing, ``word`` (one row) a little; some are missing."""
    rng = np.random.default_rng(seed)
    label = np.arange(items) % classes
    wave, noise, word = [], [], []
    for i, c in enumerate(label):
        n = length + int(rng.integers(0, 8))
        phase = rng.uniform(0, 6)
        x = np.sin(np.arange(n) * (0.3 + 0.5 * c) + phase)[:, None] + rng.normal(0, 0.3, (n, 2))
        wave.append(x.astype(np.float32) if i % 7 else None)
        noise.append(rng.normal(size=(12, 3)).astype(np.float32))
        word.append((np.eye(classes)[c] + rng.normal(0, 0.8, classes)).astype(np.float32)[None] if i % 5 else None)
    groups = [f"g{i // classes % 8}" for i in range(items)]
    return Made({"wave": wave, "noise": noise, "word": word}, torch.from_numpy(label), groups), label


def quick(data: Made, task: Classify | Regress, *, dim: int = 8, seed: int = 0) -> Model:
    dims = {m: next(r for r in (data.rows[m][i] for i in range(len(data))) if r)[0].shape[1] for m in data.modalities}
    lengths = {m: data.typical_length(m) for m in dims}
    encoders = {m: {"name": "mini_rocket", "length": max(lengths[m], 1), "features": 840} for m in dims}
    torch.manual_seed(seed)
    model = Model(dims, task, encoders=encoders, fusion="opinion_pool", dim=dim)
    fit_closed_form(model, data, seed=seed)
    return model


def answers(model: Model, data: Made, only: tuple[str, ...] | None = None) -> torch.Tensor:
    tokens = data.batch(range(len(data)), model.dims).inputs
    with torch.inference_mode():
        return model.forward_subset(model.encode(tokens), only)[""]


def test_every_subset_answers_and_noise_is_not_listened_to() -> None:
    data, label = world()
    model = quick(data, Classify(label.tolist()))
    test, truth = world(seed=1)
    right = {
        s: float((answers(model, test, s).argmax(1).numpy() == truth).mean()) for s in (None, ("wave",), ("word",))
    }
    assert right[None] > 0.85
    assert right[None] >= max(right.values()) - 0.02
    sure = answers(model, test, ("noise",)).softmax(-1).amax(-1)
    assert float(sure.mean()) < 0.45, "who knows nothing says so"
    nothing = {m: Tokens(t.values, t.times, t.mask & False) for m, t in test.batch([0], model.dims).inputs.items()}
    assert torch.allclose(model(nothing)[""], model.task.prior()), "with nothing there the classes' shares are left"


def test_it_is_as_sure_as_it_is_right() -> None:
    data, label = world(items=240)
    model = quick(data, Classify(label.tolist()))
    test, truth = world(items=400, seed=2)
    for only in (None, ("wave",), ("word",)):
        found = answers(model, test, only)
        there = torch.stack([torch.from_numpy(test.present(m)) for m in only or model.modalities]).any(0)
        shares = found[there].softmax(-1)
        gap = float(shares.amax(-1).mean()) - float((shares.argmax(-1).numpy() == truth[there.numpy()]).mean())
        assert abs(gap) < 0.06, f"{only}: {gap:+.3f}"


@pytest.mark.slow
def test_tokens_narrower_than_the_classes_keep_the_largest_directions() -> None:
    data, label = world(classes=6, items=240)
    wide, narrow = (quick(data, Classify(label.tolist()), dim=dim) for dim in (6, 5))
    both = [(answers(m, data).argmax(1).numpy() == label).mean() for m in (wide, narrow)]
    assert both[1] > both[0] - 0.05
    # the classes' scores add up to a constant, so five directions hold six of them
    assert torch.allclose(*(answers(m, data, ("wave",)).softmax(-1) for m in (wide, narrow)), atol=1e-2)


def test_values_are_regressed_too() -> None:
    data, label = world()
    rng = np.random.default_rng(0)
    target = 100.0 + 10.0 * label + rng.normal(size=len(label))
    data.asked = Asked(torch.from_numpy(target).float())
    model = quick(data, Regress(target.tolist()))
    test, truth = world(seed=1)
    guess = model.task.scores(answers(model, test))[:, 0]
    assert np.abs(guess - 100 - 10 * truth).mean() < 0.7 * np.abs(target - np.median(target)).mean()


@pytest.mark.slow
def test_the_same_seed_gives_the_same_numbers_and_what_is_saved_is_what_was_fitted(tmp_path: Path) -> None:
    data, label = world(items=60)
    one, same, other = (quick(data, Classify(label.tolist()), seed=s) for s in (1, 1, 2))
    assert torch.equal(answers(one, data), answers(same, data))
    assert not torch.equal(answers(one, data), answers(other, data))
    one.save(tmp_path)
    assert torch.equal(answers(Model.load(tmp_path), data), answers(one, data))


def test_a_hole_is_the_mean_and_a_column_that_never_varies_changes_nothing() -> None:
    data, label = world(items=60)
    for rows in (data.rows["noise"][i] for i in range(60)):
        rows.values[3, 1] = np.nan
        rows.values[:, 2] = 7.0
    assert answers(quick(data, Classify(label.tolist())), data).isfinite().all()


def test_other_encoders_and_fusions_are_refused_all_at_once() -> None:
    data, label = world(items=30)
    model = Model({"wave": 2, "noise": 3, "word": 3}, Classify(label.tolist()), dim=8)
    with pytest.raises(ConfigError) as caught:
        fit_closed_form(model, data, seed=0)
    assert len(caught.value.problems) == 4
    assert "streams.wave.encoder" in str(caught.value)
    assert "opinion_pool" in str(caught.value)


def test_an_item_too_little_is_no_reason_to_fail() -> None:
    data, label = world(items=30)
    lonely = [None] * 29 + [np.ones((5, 2), np.float32)]
    data.rows["wave"] = Ragged(None if r is None else Rows(r, np.arange(5, dtype=np.float32)) for r in lonely)
    model = quick(data, Classify(label.tolist()))
    assert answers(model, data).isfinite().all()
    assert torch.allclose(answers(model, data, ("wave",)), model.task.prior(), atol=1e-6)


# an ordinary run


@pytest.mark.slow
def test_a_quick_run_is_fitted_scored_and_asked_like_any_other(tiny_recipe: Path, tmp_path: Path) -> None:
    recipe = load_recipe(tiny_recipe)
    run = fit(recipe, tmp_path / "run", cache=tmp_path / "cache", quiet=True, quick=True)
    assert run.recipe == quick_recipe(recipe)
    found = evaluate(run, cache=tmp_path / "cache")
    by_subset = {tuple(s["modalities"]): s["metrics"]["accuracy"]["mean"] for s in found["subsets"]}
    assert set(by_subset) == {("left",), ("right",), ("left", "right")}
    assert by_subset["left", "right"] > found["baseline"]["metrics"]["accuracy"] + 0.3
    kept = {p.name for p in (tmp_path / "run").rglob("*") if p.is_file()}
    assert not [name for name in kept if name.endswith((".pkl", ".pt", ".pth", ".ckpt"))]
    assert not list((tmp_path / "run").glob("held-out*")), "nothing is trained a second time to be calibrated"
    rows = predict(Run(tmp_path / "run"), [str(recipe.corpus)], cache=tmp_path / "cache")
    assert {r.answer.label for r in rows} <= set("abcd")
    assert any(r.missing == ("left",) for r in rows)
    again = fit(recipe, tmp_path / "run", cache=tmp_path / "cache", quiet=True, quick=True)
    assert again.finished == again.replicates


def test_the_command_keeps_it_beside_the_deep_run(
    tiny_recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["fit", "--quick", str(tiny_recipe)]) == 0
    assert "runs/tiny-quick" in capsys.readouterr().out
    assert isinstance(Run("runs/tiny-quick").model(Run("runs/tiny-quick").replicates[0]).backbone.fusion, OpinionPool)


@pytest.mark.slow
def test_a_run_to_begin_from_is_refused(tiny_recipe: Path, tmp_path: Path) -> None:
    recipe = quick_recipe(load_recipe(tiny_recipe))
    fit(recipe, tmp_path / "one", cache=tmp_path / "cache", quiet=True)
    recipe.model["from"] = str(tmp_path / "one")
    with pytest.raises(ConfigError, match=r"model\.from"):
        fit(recipe, tmp_path / "two", cache=tmp_path / "cache", quiet=True)


def test_overlap_decides_how_much_the_rest_counts_where_some_are_missing() -> None:
    pool = OpinionPool(["a", "b", "c"], 4)
    there = torch.tensor([[True, True, False, True], [True, True, False, False], [True, False, False, False]])
    third = 1 / 3
    with torch.no_grad():
        for overlap, two in ((-50.0, third), (50.0, 0.5)):
            pool.overlap.fill_(overlap)
            wanted = [[third, two, 0.0, 1.0], [third, two, 0.0, 0.0], [third, 0.0, 0.0, 0.0]]
            assert torch.allclose(pool.weighed(there), torch.tensor(wanted), atol=1e-5), "one alone answers by itself"
