"""Noise in a recipe: every kind of stream, one or several kinds a modality, in training and in evaluation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from plait.core.errors import ConfigError
from plait.corpus.corpus import Corpus, CorpusWriter
from plait.evaluation.evaluate import evaluate
from plait.examples.data import Asked, ItemData
from plait.recipe import Recipe, dump_recipe, parse_recipe
from plait.report.report import render_report
from plait.store.store import Store
from plait.streams.stream import Stream
from plait.training.experiment import Experiment
from plait.training.fit import fit
from plait.training.noisy import NoisyFeatures, noisy_sources

NOISE = """
augment:
  noise:
    film:
      - {kind: blur, levels: [0.5, 2], copies: 1, probability: 0.3}
      - {kind: {name: occlusion, seconds: 0.2}, levels: [0.1, 0.3], copies: 2, probability: 0.4}
    text: {kind: typo, levels: [0.1, 0.3], copies: 1}
evaluate:
  missing: [0.0]
  noise:
    film:
      - {kind: frame_drop, levels: [0.2, 0.5]}
      - {kind: white, levels: [10]}
    imu: [{kind: dropout, levels: [0.3]}, {kind: jitter, levels: [0.05]}, {kind: pink, levels: [5]}]
    text: {kind: {name: typo, layout: azerty}, levels: [0.2]}
"""


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("noisy")
    rng = np.random.default_rng(0)
    with CorpusWriter(folder) as out:
        for i in range(16):
            film = rng.integers(0, 255, (12, 16, 16, 3)).astype(np.uint8)
            words = np.array(["left", "hand", "up"] if i % 2 else ["right", "foot", "down"], dtype=object)
            streams = {
                "film": Stream.of(film, rate=10),
                "imu": Stream.of(rng.normal(size=(30, 3)) + i % 2, rate=25),
                "text": Stream.of(words, spans=([0.0, 0.4, 0.8], [0.3, 0.7, 1.1])),
            }
            out.add(f"r{i:02d}", streams, labels={"kind": "ab"[i % 2]}, group=f"g{i // 2}")
    return folder / "manifest.jsonl"


def recipe_of(corpus: Path, more: str = NOISE) -> Recipe:
    return parse_recipe(
        f"corpus: {corpus}\n"
        "task: {name: classify, target: kind}\n"
        "split: {hash: group, test: 0.3, valid: 0.2}\n"
        "streams: {film: {feature: {name: dct, k: 4}}, imu: , text: {feature: {name: hashed_text, dim: 16}}}\n"
        "model: {dim: 8}\n"
        "train: {epochs: 1, batch: 8, seeds: [0]}\n" + more
    )


@pytest.mark.slow
def test_a_fit_and_an_evaluation_under_every_kind(corpus: Path, tmp_path: Path) -> None:
    run = fit(recipe_of(corpus), tmp_path / "run", cache=tmp_path / "cache", quiet=True)
    found = evaluate(run, cache=tmp_path / "cache")
    rows = found["robustness"]["noise"]
    seen = {(r["modality"], r["kind"], r["level"], r["axis"], r["rising"]) for r in rows}
    assert seen == {
        ("film", "frame_drop", 0.2, "share of observations lost", True),
        ("film", "frame_drop", 0.5, "share of observations lost", True),
        ("film", "white", 10.0, "signal over noise, dB", False),
        ("imu", "dropout", 0.3, "share of observations lost", True),
        ("imu", "jitter", 0.05, "jitter of the times, s", True),
        ("imu", "pink", 5.0, "signal over noise, dB", False),
        ("text", "typo (layout azerty)", 0.2, "share of characters mistyped", True),
    }
    assert len(rows) == 2 * len(seen), "with the others, and alone"
    page = render_report(found)
    assert "typo (layout azerty)" in page
    assert "frame drop" in page
    again = evaluate(run, cache=tmp_path / "cache")["robustness"]["noise"]
    assert again == rows


def test_one_noise_or_a_list_and_back(corpus: Path) -> None:
    recipe = recipe_of(corpus)
    assert [n.kind for n in recipe.augment.noise["text"]] == ["typo"]
    assert parse_recipe(dump_recipe(recipe)) == recipe
    with pytest.raises(ConfigError, match=r"recipe:\d+ evaluate\.noise\.imu\.0\.level: there is no such key.*levels"):
        recipe_of(corpus, "evaluate: {noise: {imu: {kind: white, level: [1]}}}")


@pytest.mark.parametrize(
    ("noise", "said"),
    [
        ("augment: {noise: {film: {kind: blurr, levels: [1]}}}", r"augment\.noise\.film\.kind: .*Did you mean 'blur'"),
        (
            "evaluate: {noise: {film: {kind: occlusion, levels: [2]}}}",
            "level 2.0; expected a finite number from 0 to 1",
        ),
        ("evaluate: {noise: {imu: {kind: blur, levels: [2]}}}", "is for frames, but the stream is series"),
        (
            "augment: {noise: {imu: [{kind: white, levels: [1]}, {kind: pink, levels: [1]}]}}",
            r"augment\.noise\.imu: probabilities add up to 1\.6",
        ),
    ],
)
def test_wrong_noise_is_found_before_anything_is_trained(corpus: Path, noise: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Experiment.of(recipe_of(corpus, noise), Corpus(corpus))


def test_copies_stand_in_as_often_as_their_shares_say(corpus: Path, tmp_path: Path) -> None:
    experiment = Experiment.of(recipe_of(corpus), Corpus(corpus))
    store = Store(tmp_path)
    features = experiment.prepare(store)
    items = experiment.items.items
    noisy = noisy_sources(experiment, store, [i.recording for i in items])
    assert [(share, len(copies)) for share, copies in noisy["film"]] == [(0.3, 1), (0.4, 2)]
    sources = [copy for _, copies in noisy["film"] for copy in copies]
    assert len({(str(s.kind), s.seed) for s in sources}) == 3
    data = ItemData(items[:1], features, Asked(torch.zeros(1)), ["film"], noisy={"film": noisy["film"]})
    clean = features.get(items[0].recording, "film")[0]
    variants = [clean, *(s.get(items[0].recording, "film")[0] for s in sources)]  # type: ignore[index]
    counts = np.zeros(4)
    for epoch in range(1500):
        data.epoch = lambda epoch=epoch: epoch  # type: ignore[misc]
        tokens = data.batch([0], {"film": clean.shape[1]}).inputs
        rows: Any = tokens["film"].values[0].numpy()
        counts[next(i for i, v in enumerate(variants) if np.array_equal(v, rows))] += 1
    np.testing.assert_allclose(counts / 1500, [0.3, 0.3, 0.2, 0.2], atol=0.05)


def test_the_tag_of_the_old_kinds_has_not_changed(corpus: Path, tmp_path: Path) -> None:
    """So that what was prepared before is found again."""
    experiment = Experiment.of(recipe_of(corpus, ""), Corpus(corpus))
    source = NoisyFeatures(experiment, Store(tmp_path), "imu", "white", (0.0, 5.0), ("r00", "r01"), seed=0)
    tag = source._tag("r00", source._interferers("r00", "imu"))
    assert tag == {"noise": "white", "levels": [0.0, 5.0], "seed": 0, "recording": "r00", "voices": ["r01"]}
