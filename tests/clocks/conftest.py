"""Streams of every kind that saw the same strokes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from plait.streams.stream import Stream

Strokes = Callable[..., Stream]


@pytest.fixture(scope="session")
def strokes() -> Callable[[np.random.Generator, float], np.ndarray]:
    """Irregular instants, at least 0.15 s apart, about one a second."""

    def make(rng: np.random.Generator, seconds: float) -> np.ndarray:
        times = np.cumsum(0.15 + rng.exponential(0.85, int(seconds * 2)))
        return times[times < seconds]

    return make


@pytest.fixture(scope="session")
def seen_by() -> Strokes:
    """A stream of a kind that shows a stroke at each of the given instants of its own clock."""

    def make(kind: str, at: np.ndarray, seconds: float, rng: np.random.Generator, noise: float = 0.1) -> Stream:
        if kind == "words":
            at = at[(at > 0) & (at < seconds)]
            return Stream.of(np.array(["x"] * len(at), object), spans=(at, at + 0.1), kind=kind)
        rate = {"waveform": 8000, "series": 100, "pose": 50, "frames": 30}[kind]
        t = np.arange(round(seconds * rate)) / rate
        if kind == "waveform":
            values = noise * 0.05 * rng.standard_normal(len(t))
            for a in at:
                near = (t >= a) & (t < a + 0.15)
                values[near] += 0.5 * np.exp(-(t[near] - a) / 0.03) * rng.standard_normal(near.sum())
            return Stream.of(values[:, None].astype(np.float32), rate=rate, kind=kind)
        signs = np.where(np.arange(len(at)) % 2, -1.0, 1.0)
        if kind == "series":
            values = noise * rng.standard_normal((len(t), 3))
            for a, s in zip(at, signs):
                values[:, 0] += 3 * s * np.exp(-0.5 * ((t - a) / 0.012) ** 2)
            return Stream.of(values, times=t + 0.0)
        place = sum(s * np.tanh((t - a) / 0.02) for a, s in zip(at, signs))
        if kind == "pose":
            points = 0.01 * noise * rng.standard_normal((len(t), 4, 3))
            points[:, :2, 0] += place[:, None]
            return Stream.of(points, rate=rate, kind=kind)
        x, y = np.arange(32), np.arange(24)
        bump = (
            np.exp(-0.5 * ((x - 16 - 2 * place[:, None]) / 4) ** 2)[:, None, :]
            * np.exp(-0.5 * ((y - 12) / 4) ** 2)[:, None]
        )
        grey = 100 + 80 * bump + 10 * noise * rng.standard_normal(bump.shape)
        return Stream.of(grey.clip(0, 255).astype(np.uint8)[..., None].repeat(3, 3), rate=rate, kind=kind)

    return make
