"""One small world for the tasks of all kinds, in which it is known which stream tells, and when."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from plait.corpus.corpus import CorpusWriter
from plait.recipe import Recipe, parse_recipe
from plait.streams.objects import object_text
from plait.streams.recording import Annotation
from plait.streams.stream import Stream

__all__ = ["TASKS", "recipe_of", "write_world"]

KINDS = ["rises", "falls", "turns"]

SENSOR = "sensor: {encoder: {name: linear, dropout: 0}}"
IDLE = "idle: {encoder: {name: linear, dropout: 0}}"

OBJECTS = "objects: {feature: {name: object_rows, codes: 16}, encoder: linear}"

TASKS = {
    "classify": ("name: classify, target: kind", [SENSOR, IDLE]),
    "regress": ("name: regress, target: score", [SENSOR, IDLE]),
    "multi": ("name: multi, tasks: {kind: classify, score: regress}", [SENSOR, IDLE]),
    "tag": ("name: tag, target: move, rate: 4, background: none", [SENSOR, IDLE]),
    "tag_several": ("name: tag, target: move, rate: 4, several: true", [SENSOR, IDLE]),
    "transcribe": ("name: transcribe, target: said, rate: 5, beam: 1", [SENSOR, IDLE]),
    "caption": ("name: caption, target: caption, least: 1, width: 16, layers: 1, beam: 1", [SENSOR, IDLE]),
    "unify": ("name: unify, target: kind, evidence: none, context_length: 64, language: {language}", [SENSOR, IDLE]),
    "forecast": (
        "name: forecast, target: load, horizon: 0.5, every: 0.25, unit: window, length: 2, hop: 1",
        ["load: {encoder: linear}", SENSOR],
    ),
    "relate": ("name: relate, unit: recording, target: relations, hidden: 16, messages: 0", [OBJECTS]),
    "retrieve": (
        "name: retrieve, query: [sensor], gallery: [twin], projection_dim: 8",
        [SENSOR, "twin: {encoder: linear}"],
    ),
}


def write_world(folder: Path, count: int = 24) -> Path:
    """Recordings of four seconds, half of them for training.

    In one second ``sensor`` is up in one of three channels, and ``twin`` too; ``idle`` is noise; ``load`` is a wave;
    of two ``objects`` one is left of the other.
    """
    rng = np.random.default_rng(0)
    with CorpusWriter(folder) as out:
        for i in range(count):
            kind, start = int(rng.integers(3)), float(rng.choice([0.5, 1.0, 1.5, 2.0, 2.5]))
            name = KINDS[kind]
            left = rng.permutation([10, 150]) + rng.integers(0, 40, 2)
            word = "left of" if left[0] < left[1] else "right of"
            texts = [object_text(k, (int(x), 50, 30, 30), picture=(300, 200)) for k, x in zip(("cup", "dish"), left)]
            streams = {
                "sensor": Stream.of(_raised(rng, kind, start, 10), rate=10),
                "twin": Stream.of(_raised(rng, kind, start, 5), rate=5),
                "idle": Stream.of(rng.normal(size=(20, 2)).astype(np.float32), rate=5),
                "load": Stream.of(np.sin(np.arange(40) / 3 + i)[:, None].astype(np.float32), rate=10),
                "objects": Stream.of(np.array(texts, object), spans=([0.0] * 2, [4.0] * 2)),
            }
            notes = [
                Annotation(start, start + 1.0, name, "move"),
                Annotation(start, start + 1.0, name, "said"),
                Annotation(0.0, 4.0, f"it {name} here", "caption"),
                Annotation(0.0, 4.0, f"0 {word} 1", "relations"),
            ]
            told = {"kind": name, "score": float(kind)}
            split = "test" if i // 2 % 2 else "train"
            out.add(f"r{i:02}", streams, annotations=notes, labels=told, group=f"g{i // 2}", split=split)
    return folder / "manifest.jsonl"


def _raised(rng: np.random.Generator, kind: int, start: float, rate: int) -> np.ndarray:
    values = 0.3 * rng.normal(size=(4 * rate, 3))
    values[round(start * rate) : round((start + 1) * rate), kind] += 2
    return values.astype(np.float32)


def recipe_of(name: str, corpus: Path, *, epochs: int = 2, language: str = "", dim: int = 16) -> Recipe:
    """The recipe of one of `TASKS` on the world."""
    task, streams = TASKS[name]
    fusion = {"retrieve": "late", "relate": "late", "unify": "sequence"}.get(name, "concat")
    told = "\n".join(f"  {own}" for own in streams)
    if name == "unify":
        told = told.replace("name: linear, dropout: 0", "name: projector")
    return parse_recipe(
        f"corpus: {corpus}\ntask: {{{task.replace('{language}', language)}}}\nsplit: {{by: manifest}}\n"
        f"streams:\n{told}\nfusion: {fusion}\nmodel: {{dim: {dim}}}\n"
        "augment: {crop_resize: 0}\n"
        f"train: {{epochs: {epochs}, batch: 8, lr: 0.01, seeds: [0], threads: 1, wide: false}}\n"
        "evaluate: {missing: [0.0]}\n"
    )
