"""Draws docs/images/space-and-segments.png: shots of a made-up film, speech in noise, one pose from three layouts."""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from plait.steps import apply_steps
from plait.steps.layouts import COMMON
from plait.streams.stream import Stream
from plait.sync.segment import shots, speech

rng = np.random.default_rng(0)


def film() -> Stream:
    """Three shots of two seconds, each its own colours with something moving."""
    frames = np.zeros((150, 48, 64, 3), np.uint8)
    for i in range(150):
        colour = [(200, 90, 60), (50, 120, 190), (90, 160, 80)][i // 50]
        frames[i] = np.array(colour) * 0.6 + rng.normal(0, 4, (48, 64, 1))
        frames[i, 14:34, (5 + i) % 44 : (5 + i) % 44 + 14] = colour
    return Stream.of(frames, rate=25)


def talk() -> Stream:
    """Three bursts of a voice-like tone in quiet noise."""
    t = np.arange(6 * 16000) / 16000
    loud = sum(((t > a) & (t < b)) * 1.0 for a, b in ((0.7, 1.9), (2.6, 3.4), (4.2, 5.4)))
    voice = sum(np.sin(2 * np.pi * 140 * k * t) / k for k in range(1, 20)) * (1 + 0.6 * np.sin(2 * np.pi * 4 * t))
    return Stream.of(
        (0.1 * loud * voice + 0.004 * rng.normal(size=len(t))).astype(np.float32), rate=16000, kind="waveform"
    )


def main() -> None:
    figure, axes = plt.subplots(2, 1, figsize=(9, 4.6), sharex=True, constrained_layout=True)
    pictures = film()
    for i in range(0, 150, 10):
        axes[0].imshow(pictures.read()[i], extent=(i / 25, (i + 10) / 25, 0, 1), aspect="auto")
    for a in shots(pictures):
        axes[0].axvline(a.stop, color="black", lw=3)
        axes[0].text((a.start + a.stop) / 2, 1.05, f"shot {a.label}", ha="center")
    axes[0].set(xlim=(0, 6), ylim=(0, 1.25), yticks=[])
    sound = talk()
    axes[1].plot(sound.clock.times[::8], sound.read()[::8, 0], lw=0.4, color="#444")
    for a in speech(sound):
        axes[1].axvspan(a.start, a.stop, color="#0072b2", alpha=0.25, lw=0)
        axes[1].text((a.start + a.stop) / 2, 0.42, "speech", ha="center", color="#0072b2")
    axes[1].set(xlabel="seconds", yticks=[], ylim=(-0.5, 0.5))
    figure.savefig(Path(__file__).parents[1] / "images/space-and-segments.png", dpi=110)


if __name__ == "__main__":
    main()
