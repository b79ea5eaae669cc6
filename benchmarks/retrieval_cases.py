"""Generated worlds for `retrieval.py`: scenes of objects in a row, and four streams that each tell a part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from plait.corpus.corpus import CorpusWriter
from plait.recipe import Recipe, parse_recipe
from plait.streams.stream import Stream

__all__ = [
    "LONG",
    "PARTS",
    "TOLD",
    "albef",
    "best_possible",
    "clip",
    "four_streams",
    "moments",
    "of_moments",
    "scenes",
    "world",
]

KINDS = ("square", "circle", "star", "heart", "moon", "arrow", "cross", "drop")
IN_A_ROW = 3
VALUES = 6
"""Values of each of the three attributes of the world of four streams."""

TOLD: Mapping[str, Sequence[int]] = {"words": (0, 1), "sound": (1, 2), "sensor": (0, 1), "film": (1, 2)}
"""Which attributes each stream tells."""

PARTS = {"train": 700, "valid": 100, "test": 200}


def scenes(folder: Path, *, train: int = 700, pairs: int = 100, seed: int = 0) -> Path:
    """Pictures of three objects in a row, with the sentence that names them from left to right.

    Each test scene comes twice: with its objects in one order, and in another.
    """
    rng = np.random.default_rng(seed)
    with CorpusWriter(folder) as out:
        for i in range(train + 100):
            _scene(out, f"s{i:04d}", rng.permutation(len(KINDS))[:IN_A_ROW], rng, "train" if i < train else "valid")
        for i in range(pairs):
            row = rng.permutation(len(KINDS))[:IN_A_ROW]
            other = row
            while (other == row).all():
                other = rng.permutation(row)
            _scene(out, f"p{i:04d}a", row, rng, "test")
            _scene(out, f"p{i:04d}b", other, rng, "test")
    return folder / "manifest.jsonl"


def _scene(out: CorpusWriter, name: str, row: NDArray[np.int64], rng: np.random.Generator, split: str) -> None:
    strips = np.eye(len(KINDS))[row] + 0.3 * rng.standard_normal((IN_A_ROW, len(KINDS)))
    words = [KINDS[k] for k in row]
    at = np.arange(IN_A_ROW)
    out.add(
        name,
        {"picture": Stream.of(strips, rate=1), "words": Stream.of(words, spans=(at, at + 1.0))},
        split=split,
    )


SCENES = """
corpus: {manifest}
task: {{name: retrieve, query: [words], gallery: [picture], projection_dim: 32, dropout: 0.0{more}}}
split: {{by: manifest}}
streams:
  picture: {{feature: series, encoder: linear}}
  words: {{feature: {{name: hashed_text, dim: 64, letters: 0}}, encoder: linear}}
fusion: late
model: {{dim: 32}}
augment: {{crop_resize: 0, gaussian_noise: 0.1, modality_dropout: 0}}
train: {{epochs: {epochs}, batch: 64, lr: 0.003, weight_decay: 0.01, seeds: {seeds}}}
evaluate: {{missing: [0.0]}}
"""


def clip(manifest: Path, epochs: int, seeds: Sequence[int]) -> Recipe:
    """Dual encoders with a contrast alone."""
    return parse_recipe(SCENES.format(manifest=manifest, more="", epochs=epochs, seeds=list(seeds)))


def albef(manifest: Path, epochs: int, seeds: Sequence[int]) -> Recipe:
    """The same with matching, masked tokens and momentum distillation."""
    more = ", matching: 1.0, masked: 0.5, momentum: 0.99, distillation: 0.4, layers: 2"
    return parse_recipe(SCENES.format(manifest=manifest, more=more, epochs=epochs, seeds=list(seeds)))


def four_streams(folder: Path, *, seed: int = 0) -> Path:
    """Recordings with three attributes. Two words and a sound ask; a sensor and a film are searched."""
    rng = np.random.default_rng(seed)
    tables = {name: rng.standard_normal((3, VALUES, 6)) for name in TOLD}
    with CorpusWriter(folder) as out:
        for split, count in PARTS.items():
            for i in range(count):
                values = rng.integers(0, VALUES, 3)
                numbers = {m: _told(tables[m], TOLD[m], values, rng) for m in ("sound", "sensor", "film")}
                words = [f"{'abc'[k]}{values[k]}" for k in TOLD["words"]]
                streams = {m: Stream.of(x, rate=rate) for (m, x), rate in zip(numbers.items(), (5, 10, 4))}
                streams["words"] = Stream.of(words, spans=([0.0, 1.0], [1.0, 2.0]))
                told = {"abc"[k]: int(v) for k, v in enumerate(values)}
                out.add(f"{split}{i:04d}", streams, labels=told, split=split)
    return folder / "manifest.jsonl"


def _told(
    table: NDArray[np.float64], which: Sequence[int], values: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.float64]:
    mean = np.sum([table[k, values[k]] for k in which], 0)
    return np.asarray(mean + 0.5 * rng.standard_normal((10, len(mean))))


def world(manifest: Path, epochs: int, seeds: Sequence[int]) -> Recipe:
    """Words and sound ask, sensor and film are searched."""
    return parse_recipe(f"""
corpus: {manifest}
task: {{name: retrieve, query: [words, sound], gallery: [sensor, film], projection_dim: 64, hidden: 64}}
split: {{by: manifest}}
streams:
  words: {{feature: {{name: hashed_text, dim: 64, letters: 0}}, encoder: linear}}
  sound: {{feature: series, encoder: linear}}
  sensor: {{feature: series, encoder: linear}}
  film: {{feature: series, encoder: linear}}
fusion: late
model: {{dim: 64}}
augment: {{crop_resize: 0, gaussian_noise: 0.2, modality_dropout: 0}}
train: {{epochs: {epochs}, batch: 64, lr: 0.003, seeds: {list(seeds)}}}
evaluate: {{missing: [0.0]}}
""")


def best_possible(
    labels: NDArray[np.int64], asked: set[int], searched: set[int], first: int = 1
) -> float:  # recall of someone who knows every attribute that both sides tell
    """Recall at ``first`` that is possible: of the rows that agree in what both sides tell, any may be the right one.

    Args:
        labels: attributes of the test recordings, [recordings, 3].
        asked, searched: the attributes that the query tells, and the rows of the index.
        first: how many rows count.
    """
    both = sorted(asked & searched)
    same = (labels[:, None, both] == labels[None, :, both]).all(-1).sum(1)
    return float(np.minimum(first / same, 1.0).mean())


LONG = 3.0
"""Seconds of an action."""

ACTIONS = ("clap", "wave", "jump", "turn", "kick", "sit", "throw", "bow")


def moments(folder: Path, *, seed: int = 0) -> Path:
    """Sensors of twelve seconds in which one action takes three, and a word that names it."""
    rng = np.random.default_rng(seed)
    shapes = rng.standard_normal((len(ACTIONS), 6))
    with CorpusWriter(folder) as out:
        for split, count in {"train": 300, "valid": 40, "test": 80}.items():
            for i in range(count):
                action, start = int(rng.integers(len(ACTIONS))), int(rng.integers(0, 37))
                values = 0.5 * rng.standard_normal((48, 6))
                values[start : start + 12] += shapes[action]
                words = Stream.of([ACTIONS[action]], spans=([0.0], [12.0]))
                streams = {"sensor": Stream.of(values, rate=4), "word": words}
                out.add(f"{split}{i:03d}", streams, labels={"start": start / 4}, split=split)
    return folder / "manifest.jsonl"


def of_moments(manifest: Path, epochs: int) -> Recipe:
    """A word asks for a sensor."""
    return parse_recipe(f"""
corpus: {manifest}
task: {{name: retrieve, query: [word], gallery: [sensor], projection_dim: 16}}
split: {{by: manifest}}
streams:
  word: {{feature: {{name: hashed_text, dim: 64, letters: 0}}, encoder: linear}}
  sensor: {{feature: series, encoder: {{name: conv, strides: [1], kernel: 5}}}}
fusion: late
model: {{dim: 32}}
augment: {{crop_resize: 0, gaussian_noise: 0.1, modality_dropout: 0}}
train: {{epochs: {epochs}, batch: 32, lr: 0.003, seeds: [0]}}
evaluate: {{missing: [0.0]}}
""")
