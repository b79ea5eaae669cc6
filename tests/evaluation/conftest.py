from __future__ import annotations

import numpy as np
import pytest

from plait.evaluation.members import MemberOutput
from plait.evaluation.summary import subsets_of


class FakeClassify:
    """Just enough of a task: no torch, no model."""

    main_metric = "accuracy"
    higher_is_better = True

    def __init__(self, classes):
        self.classes = classes

    def state(self):
        return {"classes": self.classes}

    def metrics(self, scores, target):
        said = scores.argmax(1)
        seen = np.unique(np.concatenate([said, target]))
        f1 = [2 * ((said == c) & (target == c)).sum() / ((said == c).sum() + (target == c).sum()) for c in seen]
        return {"accuracy": float((said == target).mean()), "macro_f1": float(np.mean(f1))}


class FakeRegress:
    main_metric = "mae"
    higher_is_better = False

    def state(self):
        return {"mean": 0.0}

    def metrics(self, scores, target):
        return {"mae": float(np.abs(scores[:, 0] - target).mean())}


def _member(modalities, seed, fold, *, n, classes, groups, strength, width=0):
    rng = np.random.default_rng([seed, fold])
    fixed = np.random.default_rng([99, fold])
    target = fixed.integers(0, classes, n) if classes else fixed.normal(size=n)
    present = {m: fixed.random(n) > 0.1 for m in modalities}
    size = classes or 1
    evidence = {}
    for m, s in zip(modalities, strength):
        noise = rng.normal(size=(n, size))
        clue = s * np.eye(classes)[target] if classes else s * target[:, None]
        evidence[m] = (clue + noise) * present[m][:, None]
    outputs = {}
    for subset in subsets_of(modalities):
        total = np.sum([evidence[m] for m in subset], axis=0)
        if classes:
            e = np.exp(total - total.max(1, keepdims=True))
            outputs[subset] = e / e.sum(1, keepdims=True)
        else:
            power = sum(s**2 for m, s in zip(modalities, strength) if m in subset)
            weighted = np.sum([s * evidence[m] for m, s in zip(modalities, strength) if m in subset], axis=0)
            outputs[subset] = weighted / (power + 1)
    base = np.full((n, size), 1 / size if classes else 0.0)
    names = [f"item {fold} {i}" for i in range(n)]
    return MemberOutput(
        seed=seed,
        fold=str(fold),
        items=names,
        recordings=names,
        groups=[f"g{fold}-{i % groups}" for i in range(n)],
        target=target,
        present=present,
        outputs=outputs,
        baseline=base,
    )


@pytest.fixture
def make_members():
    def make(modalities, *, seeds=3, folds=2, n=120, classes=3, groups=6, strength=None):
        strength = strength or [1.0 + 0.7 * i for i in range(len(modalities))]
        return [
            _member(modalities, s, f, n=n, classes=classes, groups=groups, strength=strength)
            for s in range(seeds)
            for f in range(folds)
        ]

    return make


@pytest.fixture
def classify():
    return FakeClassify


@pytest.fixture
def regress():
    return FakeRegress()
