"""Recordings for benchmarks/captions.py: moving shapes with sound, and sequences of actions, each with a text."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from event_cases import RECIPES, Clip, joined
from numpy.typing import NDArray

from plait import load_recipe
from plait.corpus.corpus import CorpusWriter
from plait.streams.recording import Annotation
from plait.streams.stream import Stream
from plait.training.experiment import open_corpus

HEIGHT, WIDTH, FRAMES, FPS, RATE = 32, 40, 8, 4, 4000
"""Of a video of shapes: pixels, pictures, pictures per second, and samples per second of its sound."""

COLOURS = {"red": (230, 40, 40), "green": (40, 200, 60), "blue": (60, 80, 240), "yellow": (235, 220, 50)}
SHAPES = ("circle", "square", "triangle")
WAYS = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}
SOUNDS = {"a low tone sounds": 220.0, "a high tone sounds": 900.0, "all is silent": 0.0}
RADIUS = 4

ACTIONS = [
    "swipes left",
    "swipes right",
    "waves",
    "claps",
    "throws",
    "crosses the arms",
    "shoots a ball",
    "draws a cross",
    "draws a circle",
    "draws a circle backward",
    "draws a triangle",
    "bowls",
    "boxes",
    "swings a bat",
    "swings a racket",
    "curls the arms",
    "serves",
    "pushes",
    "knocks",
    "catches",
    "picks something up",
    "jogs",
    "walks",
    "stands up",
    "sits down",
    "lunges",
    "squats",
]
"""The 27 actions of UTD-MHAD, in its order, in words."""

Box = tuple[float, float, float, float]


def shape(picture: NDArray[np.uint8], kind: str, colour: str, x: float, y: float) -> None:
    """Draw a shape about a point."""
    ink, at = COLOURS[colour], (round(x), round(y))
    if kind == "circle":
        cv2.circle(picture, at, RADIUS, ink, -1)
    elif kind == "square":
        cv2.rectangle(picture, (at[0] - RADIUS, at[1] - RADIUS), (at[0] + RADIUS, at[1] + RADIUS), ink, -1)
    else:
        corners = [(at[0], at[1] - RADIUS), (at[0] - RADIUS, at[1] + RADIUS), (at[0] + RADIUS, at[1] + RADIUS)]
        cv2.fillPoly(picture, [np.array(corners, np.int32)], ink)


def film(rng: np.random.Generator) -> tuple[dict[str, Stream], str, list[Box]]:
    """Two shapes, one of which moves, and a tone or none; the text, and where the one that moves is in each picture."""
    kinds = [str(k) for k in rng.choice(SHAPES, 2)]
    colours = [str(c) for c in rng.choice(list(COLOURS), 2, replace=False)]
    way, sound = str(rng.choice(list(WAYS))), str(rng.choice(list(SOUNDS)))
    step = np.array(WAYS[way]) * 1.4
    room = np.array([WIDTH, HEIGHT]) - 2 * RADIUS - 2
    reach = np.abs(step) * (FRAMES - 1)
    start = RADIUS + 1 + rng.random(2) * (room - reach) + np.where(step < 0, reach, 0)
    track = start + step * np.arange(FRAMES)[:, None]
    other = still_place(rng, track)
    pictures = rng.integers(0, 40, (FRAMES, HEIGHT, WIDTH, 3)).astype(np.uint8)
    for picture, (x, y) in zip(pictures, track):
        shape(picture, kinds[1], colours[1], *other)
        shape(picture, kinds[0], colours[0], x, y)
    boxes = [((x - RADIUS) / WIDTH, (y - RADIUS) / HEIGHT, 2 * RADIUS / WIDTH, 2 * RADIUS / HEIGHT) for x, y in track]
    text = f"a {colours[0]} {kinds[0]} moves {way} and {sound}"
    wave = np.sin(2 * np.pi * SOUNDS[sound] * np.arange(RATE * FRAMES // FPS) / RATE)
    wave = 0.3 * wave + 0.01 * rng.normal(size=len(wave))
    streams = {
        "video": Stream.of(pictures, rate=FPS),
        "sound": Stream.of(wave.astype(np.float32), rate=RATE, kind="waveform"),
    }
    return streams, text, boxes


def still_place(rng: np.random.Generator, track: NDArray[np.float64]) -> tuple[float, float]:
    """A place for the other shape that the moving one does not touch."""
    while True:
        x, y = RADIUS + 1 + rng.random(2) * (np.array([WIDTH, HEIGHT]) - 2 * RADIUS - 2)
        if np.abs(track - (x, y)).max(1).min() > 2 * RADIUS + 1:
            return float(x), float(y)


def make_films(folder: Path, counts: Sequence[tuple[str, int]]) -> dict[str, list[Box]]:
    """A corpus of videos with sound; ``counts``: of each side of the split. Returns where the named shapes are."""
    rng, found = np.random.default_rng(0), dict[str, list[Box]]()
    fresh = not (folder / "manifest.jsonl").exists()
    made = [(f"{side}-{i:04}", side, film(rng)) for side, count in counts for i in range(count)]
    found = {name: boxes for name, _, (_, _, boxes) in made}
    if fresh:
        with CorpusWriter(folder) as out:
            for name, side, (streams, text, _) in made:
                note = Annotation(0.0, FRAMES / FPS, text, "caption")
                out.add(name, streams, annotations=[note], split=side)
    return found


def make_sequences(folder: Path, data: Path, *, again: int = 4) -> None:
    """A corpus of sequences of two or three actions of UTD-MHAD, described in words; each training clip is in ``again``
    of them, each test clip in one. Odd people train, even ones test."""
    if (folder / "manifest.jsonl").exists():
        return
    recipe = load_recipe(RECIPES / "utd_mhad.yaml")
    clips: dict[str, list[Clip]] = {}
    for one in open_corpus(recipe, folder.parent / "clips"):
        pose, sensor = (np.asarray(one.streams[name].read(), np.float64) for name in ("skeleton", "inertial"))
        clips.setdefault(one.group, []).append((ACTIONS[int(one.labels["action"]) - 1], pose, sensor))
    rng = np.random.default_rng(0)
    with CorpusWriter(folder) as out:
        for person, own in sorted(clips.items()):
            train = int(person) % 2 == 1
            for turn in range(again if train else 1):
                order, number, start = rng.permutation(len(own)), itertools.count(), 0
                while start < len(own):
                    size = int(rng.integers(2, 4))
                    # No action twice: each sequence is of different ones.
                    chosen = [own[i] for i in order[start : start + size]]
                    start += size
                    if len(chosen) < 2:
                        continue
                    streams, notes = joined(rng, chosen)
                    stop = max(float(stream.clock.stop) for stream in streams.values())
                    text = ", then ".join(str(note.label) for note in notes)
                    name = f"s{person}-{turn}-{next(number):03}"
                    note = Annotation(0.0, stop, text, "caption")
                    side = "train" if train else "test"
                    out.add(name, streams, annotations=[note, *notes], group=person, split=side)
