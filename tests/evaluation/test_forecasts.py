"""Whether another stream helps, by its losses alone."""

from __future__ import annotations

import numpy as np

from plait.evaluation.forecasts import helpful_streams, rivals_of
from plait.evaluation.intervals import Units
from plait.evaluation.replicates import ReplicateOutput
from plait.evaluation.summary import plain
from plait.report.sections.forecasts import verdict_lines


class Given:
    """A task whose scores are the losses."""

    streams = ("load",)
    main_metric, higher_is_better = "loss", False

    def metrics(self, scores, target):
        return {"loss": float(scores.mean())}

    def state(self):
        return {}

    def losses(self, scores, target):
        return scores

    def rivals(self, target):
        return {"persistence": np.ones((len(target), 1)), "ridge": np.full((len(target), 1), 1.5)}


def pool(gains, groups=20, each=10, seed=0):
    """Losses of 1 on average, less what each other stream gains; people differ."""
    rng = np.random.default_rng(seed)
    names = [f"p{g}" for g in range(groups) for _ in range(each)]
    base = np.repeat(rng.uniform(0.5, 1.5, groups), each)

    def loss(*others):
        own = base * (1 - sum(gains[m] for m in others)) + 0.05 * rng.normal(size=len(base))
        return own[:, None]

    others = list(gains)
    outputs = {("load",): loss(), ("load", *others): loss(*others)}
    outputs |= {("load", *(m for m in others if m != gone)): loss(*(m for m in others if m != gone)) for gone in others}
    present = {m: np.ones(len(base), bool) for m in ("load", *others)}
    target = np.zeros(len(base))
    return ReplicateOutput(0, "", [str(i) for i in range(len(base))], names, names, target, present, outputs, base)


def verdict(gains, **kept):
    made = pool(gains, **kept)
    (found,) = helpful_streams([made], Given(), Units.of(made.groups))
    return found


def test_a_stream_that_helps_is_named():
    found = verdict({"near": 0.2, "far": 0.0})
    assert (found["helps"], found["which"]) == (True, ["near"])
    assert found["interval"]["low"] < found["ratio"] < found["interval"]["high"] < 1


def test_without_the_stream_that_is_named_a_forecast_moves_further_than_without_another():
    class Moving(Given):
        def moved(self, scores, other, target):
            return np.abs(scores - other)

    made = pool({"near": 0.2, "far": 0.0})
    (found,) = helpful_streams([made], Moving(), Units.of(made.groups))
    assert found["deletion"]["ratio"] > found["deletion"]["interval"]["low"] > 2
    assert "Without near the forecast moves " in verdict_lines({"verdicts": [found]})[0]
    made = pool({"near": 0.0, "far": 0.0})
    (nothing,) = helpful_streams([made], Moving(), Units.of(made.groups))
    assert "deletion" not in nothing  # no stream is named, so there is none to remove


def test_streams_that_add_nothing_are_told_so():
    verdicts = [verdict({"near": 0.0, "far": 0.0}, seed=seed) for seed in range(20)]
    assert sum(v["helps"] for v in verdicts) <= 2
    assert all(not v["which"] for v in verdicts if not v["helps"])


def test_with_few_groups_nothing_is_claimed():
    found = verdict({"near": 0.2}, groups=3)
    assert not found["helps"]
    assert found["interval"]["reason"] == "too few groups"


def test_the_verdict_is_told_in_a_sentence():
    (yes,) = verdict_lines({"verdicts": [verdict({"near": 0.2, "far": 0.0})]})
    assert yes.startswith("Does another stream help to forecast load? yes (near): the loss of all over that of its own")
    (no,) = verdict_lines({"verdicts": [plain(verdict({"near": 0.0}, groups=3))]})
    assert "no: " in no
    assert "too few groups" in no


def test_a_model_that_is_worse_than_the_ridge_gains_nothing():
    class Strong(Given):
        def rivals(self, target):
            return {"ridge": np.full((len(target), 1), 0.5)}

    made = pool({"near": 0.2})
    (found,) = helpful_streams([made], Strong(), Units.of(made.groups))
    assert found["ratio"] > 1
    assert not found["helps"]


def test_rivals_are_scored_like_the_model():
    assert rivals_of([pool({"near": 0.1})], Given()) == {
        "persistence": {"metrics": {"loss": 1.0}},
        "ridge": {"metrics": {"loss": 1.5}},
    }
    assert rivals_of([pool({"near": 0.1})], object()) == {}
