"""What misuse is tried on: a corpus, raw files, recipes, a finished run, and the commands that read them."""

from __future__ import annotations

from contextlib import chdir
from pathlib import Path

import numpy as np

from plait.cli import main
from plait.corpus.corpus import CorpusWriter
from plait.streams.recording import Annotation
from plait.streams.stream import Stream

RECIPES = {
    "plain": """\
corpus: corpus/manifest.jsonl
task: {name: classify, target: kind, smoothing: 0.1}
split: {hash: group, test: 0.25, valid: 0.2}
streams: {imu: , said: {feature: {name: hashed_text, dim: 16}}}
model: {dim: 8}
train: {epochs: 1, batch: 8, seeds: [0]}
evaluate: {missing: [0.0, 0.5]}
""",
    "parts": """\
corpus: corpus/manifest.jsonl
task: {name: regress, target: score, loss: huber}
split: {folds: 2, by: group, valid: 0.2}
streams:
  imu:
    preprocess: [{name: hampel, window: 0.5}]
    feature: {name: series, rate: 10, how: mean, differences: true}
    encoder: [{name: conv, strides: [2], kernel: 5}, {name: transformer, layers: 1, heads: 2}]
    rate: 8
    normalization: centre
  voice: {stream: mic, feature: {name: log_mel, mels: 8, hop: 0.05, window: 0.1, rate: 2000}, normalization_groups: all}
fusion: {name: bottleneck, tokens: 2, layers: 1, heads: 2}
model: {dim: 8, missing: token, unimodal_weight: 0.5}
augment:
  crop_resize: 0.1
  gaussian_noise: 0.1
  modality_dropout: [0.0, 0.3]
  noise: {imu: {kind: white, levels: [5, 10], copies: 1}}
train: {steps: 4, batch: 8, lr: 0.001, seeds: [0], stop: early, patience: 2, modality_distillation: 0.5}
evaluate: {noise: {imu: [{kind: dropout, levels: [0.2]}]}, missing: [0.0]}
""",
    "windows": """\
corpus: corpus/manifest.jsonl
task: {name: classify, unit: window, tier: act, length: 1.0, hop: 0.5, pad: 0.25, coverage: 0.3}
split: {by: manifest}
streams: {imu: , said: {feature: {name: hashed_text, dim: 16}}}
fusion: late
model: {dim: 8}
train: {epochs: 1, batch: 8}
evaluate: {missing: []}
""",
    "raw": """\
corpus: {folder: raw, import: {match: '(?P<id>[^_/.]+)_(?P<stream>[a-z]+)', streams: {imu: {rate: 20, offset: 0.1}}}}
task: {name: classify, target: kind}
split: {by: id, train: [r0, r1, r2, r3], test: [r4, r5]}
streams: {imu: }
model: {dim: 8}
train: {epochs: 1, batch: 8}
evaluate: {missing: []}
""",
}

OPTIONS = """\
match: ['(?P<id>[^_/.]+)_(?P<stream>[a-z]+)']
streams: {imu: {rate: 20, offset: 0.5, rename: watch}}
labels: {file: labels.csv, id: id}
skip: ['*.bak']
"""

COMMANDS: tuple[tuple[str, ...], ...] = (
    ("show", "plain.yaml"),
    ("show", "parts.yaml"),
    ("show", "windows.yaml"),
    ("check", "plain.yaml"),
    ("check", "windows.yaml"),
    ("check", "corpus/manifest.jsonl", "--deep"),
    ("check", "corpus/manifest.jsonl", "--signals"),
    ("prepare", "plain.yaml", "--out", "new", "--cache", "cache"),
    ("prepare", "parts.yaml", "--out", "new", "--cache", "cache", "--jobs", "1"),
    ("fit", "plain.yaml", "--out", "new", "--cache", "cache"),
    ("fit", "parts.yaml", "--out", "new", "--cache", "cache"),
    ("fit", "windows.yaml", "--out", "new", "--cache", "cache"),
    ("fit", "raw.yaml", "--out", "new", "--cache", "cache"),
    ("fit", "plain.yaml", "train.epochs=1", "model.dim=4", "--out", "new", "--cache", "cache"),
    ("fit", "plain.yaml", "--out", "run", "--cache", "cache"),
    ("evaluate", "run", "--cache", "cache"),
    ("evaluate", "run", "--cache", "cache", "--corpus", "corpus/manifest.jsonl", "--out", "elsewhere"),
    ("predict", "run", "corpus/manifest.jsonl", "--cache", "cache"),
    ("predict", "run", "raw/r0_imu.csv", "--cache", "cache", "--replicate", "seed0"),
    ("predict", "run", "corpus/manifest.jsonl", "--cache", "cache", "--segment", "0", "1.5"),
    ("import", "raw", "--out", "m.jsonl", "--options", "options.yaml"),
    ("import", "raw", "--out", "m.jsonl", "--overwrite"),
    ("sync", "corpus/manifest.jsonl", "--out", "corpus/s.jsonl", "--reference", "imu"),
    (
        "align",
        "corpus/manifest.jsonl",
        "--on",
        "said",
        "--out",
        "tables",
        "--cache",
        "cache",
        "--how",
        "imu=linear",
        "--streams",
        "imu",
        "--streams",
        "imu",
    ),
    (
        "align",
        "corpus/manifest.jsonl",
        "--grid",
        "10",
        "--out",
        "tables",
        "--cache",
        "cache",
        "--streams",
        "imu",
        "--max-gap",
        "0.5",
    ),
    ("segment", "corpus/manifest.jsonl", "--speech", "mic", "--out", "corpus/g.jsonl", "--least", "0.3"),
    (
        "export",
        "corpus/manifest.jsonl",
        "--to",
        "{name: webdataset, per_shard: 4}",
        "--feature",
        "mic={name: log_mel, rate: 4000, mels: 8}",
        "--out",
        "shards",
        "--cache",
        "cache",
    ),
    (
        "export",
        "corpus/manifest.jsonl",
        "--to",
        "textgrid",
        "--out",
        "grids",
        "--cache",
        "cache",
        "--feature",
        "imu=series",
    ),
    ("list", "fusions", "--json"),
)


def make_material(folder: Path) -> None:
    """Write all of it into a folder; a run is trained there, in some seconds."""
    _corpus(folder / "corpus")
    _raw(folder / "raw")
    for name, text in RECIPES.items():
        (folder / f"{name}.yaml").write_text(text)
    (folder / "options.yaml").write_text(OPTIONS)
    with chdir(folder):  # named as the commands name it: the same recipe
        failed = main(["fit", "plain.yaml", "--out", "run", "--cache", "cache", "--json"])
    if failed:
        raise RuntimeError("the run that misuse is tried on could not be trained")


def _corpus(folder: Path) -> None:
    rng = np.random.default_rng(0)
    with CorpusWriter(folder) as out:
        for i in range(12):
            kind = "ab"[i % 2]
            wave = np.sin(np.arange(12_000) * (0.1 + 0.1 * (i % 2)))[:, None].astype(np.float32)
            wave[:4000] *= 0.001  # a pause, so that there is speech to find
            out.add(
                f"r{i}",
                {
                    "imu": Stream.of(rng.normal(i % 2, 0.5, (60, 3)), rate=20),
                    "mic": Stream.of(
                        wave + rng.normal(0, 0.0001, (12_000, 1)).astype(np.float32), rate=4000, kind="waveform"
                    ),
                    "said": Stream.of(np.array(["so", kind * 3], object), spans=([0.2, 1.5], [1.0, 2.5])),
                },
                labels={"kind": kind, "score": float(i % 5)},
                annotations=[Annotation(0, 1.5, "x", "act"), Annotation(1.5, 3, kind, "act")],
                meta={"age": 20 + i},
                group=f"g{i // 2}",
                split=("train", "train", "test")[i // 2 % 3],
            )


def _raw(folder: Path) -> None:
    folder.mkdir()
    rng = np.random.default_rng(1)
    for i in range(6):
        rows = "\n".join(f"{t / 20:.2f},{x:.3f},{y:.3f}" for t, (x, y) in enumerate(rng.normal(i % 2, 0.5, (60, 2))))
        (folder / f"r{i}_imu.csv").write_text(f"time,x,y\n{rows}\n")
        (folder / f"r{i}_said.srt").write_text("1\n00:00:00,000 --> 00:00:01,000\nso it goes\n")
    labels = "\n".join(f"r{i},{'ab'[i % 2]}" for i in range(6))
    (folder / "labels.csv").write_text(f"id,kind\n{labels}\n")
