"""Draws docs/images/synchronise.png: three made-up devices that saw the same taps.

python docs/pictures/synchronise.py

The sensor's clock is bent by its warming up, and it lost 8 samples; the captions' clock runs fast.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import numpy as np

from plait.clocks import synchronise
from plait.corpus.corpus import Corpus, CorpusWriter
from plait.streams.stream import Stream
from plait.streams.warp import Warp

SECONDS, RATE = 600.0, 100
BENT = Warp([(0, 1.4), (150, 1.46), (330, 1.49), (420, 1.494), (420, 1.574), (620, 1.585)])
"""Of the sensor: what is to be added to its seconds."""


def sound(at: np.ndarray, rng: np.random.Generator) -> Stream:
    t = np.arange(int(SECONDS * 8000)) / 8000
    values = 0.01 * rng.standard_normal(len(t))
    for a in at:
        lo = int(a * 8000)
        burst = 0.5 * np.exp(-np.arange(1200) / 240) * rng.standard_normal(1200)
        values[lo : lo + 1200] += burst[: len(values) - lo]
    return Stream.of(values[:, None].astype(np.float32), rate=8000, kind="waveform")


def sensor(at: np.ndarray, rng: np.random.Generator) -> Stream:
    t = np.arange(int(SECONDS * RATE)) / RATE
    values = 0.15 * rng.standard_normal((len(t), 3))
    for i, a in enumerate(at):
        near = slice(max(int((a - 0.1) * RATE), 0), int((a + 0.1) * RATE))
        values[near, i % 3] += 3 * np.exp(-0.5 * ((t[near] - a) / 0.012) ** 2)
    return Stream.of(values, rate=RATE)


def main() -> None:
    rng = np.random.default_rng(7)
    at = np.cumsum(0.15 + rng.exponential(0.85, 700))
    at = at[at < SECONDS - 5]
    own = np.array([float(BENT.back(float(a))) for a in at])
    heard = (at[rng.random(len(at)) < 0.7] + 0.9) / (1 + 180e-6)
    target = Path(__file__).parents[1] / "images" / "synchronise.png"
    with tempfile.TemporaryDirectory() as folder:
        with CorpusWriter(folder) as out:
            captions = Stream.of(["tap"] * len(heard), spans=(heard, heard + 0.1))
            out.add("walk", {"sound": sound(at, rng), "imu": sensor(own[own > 0], rng), "captions": captions})
        report = synchronise(Corpus(f"{folder}/manifest.jsonl"), reference="sound", plot=folder)
        shutil.copyfile(f"{folder}/walk.png", target)
    print("\n".join(report.lines()), f"\nwrote {target}")


if __name__ == "__main__":
    main()
