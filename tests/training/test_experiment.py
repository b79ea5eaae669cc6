from __future__ import annotations

from pathlib import Path

import numpy as np

from plait.cli import main
from plait.corpus.corpus import Corpus, CorpusWriter
from plait.recipe import parse_recipe
from plait.streams.stream import Stream
from plait.training.experiment import Experiment


def rare(folder: Path) -> Path:
    """Forty recordings of one stream; the first has another one too."""
    with CorpusWriter(folder) as out:
        for i in range(40):
            streams = {"imu": Stream.of(np.random.default_rng(i).normal(0, 1, (10, 2)), rate=10)}
            if i == 0:
                streams["stray"] = Stream.of(np.zeros((5, 1)), rate=5)
            out.add(f"r{i:02d}", streams, labels={"y": "ab"[i % 2]}, group=f"g{i % 5}")
    return folder / "manifest.jsonl"


def test_a_stream_that_one_recording_in_forty_has_is_no_modality(tmp_path: Path) -> None:
    corpus = Corpus(rare(tmp_path))
    text = f"{{corpus: {corpus.path}, task: {{name: classify, target: y}}"
    found = Experiment.of(parse_recipe(text + "}"), corpus)
    assert found.modalities == ["imu"]
    assert found.notes == [
        "stream 'stray': only 1 of 40 recordings have it (min_coverage: 0.1); it is no modality. Name it under "
        "streams: if it is to be one."
    ]
    asked = Experiment.of(parse_recipe(text + ", streams: {imu: , stray: }}"), corpus)
    assert (asked.modalities, asked.notes) == (["imu", "stray"], [])
    assert Experiment.of(parse_recipe(text + ", min_coverage: 0}"), corpus).modalities == ["imu", "stray"]


def test_fit_says_so(tmp_path: Path, capsys) -> None:
    recipe = tmp_path / "r.yaml"
    recipe.write_text(f"corpus: {rare(tmp_path)}\ntask: {{name: classify, target: y}}\nmodel: {{dim: 8}}\n")
    words = ["fit", str(recipe), "train.epochs=1", "train.temperature_scaling=false", "--out", str(tmp_path / "run")]
    assert main([*words, "--cache", str(tmp_path / "cache")]) == 0
    assert "stream 'stray': only 1 of 40 recordings" in capsys.readouterr().out
