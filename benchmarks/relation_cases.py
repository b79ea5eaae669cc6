"""The data of the relations' benchmark: VRD as a corpus, and generated scenes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plait.corpus.corpus import (
    AnnotationEntry,
    CorpusWriter,
    RecordingEntry,
    StreamEntry,
    write_manifest,
)
from plait.streams.objects import object_text
from plait.streams.recording import Annotation
from plait.streams.stream import Stream

__all__ = ["Picture", "coco_corpus", "given_corpus", "pictures_of", "vrd_corpus"]

SECOND = 1.0
"""A picture lasts a second."""


class Picture:
    """An annotated picture of VRD: objects without duplicates, and the predicates of each annotated pair."""

    def __init__(self, name: str, triples: Sequence[Mapping[str, Any]]) -> None:
        self.name = name
        objects: dict[tuple[int, ...], int] = {}
        pairs: dict[tuple[int, int], list[int]] = {}
        for triple in triples:
            one, two = (objects.setdefault(_key(triple[side]), len(objects)) for side in ("subject", "object"))
            found = pairs.setdefault((one, two), [])
            if triple["predicate"] not in found:
                found.append(triple["predicate"])
        table = np.array(list(objects), np.int64).reshape(-1, 5)
        self.classes, self.boxes, self.pairs = table[:, 0], table[:, 1:].astype(np.float64), pairs


def _key(side: Mapping[str, Any]) -> tuple[int, ...]:
    top, bottom, left, right = side["bbox"]
    return side["category"], left, top, right, bottom


def pictures_of(data: Path, side: str) -> list[Picture]:
    """The pictures with relations of ``train`` or ``test``."""
    found = json.loads((data / f"vrd_{side}" / f"annotations_{side}.json").read_text())
    return [Picture(name, triples) for name, triples in found.items() if triples]


def vrd_corpus(data: Path, folder: Path) -> tuple[Path, dict[str, int]]:
    """Write VRD as a corpus with its official sides, one recording a picture; the manifest, and counts of what was left
    out: boxes without area, with their relations."""
    names, predicates = (json.loads((data / "vrd_test" / f"{w}.json").read_text()) for w in ("objects", "predicates"))
    dropped = {"boxes without area": 0, "relations of such boxes": 0}
    with CorpusWriter(folder) as corpus:
        for side in ("train", "test"):
            for picture in pictures_of(data, side):
                boxes = picture.boxes
                good = ((boxes[:, 2:] - boxes[:, :2]) > 0).all(1)
                dropped["boxes without area"] += int((~good).sum())
                notes = []
                for (one, two), kinds in picture.pairs.items():
                    if not good[one] or not good[two]:
                        dropped["relations of such boxes"] += len(kinds)
                    else:
                        notes += [Annotation(0.0, SECOND, f"{one} {predicates[k]} {two}", "relations") for k in kinds]
                rows = [i for i in range(len(good)) if good[i]]
                texts = [object_text(names[picture.classes[i]], _corner_and_size(boxes[i]), id=i) for i in rows]
                stream = Stream.of(np.array(texts, object), spans=([0.0] * len(rows), [SECOND] * len(rows)))
                corpus.add(f"{side}/{picture.name}", {"objects": stream}, annotations=notes, split=side)
    return folder / "manifest.jsonl", dropped


def _corner_and_size(box: NDArray[np.float64]) -> list[int]:
    left, top, right, bottom = (int(x) for x in box)
    return [left, top, right - left, bottom - top]


SIZE, FRAMES, RATE = (640.0, 480.0), 16, 8
"""Pixels of a generated picture; frames of a scene, and frames per second."""

THINGS = ("ball", "cup", "book")


def given_corpus(folder: Path, counts: Mapping[str, int], seed: int = 0) -> Path:
    """Generated scenes of four people and three things that move: one gives one of them to another.

    Beside it, one person puts a thing down and another picks one up, at times of their own; so who had a thing and has
    it no longer has not always given it. People look alike: only the movement tells who is who.
    """
    rng = np.random.default_rng(seed)
    with CorpusWriter(folder) as corpus:
        for side, count in counts.items():
            for i in range(count):
                texts, relations = _given(rng)
                when = np.repeat(np.arange(FRAMES) / RATE, len(texts) // FRAMES)
                notes = [Annotation(0.0, FRAMES / RATE, label, "relations") for label in relations]
                stream = Stream.of(np.array(texts, object), spans=(when, when + 1 / RATE))
                corpus.add(f"{side}{i:04d}", {"objects": stream}, annotations=notes, split=side)
    return folder / "manifest.jsonl"


def _given(rng: np.random.Generator) -> tuple[list[str], list[str]]:
    """The objects' texts, frame by frame, and the relations of one scene."""
    people, things = rng.permutation(4), rng.permutation(3)
    hands = _walks(rng)
    held = np.full((FRAMES, 3), -1)
    moments = rng.integers(5, FRAMES - 5, 3)
    giver, receiver, other, last = people
    held[:, things[0]] = np.where(np.arange(FRAMES) < moments[0], giver, receiver)
    held[:, things[1]] = np.where(np.arange(FRAMES) < moments[1], other, -1)
    held[:, things[2]] = np.where(np.arange(FRAMES) < moments[2], -1, last)
    _meet(hands, giver, receiver, moments[0])
    spots = _spots(hands, held)
    texts = []
    order = rng.permutation(7)  # the place of an object in the list says nothing
    for frame in range(FRAMES):
        boxes = [*(_box(x, y, 60, 150) for x, y in hands[frame]), *(_box(x, y, 24, 24) for x, y in spots[frame])]
        kinds = ["person"] * 4 + list(THINGS)
        texts += [object_text(kinds[k], boxes[k], id=f"o{k}", picture=SIZE) for k in order]
    return texts, [f"o{giver} give o{4 + things[0]}", f"o{4 + things[0]} to o{receiver}"]


def _walks(rng: np.random.Generator) -> NDArray[np.float64]:
    """Where four people are, [frames, people, 2], apart from each other."""
    lanes = np.stack([80 + 160 * rng.permutation(4), rng.uniform(120, 360, 4)], 1)
    drift = rng.uniform(-30, 30, (4, 2))
    time = np.linspace(-0.5, 0.5, FRAMES)[:, None, None]
    return np.asarray(lanes + time * drift + rng.normal(0, 2, (FRAMES, 4, 2)))


def _meet(hands: NDArray[np.float64], one: int, two: int, moment: int) -> None:
    """Let two people walk to each other until a moment, and then back."""
    near = np.exp(-(((np.arange(FRAMES) - moment) / 3.0) ** 2))[:, None]
    middle = (hands[:, one] + hands[:, two]) / 2
    side = np.sign(hands[moment, one, 0] - hands[moment, two, 0]) * np.array([35.0, 0.0])
    hands[:, one] += near * (middle + side - hands[:, one])
    hands[:, two] += near * (middle - side - hands[:, two])


def _spots(hands: NDArray[np.float64], held: NDArray[np.int64]) -> NDArray[np.float64]:
    """Where things are, [frames, things, 2]: in a hand, or where they were put down, or will be picked up."""
    spots = np.zeros((FRAMES, 3, 2))
    for thing in range(3):
        own = held[:, thing]
        for frame in range(FRAMES):
            if own[frame] >= 0:
                spots[frame, thing] = hands[frame, own[frame]] + [0.0, 20.0]
        free = np.flatnonzero(own < 0)
        if len(free):
            edge = free[0] - 1 if free[0] else free[-1] + 1
            spots[free, thing] = spots[edge, thing] + [0.0, 90.0]
    return spots


def _box(x: float, y: float, width: float, height: float) -> list[float]:
    """A box around a point, within the picture."""
    left, top = (min(max(c - s / 2, 0.0), e - s) for c, s, e in zip((x, y), (width, height), SIZE))
    return [round(left, 1), round(top, 1), width, height]


PARTS = {"hand at": ("left_wrist", "right_wrist"), "foot at": ("left_ankle", "right_ankle"),
         "seat at": ("left_hip", "right_hip")}  # fmt: skip


def coco_corpus(data: Path, folder: Path) -> Path:
    """COCO's small part as a corpus: people with their keypoints, other objects, and relations between them by a rule.

    A recording a side, a second a picture; the keypoints are read from COCO's own file. A person has a hand, a foot or
    the seat at an object if such a point lies in its box, the first of these that does; else ``next to`` if the boxes
    overlap.
    """
    entries = [_coco_side(data / "coco_mini" / "annotations", side) for side in ("train", "val")]
    write_manifest(folder / "manifest.jsonl", entries)
    return folder / "manifest.jsonl"


def _coco_side(folder: Path, side: str) -> RecordingEntry:
    file = folder / f"person_keypoints_{side}2017.json"
    people, every = (json.loads(f.read_text()) for f in (file, folder / f"instances_{side}2017.json"))
    kinds = {c["id"]: c["name"] for c in every["categories"]}
    names = people["categories"][0]["keypoints"]
    texts: list[str] = []
    spans: list[tuple[float, float]] = []
    notes: list[AnnotationEntry] = []
    for second, image in enumerate(people["images"]):
        own = [a for a in people["annotations"] if a["image_id"] == image["id"] and a.get("keypoints")]
        rest = [a for a in every["annotations"] if a["image_id"] == image["id"] and kinds[a["category_id"]] != "person"]
        objects = [a for a in (*own, *rest) if min(a["bbox"][2:]) > 0]
        size = image["width"], image["height"]
        texts += [object_text(kinds[a["category_id"]], a["bbox"], id=i, picture=size) for i, a in enumerate(objects)]
        spans += [(second, second)] * len(objects)
        told = [(i, _rule(a, b, names), j) for i, a in enumerate(own) for j, b in enumerate(objects) if j >= len(own)]
        labels = [f"{i} {word} {j}" for i, word, j in told if word]
        notes += [AnnotationEntry(start=second, stop=second + 1, label=x, tier="relations") for x in labels]
        if labels:
            notes.append(AnnotationEntry(start=second, stop=second + 1, label="picture", tier="pictures"))
    pose = StreamEntry(path=str(file), reader="keypoints", options={"person": "all", "rate": 1, "least": 1})
    streams = {"objects": StreamEntry(texts=texts, spans=spans), "pose": pose}
    return RecordingEntry(id=side, streams=streams, annotations=notes, split="train" if side == "train" else "test")


def _rule(person: Mapping[str, Any], thing: Mapping[str, Any], names: Sequence[str]) -> str:
    points = dict(zip(names, np.reshape(person["keypoints"], (-1, 3)).tolist()))
    left, top, width, height = thing["bbox"]
    for word, joints in PARTS.items():
        for x, y, seen in (points[j] for j in joints):
            if seen and left <= x <= left + width and top <= y <= top + height:
                return word
    x, y, w, h = person["bbox"]
    apart = x > left + width or left > x + w or y > top + height or top > y + h
    return "" if apart else "next to"
