"""A small trained model, and a server of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from plait.corpus.corpus import CorpusWriter
from plait.prediction.predict import Predictor
from plait.recipe import parse_recipe
from plait.streams.recording import Annotation
from plait.training.fit import fit
from tests.serving.world import client, recorded


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("served")
    with CorpusWriter(folder) as out:
        for i in range(6):
            out.add(f"r{i}", recorded(i), annotations=[Annotation(0, 4, "ab"[i % 2], "state")], group=f"g{i}")
    text = f"""
        corpus: {folder}/manifest.jsonl
        model: {{dim: 8}}
        causal: true
        train: {{steps: 6}}
        task: {{name: classify, unit: window, tier: state, length: 1}}
        streams: {{wrist: {{feature: series}}, chest: {{feature: series}}}}
    """
    fit(parse_recipe(text), folder / "run", cache=folder / "cache", quiet=True)
    return folder / "run"


@pytest.fixture(scope="session")
def predictor(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    return Predictor(run, cache=tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def http(run: Path) -> Iterator[Any]:
    with client([f"state={run}"]) as found:
        yield found
