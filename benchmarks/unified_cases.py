"""Generated clips with questions: a film, a sound and a sensor, of which a text asks, and texts about such clips.

Two shapes come one after the other, each in a colour; three tones are played, then a noise; a sensor is moved in one of
four gestures, one to four times, and each time the film flashes. So the number of times is in two streams, and every
other fact in one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from plait.corpus.corpus import CorpusWriter
from plait.streams.stream import Stream

__all__ = ["BEST", "KINDS", "Facts", "asked", "streams_of", "texts", "write_world"]

COLOURS = {"red": (220, 40, 40), "green": (40, 200, 60), "blue": (50, 70, 230), "yellow": (220, 210, 40)}
SHAPES = ("circle", "square", "cross")
TONES = {"low": 300.0, "middle": 600.0, "high": 1200.0}
SOUNDS = ("hiss", "clicks", "hum", "chirp")
GESTURES = ("wave", "nod", "turn", "shake")
TIMES = ("once", "twice", "thrice", "often")
NUMBERS = ("one", "two", "three", "four")
SECONDS, FRAMES, HERTZ, SENSOR, SIDE = 4.0, 5, 8000, 25, 12
Floats = NDArray[np.float64]

KINDS = ("colour", "order", "count", "sound", "class", "transcript", "caption")
"""What may be asked."""

BEST = {
    "video": {"colour": 1 / 4, "order": 1 / 3, "caption": 1 / 72},
    "audio": {"sound": 1 / 4, "transcript": 1 / 27, "caption": 1 / 4},
    "imu": {"class": 1 / 4, "caption": 1 / 4},
}
"""The best share of right answers without a stream, by kind; 1 where none is given."""


@dataclass(frozen=True)
class Facts:
    """What is true of a clip."""

    colours: tuple[str, str]
    shapes: tuple[str, str]
    tones: tuple[str, ...]
    sound: str
    gesture: str
    count: int

    @classmethod
    def drawn(cls, rng: np.random.Generator) -> Facts:
        two = [str(c) for c in rng.choice(list(COLOURS), 2, replace=False)]
        shapes = [str(s) for s in rng.choice(SHAPES, 2, replace=False)]
        tones = tuple(str(t) for t in rng.choice(list(TONES), 3))
        sound, gesture = str(rng.choice(SOUNDS)), str(rng.choice(GESTURES))
        return cls((two[0], two[1]), (shapes[0], shapes[1]), tones, sound, gesture, int(rng.integers(1, 5)))

    @property
    def film(self) -> str:
        (a, b), (x, y) = self.colours, self.shapes
        return f"{a} {x} then {b} {y}"

    @property
    def caption(self) -> str:
        return f"{self.film} with a {self.sound} and a {self.gesture} {TIMES[self.count - 1]}"

    @property
    def description(self) -> str:
        """The same stream by stream, with the tones."""
        heard = f"{' '.join(self.tones)} and a {self.sound}"
        return f"{self.film} . {heard} . a {self.gesture} {TIMES[self.count - 1]}"


def colour_of(facts: Facts, which: int) -> tuple[str, str]:
    """The question for the colour of the first or second shape, and its answer."""
    return f"what colour is the {facts.shapes[which]} ?", facts.colours[which]


def asked(facts: Facts, kind: str, rng: np.random.Generator) -> tuple[str, str]:
    """A question of a kind, and its answer."""
    which = int(rng.integers(2))
    return {
        "colour": colour_of(facts, which),
        "order": ("which shape comes first ?", facts.shapes[0]),
        "count": ("how many times is it moved ?", NUMBERS[facts.count - 1]),
        "sound": ("which noise is heard ?", facts.sound),
        "class": ("which gesture is it ?", facts.gesture),
        "transcript": ("which tones are played ?", " ".join(facts.tones)),
        "caption": ("describe the clip .", facts.caption),
    }[kind]


def texts(count: int, seed: int = 0) -> list[str]:
    """Descriptions of clips that nobody recorded, with questions and their answers: to learn a language.

    Half of them are whole, with three questions; half tell the film alone, and ask for both colours: which colour
    belongs to which shape is learnt from short texts first.
    """
    rng = np.random.default_rng((seed, 7))
    found = []
    for i in range(count):
        facts = Facts.drawn(rng)
        if i % 2:
            told = facts.film
            said = [colour_of(facts, int(which)) for which in rng.permutation(2)]
        else:
            told = facts.description
            said = [asked(facts, str(kind), rng) for kind in rng.choice(KINDS, 3, replace=False)]
        found.append(" ".join([told, *(f"{question} {answer}" for question, answer in said)]))
    return found


def write_world(folder: Path, sizes: Sequence[int], seed: int = 0) -> Path:
    """Write clips for training, validation and test, each with one question; returns the manifest."""
    with CorpusWriter(folder) as out:
        for number, (side, count) in enumerate(zip(("train", "valid", "test"), sizes)):
            for i, (facts, kind, question, answer, streams) in enumerate(clips(count, (seed, number))):
                words = Stream.of(np.array([question], object), spans=([0.0], [SECONDS]), kind="words")
                out.add(
                    f"{side}{i:05d}",
                    {**streams, "question": words},
                    labels={"answer": answer, "kind": kind},
                    meta={"caption": facts.caption},
                    group=f"{side}{i:05d}",
                    split=side,
                )
    return folder / "manifest.jsonl"


def clips(count: int, seed: Sequence[int]) -> Iterator[tuple[Facts, str, str, str, dict[str, Stream]]]:
    """Clips with a question each; the kinds in turn."""
    rng = np.random.default_rng([*seed])
    for i in range(count):
        facts, kind = Facts.drawn(rng), KINDS[i % len(KINDS)]
        yield facts, kind, *asked(facts, kind, rng), streams_of(facts, rng)


def streams_of(facts: Facts, rng: np.random.Generator) -> dict[str, Stream]:
    """Film, sound and sensor of a clip."""
    moved = _moments(facts.count, rng)
    film = np.stack([_frame(facts, t, moved, rng) for t in (np.arange(int(SECONDS * FRAMES)) + 0.5) / FRAMES])
    return {
        "video": Stream.of(film, rate=FRAMES, kind="frames"),
        "audio": Stream.of(_sound(facts, rng), rate=HERTZ, kind="waveform"),
        "imu": Stream.of(_sensor(facts, moved, rng), rate=SENSOR),
    }


def _moments(count: int, rng: np.random.Generator) -> Floats:
    """When the sensor is moved: within quarters of the clip, so that no two fall together."""
    quarters = np.sort(rng.choice(4, count, replace=False))
    found: Floats = quarters + rng.uniform(0.3, 0.7, count)
    return found


def _frame(facts: Facts, t: float, moved: Floats, rng: np.random.Generator) -> NDArray[np.uint8]:
    flash = 90.0 if np.any(np.abs(moved - t) < 0.11) else 20.0
    picture = np.full((SIDE, SIDE, 3), flash) + rng.normal(0, 6, (SIDE, SIDE, 3))
    which = 0 if 0.2 <= t < 1.8 else 1 if 2.2 <= t < 3.8 else None
    if which is not None:
        x, y = rng.integers(-1, 2, 2)
        inside = np.roll(_mask(facts.shapes[which]), (int(y), int(x)), (0, 1))
        picture[inside] = np.array(COLOURS[facts.colours[which]]) + rng.normal(0, 6, (int(inside.sum()), 3))
    return np.clip(picture, 0, 255).astype(np.uint8)


def _mask(shape: str) -> NDArray[np.bool_]:
    y, x = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    if shape == "circle":
        return np.asarray((np.hypot(x, y) < 4.2) & (np.hypot(x, y) > 2.0))
    if shape == "square":
        return np.asarray(np.maximum(np.abs(x), np.abs(y)) < 3.4)
    return np.asarray((np.abs(x) < 1.1) | (np.abs(y) < 1.1)) & (np.maximum(np.abs(x), np.abs(y)) < 4.6)


def _sound(facts: Facts, rng: np.random.Generator) -> Floats:
    t = np.arange(int(SECONDS * HERTZ)) / HERTZ
    found = rng.normal(0, 0.005, len(t))
    for i, tone in enumerate(facts.tones):
        part = (t >= 0.2 + 0.6 * i) & (t < 0.6 + 0.6 * i)
        found[part] += 0.3 * np.sin(2 * np.pi * TONES[tone] * rng.uniform(0.96, 1.04) * t[part])
    part = (t >= 2.2) & (t < 3.8)
    own = t[part] - 2.2
    found[part] += {
        "hiss": 0.15 * rng.normal(0, 1, len(own)),
        "clicks": 0.8 * (np.mod(own, 0.2) < 0.004),
        "hum": 0.3 * np.sign(np.sin(2 * np.pi * 120 * own)),
        "chirp": 0.3 * np.sin(2 * np.pi * (500 * own + 900 * np.mod(own, 0.4) ** 2 * 2)),
    }[facts.sound]
    return found.astype(np.float32)[:, None]


def _sensor(facts: Facts, moved: Floats, rng: np.random.Generator) -> Floats:
    t = np.arange(int(SECONDS * SENSOR)) / SENSOR
    found = rng.normal(0, 0.1, (len(t), 3))
    for moment in moved:
        near = np.exp(-(((t - moment) / 0.12) ** 2))
        if facts.gesture == "shake":
            found += near[:, None] * np.array([1.0, -1.0, 1.0]) * 2
        else:
            found[:, GESTURES.index(facts.gesture)] += 3 * near
    return found
