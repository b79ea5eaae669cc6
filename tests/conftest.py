"""Shared by all tests: one torch thread, real data where there is some, shapes checked under pytest."""

from __future__ import annotations

import importlib
import os
import pkgutil
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from hypothesis import settings
from jaxtyping import install_import_hook

from plait.testing.shapes import sampled

# The same examples in every run, so that what passed passes again; `--hypothesis-profile=search` draws new ones.
settings.register_profile("search", deadline=None)
settings.register_profile("same", deadline=None, derandomize=True)
settings.load_profile("same")

SHAPED = ["plait.encoders", "plait.fusion", "plait.models", "plait.multiview", "plait.tasks", "plait.tokens"]
"""Packages whose signatures state shapes."""

# The hook decorates while a module is imported; its own decorator checks every call, which is dear.
with install_import_hook(SHAPED, None), mock.patch("jaxtyping.jaxtyped", return_value=sampled):
    for package in map(importlib.import_module, SHAPED):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)

from plait.evaluation.replicates import ReplicateOutput  # noqa: E402
from plait.evaluation.summary import subsets_of  # noqa: E402


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of unpacked real data, or skip."""
    folder = os.environ.get("PLAIT_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("PLAIT_DATA does not name a folder of real data")
    return Path(folder)


@pytest.fixture(scope="session")
def tiny_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A manifest of 48 short recordings of two streams at different rates; each tells one bit of four labels.

    ``left`` is missing in every eighth recording, ``right`` in another eighth; twelve groups.
    """
    from plait.corpus.corpus import CorpusWriter
    from plait.streams.stream import Stream

    folder = tmp_path_factory.mktemp("tiny")
    rng = np.random.default_rng(0)
    with CorpusWriter(folder) as out:
        for i in range(48):
            a, b = i % 2, (i // 2) % 2
            n = 20 + i % 7
            left = rng.normal(0, 0.5, (n, 3)) + a * np.sin(np.arange(n) / 2)[:, None]
            right = rng.normal(0, 0.5, (2 * n, 2)) + b
            streams = {"left": Stream.of(left, rate=10), "right": Stream.of(right, rate=20)}
            if i % 8 == 3:
                del streams["left"]
            if i % 8 == 4:
                del streams["right"]
            out.add(f"r{i:02d}", streams, labels={"kind": "abcd"[2 * a + b], "score": float(a - b)}, group=f"g{i // 4}")
    return folder / "manifest.jsonl"


@pytest.fixture
def tiny_recipe(tiny_corpus: Path, tmp_path: Path) -> Path:
    """A recipe on `tiny_corpus` that trains in a second or two."""
    path = tmp_path / "tiny.yaml"
    path.write_text(
        f"corpus: {tiny_corpus}\n"
        "task: {name: classify, target: kind}\n"
        "split: {hash: group, test: 0.25, valid: 0.2}\n"
        "model: {dim: 16}\n"
        "train: {epochs: 3, batch: 8, seeds: [0]}\n"
        "evaluate: {missing: [0.0, 0.5]}\n"
    )
    return path


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
    is_numeric = True
    main_metric = "mae"
    higher_is_better = False

    def state(self):
        return {"mean": 0.0}

    def metrics(self, scores, target):
        return {"mae": float(np.abs(scores[:, 0] - target).mean())}


def _replicate(modalities, seed, fold, *, n, classes, groups, strength, width=0):
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
    return ReplicateOutput(
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
def make_replicates():
    def make(modalities, *, seeds=3, folds=2, n=120, classes=3, groups=6, strength=None):
        strength = strength or [1.0 + 0.7 * i for i in range(len(modalities))]
        return [
            _replicate(modalities, s, f, n=n, classes=classes, groups=groups, strength=strength)
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
