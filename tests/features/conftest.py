"""Random streams of every kind."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from plait.streams.objects import object_text
from plait.streams.stream import Stream

Maker = Callable[[np.random.Generator], Stream]


def _ticks(rng: np.random.Generator) -> Stream:
    return Stream.of(rng.normal(size=(60, 2)), times=np.cumsum(rng.uniform(0.2, 1.2, 60)))


def _pulse(rng: np.random.Generator) -> Stream:
    """A pulse wave of 90 s whose beats come a little unevenly."""
    phase = np.cumsum(2 * np.pi * (1.2 + 0.2 * np.repeat(rng.normal(size=90), 64)) / 64)
    return Stream.of(np.exp(4 * np.cos(phase)) + 0.5 * rng.normal(size=len(phase)), rate=64)


def _intervals(rng: np.random.Generator) -> Stream:
    """Times that are the same for every seed, since they are no values."""
    return Stream.of(0.8 + 0.05 * rng.normal(size=(100, 1)), times=np.arange(100) * 0.8)


def _voice(rng: np.random.Generator) -> Stream:
    """A voice of 7 s at 8 kHz that rises and falls, with pauses."""
    t = np.arange(7 * 8000) / 8000
    pitch = 120 + rng.uniform(0, 100) + 40 * np.sin(2 * np.pi * rng.uniform(0.3, 1) * t)
    tone = sum(np.sin(2 * np.pi * k * np.cumsum(pitch) / 8000) / k for k in range(1, 9))
    loud = np.maximum(np.sin(2 * np.pi * rng.uniform(0.8, 1.2) * t + rng.uniform(0, 6)), 0)
    return Stream.of(
        (0.1 * tone * loud + 0.003 * rng.normal(size=len(t))).astype(np.float32), rate=8000, kind="waveform"
    )


def _odd(n: int) -> np.ndarray:
    """Unevenness of a clock, the same each time."""
    return np.sin(np.arange(n) * 2.4)


@pytest.fixture
def random_stream() -> Callable[[str, int], Stream]:
    """A stream of a kind, long enough to lie beyond any default receptive field, from a seed."""
    makers: dict[str, Maker] = {
        "waveform": lambda rng: Stream.of(
            0.1 * rng.normal(size=(16000, 2)).astype(np.float32), rate=16000, kind="waveform"
        ),
        "cd": lambda rng: Stream.of(0.1 * rng.normal(size=44100).astype(np.float32), rate=44100, kind="waveform"),
        "voice": _voice,
        "frames": lambda rng: Stream.of(rng.integers(0, 256, (60, 12, 16, 3), np.uint8), rate=25),
        "pose": lambda rng: Stream.of(rng.normal(size=(90, 5, 3)), rate=30),
        "words": lambda rng: Stream.of(
            [" ".join(rng.choice(["bin", "blue", "at", "f", "two", "now"], 3)) for _ in range(20)],
            spans=(np.arange(20.0), np.arange(20.0) + 0.8),
        ),
        "objects": lambda rng: Stream.of(
            [object_text(rng.choice(["cat", "dog"]), (*rng.integers(1, 40, 4).tolist(),)) for _ in range(20)],
            times=np.arange(20) // 2,
        ),
        "series": lambda rng: Stream.of(rng.normal(size=(400, 2)), rate=10),
        "beats": _ticks,
        "pulse": _pulse,
        "intervals": _intervals,
        "imu": lambda rng: Stream.of(rng.normal(size=(900, 6)), rate=50),
        "loose imu": lambda rng: Stream.of(rng.normal(size=(900, 3)), times=np.arange(900) / 50 + 0.003 * _odd(900)),
    }
    return lambda kind, seed: makers[kind](np.random.default_rng(seed))
