"""Generated worlds in which it is known what each stream tells, and when."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plait.corpus.corpus import CorpusWriter
from plait.evaluation.contribution.broja import information, union_information
from plait.streams.recording import Annotation
from plait.streams.stream import Stream

__all__ = ["MONITORED", "WORLDS", "analytic", "write_monitored", "write_spans", "write_world"]

Floats = NDArray[np.float64]
NOISE = 0.1
"""How often a class is not what the streams tell."""

STATES = 4


def _channel() -> Floats:
    """From what is told to the class, [states, classes]."""
    return np.full((STATES, STATES), NOISE / (STATES - 1)) + np.eye(STATES) * (1 - NOISE - NOISE / (STATES - 1))


def _xor() -> Floats:
    joint = np.zeros((2, 2, 2))
    for a, b in np.ndindex(2, 2):
        joint[a, b, a ^ b] = 0.25
    return joint


def _two_bits() -> Floats:
    joint = np.zeros((2, 2, 4))
    for a, b in np.ndindex(2, 2):
        joint[a, b, 2 * a + b] = 0.25
    return joint


WORLDS: Mapping[str, Callable[[], Floats]] = {
    "redundant": lambda: np.einsum("ab,by->aby", np.eye(STATES), _channel()) / STATES,
    "unique 1": lambda: np.einsum("ay,b->aby", _channel(), np.full(STATES, 1 / STATES)) / STATES,
    "unique 2": lambda: np.einsum("by,a->aby", _channel(), np.full(STATES, 1 / STATES)) / STATES,
    "synergy": _xor,
    "nuisance-heavy": _two_bits,
}
"""Joint distributions of the state of two streams and the class, [first, second, class]."""


def analytic(joint: Floats) -> Floats:
    """Redundancy, both unique parts and synergy, in bits."""
    one, two = joint.sum(1), joint.sum(0)
    union = union_information(one, two).bits
    own, other, both = information(one), information(two), information(joint.reshape(-1, joint.shape[2]))
    return np.array([own + other - union, union - other, union - own, both - union])


def write_world(folder: Path, name: str, seed: int, count: int = 1000) -> Path:
    """Recordings of two streams whose states and classes are drawn from a world; ten of each person."""
    joint, rng = WORLDS[name](), np.random.default_rng((seed, sorted(WORLDS).index(name)))
    drawn = np.stack(np.unravel_index(rng.choice(joint.size, count, p=joint.ravel()), joint.shape), 1)
    with CorpusWriter(folder) as out:
        for i, (a, b, y) in enumerate(drawn.tolist()):
            streams = {"one": _told(a, 10, name, rng), "two": _told(b, 20, name, rng)}
            out.add(f"r{i:04d}", streams, labels={"class": "abcd"[y]}, group=f"g{i // 10}")
    return folder / "manifest.jsonl"


def _told(state: int, rate: int, name: str, rng: np.random.Generator) -> Stream:
    values = rng.normal(0, 0.5, (int(1.2 * rate), STATES))
    values[:, state] += 1
    if name == "nuisance-heavy":
        # Eight channels of states that tell nothing, three times as loud.
        values = np.concatenate([values, 3 * np.eye(8)[rng.integers(8)] + rng.normal(0, 0.5, (len(values), 8))], 1)
    return Stream.of(values, rate=rate)


def write_spans(folder: Path, seed: int, count: int = 1000) -> Path:
    """Recordings of four seconds in which a span of 8 to 20 % tells the class, in two streams at 50 and 12.5 Hz.

    The span stands in the metadata, in seconds from the start.
    """
    rng = np.random.default_rng((seed, 99))
    with CorpusWriter(folder) as out:
        for i in range(count):
            long = 4 * rng.uniform(0.08, 0.2)
            start = rng.uniform(0, 4 - long)
            kind = int(rng.integers(3))
            streams = {m: _burst(rate, kind, start, start + long, rng) for m, rate in (("fast", 50.0), ("slow", 12.5))}
            meta: dict[str, Any] = {"start": start, "stop": start + long}
            out.add(f"r{i:04d}", streams, labels={"class": "abc"[kind]}, meta=meta, group=f"g{i // 10}")
    return folder / "manifest.jsonl"


def _burst(rate: float, kind: int, start: float, stop: float, rng: np.random.Generator) -> Stream:
    times = (np.arange(int(4 * rate)) + 0.5) / rate
    values = rng.normal(0, 1, (len(times), 3))
    values[(times >= start) & (times < stop), kind] += 2.0
    return Stream.of(values, rate=rate)


MONITORED = ("clean", "nothing", "memorised", "starved")
"""Worlds of what may go wrong in training: nothing; ``two`` is stuck, and knows nothing; ``two`` is another fingerprint
of each item; and ``one`` tells all on training items, but not on others, where the fainter ``two`` still does."""

TURNS, SECOND = 8, 10
"""Items of a recording, and observations of an item, which is a second long."""

SIDES = {"train": 24, "valid": 54, "test": 2}
"""Recordings: many for validation, since warnings rest on it."""


def write_monitored(folder: Path, name: str, seed: int) -> Path:
    """Recordings of eight items each, of four classes and two streams; see `MONITORED`."""
    rng = np.random.default_rng((seed, MONITORED.index(name)))
    right = rng.uniform(0.65, 0.85, 2)
    with CorpusWriter(folder) as out:
        for i, side in enumerate(side for side, count in SIDES.items() for _ in range(count)):
            classes = rng.integers(STATES, size=TURNS)
            one, two = _pair(name, classes, right, rng, learnt=side == "train")
            streams = {"one": Stream.of(one, rate=SECOND), "two": Stream.of(two, rate=SECOND)}
            told = [Annotation(t, t + 1.0, "abcd"[c], tier="class") for t, c in enumerate(classes.tolist())]
            out.add(f"r{i:03d}", streams, annotations=told, split=side)
    return folder / "manifest.jsonl"


def _pair(
    name: str, classes: NDArray[np.int64], right: Floats, rng: np.random.Generator, *, learnt: bool
) -> tuple[Floats, Floats]:
    if name == "starved":
        said = classes if learnt else np.where(rng.random(TURNS) < 0.6, classes, rng.integers(STATES, size=TURNS))
        return 3 * _shown(said, 0.3, rng), _shown(classes, 1.2, rng)
    one, two = (
        _shown(np.where(rng.random(TURNS) < p, classes, rng.integers(STATES, size=TURNS)), 0.5, rng) for p in right
    )
    if name == "nothing":
        two = rng.normal(0.3, 0.01, two.shape)
    elif name == "memorised":
        two = rng.normal(0, 1, (TURNS, 64)).repeat(SECOND, 0) + rng.normal(0, 0.3, (TURNS * SECOND, 64))
    return one, two


def _shown(states: NDArray[np.int64], noise: float, rng: np.random.Generator) -> Floats:
    return np.eye(STATES)[states].repeat(SECOND, 0) + rng.normal(0, noise, (len(states) * SECOND, STATES))
