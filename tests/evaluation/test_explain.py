"""`plait explain` from a run to its page."""

from __future__ import annotations

from pathlib import Path

import pytest

from plait.core.errors import ConfigError
from plait.evaluation.cause.claim import Claim
from plait.evaluation.evaluate import evaluate
from plait.evaluation.schema import read_evaluation
from plait.recipe import load_recipe
from plait.report.report import save_evaluation
from plait.training.fit import fit


@pytest.mark.slow
@pytest.mark.parametrize("target", ["kind", "score"])
def test_a_run_is_explained(tiny_recipe: Path, tmp_path: Path, target: str) -> None:
    name = "classify" if target == "kind" else "regress"
    recipe = load_recipe(tiny_recipe, [f"task={{name: {name}, target: {target}}}", "train.wide=false"])
    run = fit(recipe, tmp_path / "run", cache=tmp_path / "cache", quiet=True)
    with pytest.raises(ConfigError, match="no item has the fact 'device'"):
        evaluate(run, cache=tmp_path / "cache", explain=True, environments="device")
    claim = None if target == "kind" else Claim("kind=a", "score", ("none",))
    found = evaluate(run, cache=tmp_path / "cache", explain=True, claim=claim)
    save_evaluation(found, tmp_path / "page")
    assert read_evaluation(tmp_path / "page") == found
    page = (tmp_path / "page/report.html").read_text()
    assert {row["modality"] for row in found["dependence"]["permutation"]} == {"left", "right"}
    assert found["dependence"]["additive"]["items"] > 1
    assert {row["method"] for row in found["faithfulness"]} >= {"occlusion"}
    assert {row["modality"] for row in found["robustness"]["corruptions"]} == {"left", "right", ""}
    for title in ("On what the answers rest", "Are explanations true of the model?", "When streams are damaged"):
        assert title in page
    told = "nobody named treatment" if target == "kind" else "items of one treatment"
    assert told in found["claim"]["reason"]
    assert found["invariance"]["reason"]  # few items of each group
    assert "nothing goes via another stream" in found["mediation"]["reason"]  # concat
    assert "What causes what?" in page
    if "conformal" in found:
        kept = found["conformal"]["kept"]
        assert (kept["items"], kept["coverage"]) == (pytest.approx(8, abs=4), pytest.approx(0.9, abs=0.35))
    assert ("swaps" in found) == (target == "kind")
    assert ("information" in found) == (target == "kind")
    assert sum(row["shapley"] for row in found["contributions"]) == pytest.approx(found["gain_over_constant"]["gain"])
