"""Shared by all tests: one torch thread, real data where there is some, shapes checked under pytest."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


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
    import numpy as np

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
