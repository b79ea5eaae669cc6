"""Metrics as parts: what a task reports, and a metric of one's own, from the recipe to the report."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from plait import metrics as package
from plait.catalogue import catalogue
from plait.core.errors import ConfigError, DataError, PlaitError
from plait.core.parts import parts, rescan
from plait.evaluation.evaluate import evaluate
from plait.evaluation.summary import summarise
from plait.metrics import Metric, metrics_for
from plait.metrics.error_rates import Cer, Wer
from plait.recipe import load_recipe
from plait.report import words
from plait.report.report import render_report
from plait.tasks.classify import Classify
from plait.tasks.regress import Regress
from plait.training.fit import fit
from plait.training.run import Run

MODULE = '''
import numpy as np

from plait.metrics import Metric


class HitShare(Metric):
    """Share of items whose true class has a probability of at least ``least``."""

    of = "classes"
    bounds = (0.0, 1.0)
    percent = True

    def __init__(self, *, least: float = 0.5) -> None:
        self.least = least

    def __call__(self, target, scores):
        return float((scores[np.arange(len(target)), target] >= self.least).mean()) if len(target) else float("nan")
'''


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The dotted path of a metric outside of plait."""
    (tmp_path / "mylab_metrics.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "mylab_metrics", raising=False)
    return "mylab_metrics.HitShare"


def test_a_task_reports_the_chosen_one_and_then_the_usual_ones_in_order():
    scores, target = np.array([[0.6, 0.4], [0.2, 0.8]]), np.array([0, 1])
    usual = ["accuracy", "balanced_accuracy", "macro_f1", "weighted_f1", "log_loss", "ece", "roc_auc"]
    assert list(Classify([0, 1]).metrics(scores, target)) == usual
    assert list(Classify([0, 1], metric="ece").metrics(scores, target)) == ["ece", *[u for u in usual if u != "ece"]]
    assert "roc_auc" not in metrics_for("classes", "accuracy", where="x", classes=3)
    values = Regress([0.0, 1.0], sentiment=True, metric="acc7").metrics(np.array([[1.0]]), np.array([1.0]))
    assert list(values) == ["acc7", "mae", "rmse", "corr", "acc2_nonzero", "f1_nonzero", "acc2_nonneg", "f1_nonneg"]


def test_an_error_is_selected_by_the_lowest():
    assert not Classify([0, 1], metric="log_loss").higher_is_better
    assert Classify([0, 1], metric="log_loss").bounds == (0.0, np.inf)
    assert Regress([0.0, 1.0], metric="acc7").higher_is_better


@pytest.mark.parametrize(
    ("of", "chosen", "classes", "said"),
    [
        ("classes", "roc_auc", 3, "x.metric: got 'roc_auc'; with 3 classes there are: accuracy, "),
        ("classes", "mae", 2, "got 'mae'; with 2 classes there are: .*roc_auc"),
        ("values", "accuracy", 0, "of values there are: .*mae"),
        ("classes", "acuracy", 2, "Did you mean 'accuracy'"),
        ("spans", {"name": "segmental_f1", "overlap": 2.0}, 0, "x.metric.overlap: got 2.0; expected a number above 0"),
    ],
)
def test_a_metric_that_is_not_of_the_task_is_refused_with_what_there_is(of, chosen, classes, said):
    with pytest.raises(ConfigError, match=said):
        metrics_for(of, chosen, where="x.metric", classes=classes)


def test_one_file_is_a_metric(tmp_path, monkeypatch):
    """A new file beside the base is listed, reported, and read in percent, and nothing else is edited."""
    folder = tmp_path / "more"
    folder.mkdir()
    (folder / "hit_share.py").write_text(MODULE)
    with monkeypatch.context() as patched:
        patched.setattr(package, "__path__", [*package.__path__, str(folder)])
        rescan()
        assert catalogue("metrics")["metrics"]["hit_share"]["options"] == {"least": 0.5}
        assert Classify([0, 1], metric="hit_share").main_metric == "hit_share"
        assert "hit_share" in Classify([0, 1, 2]).metrics(np.eye(3), np.arange(3))
        assert words.show("hit_share", 0.5) == "50.0\xa0%"
    rescan()
    sys.modules.pop("plait.metrics.hit_share", None)
    assert "hit_share" not in parts(Metric)


@pytest.mark.slow
def test_ones_own_is_selected_by_and_reported(own: str, tiny_recipe: Path, tmp_path: Path):
    spec = f"{{name: {own}, least: 0.3}}"
    recipe = load_recipe(tiny_recipe, [f"task.metric={spec}", "train.stop=early", "train.patience=3"])
    run = fit(recipe, tmp_path / "run", cache=tmp_path / "cache", quiet=True)
    log = json.dumps(run.done(run.replicates[0]).log)
    assert "valid_hit_share" in log
    found = evaluate(run, cache=tmp_path / "cache")
    assert found["task"]["metric"] == "hit_share"
    row = found["subsets"][-1]
    assert next(iter(row["metrics"])) == "hit_share"
    assert 0 <= row["metrics"]["hit_share"]["mean"] <= 1
    assert "hit share" in render_report(found)
    with pytest.raises(PlaitError, match="allow-code"):
        evaluate(Run(run.folder), cache=tmp_path / "cache")


def test_the_interval_stays_within_the_bounds_of_ones_own(own: str, make_replicates):
    task = Classify(["a", "b", "c"], metric={"name": own, "least": 0.3})
    span = summarise(task, make_replicates(["see"], seeds=1, strength=[4.0]))["subsets"][0]
    assert span["metrics"]["hit_share"]["mean"] > 0.97
    assert span["interval"]["low"] < span["interval"]["high"] <= 1


def test_error_rates_by_hand():
    truth, said = ["one two three", "four"], ["one too three four", ""]
    assert Wer()(truth, said) == pytest.approx(3 / 4)  # one replaced, one inserted, one deleted
    assert Cer()(["abcd"], ["abxd"]) == pytest.approx(1 / 4)
    assert np.isnan(Wer()([""], ["word"]))
    with pytest.raises(DataError, match="2 true texts and 1 answers"):
        Wer()(truth, said[:1])
