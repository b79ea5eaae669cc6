"""Draws docs/images/missing-and-noise.png: a gap in a pulse filled by four methods, and a noisy sentence before and
after denoising. The pulse is of Stress-Predict, the sentence of GRID.

PLAIT_DATA=... python docs/pictures/missing_and_noise.py
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from plait.readers import open_streams
from plait.streams.stream import Stream
from plait.transforms import apply_steps
from plait.transforms.imputation import impute
from plait.transforms.noise import add_noise

DOCS = Path(__file__).parents[1]
DATA = Path(os.environ["PLAIT_DATA"])
GREY, BLUE, ORANGE, GREEN, RED = "#777777", "#3b6fb6", "#d9822b", "#3d8f5a", "#b5413f"
PERSON, AT, GAP = "S14", 622.0, (3.0, 4.1)
SENTENCE = "pwij3s.mp4"
METHODS = {"hold": GREY, "linear": ORANGE, "knn": GREEN, "autoregressive": RED}


def gap(axes: Any) -> None:
    """Seven seconds of a pulse, one of them lost."""
    pulse = open_streams(DATA / "stress_predict" / "Raw_data" / PERSON)["bvp"]
    begin = pulse.clock.start + AT
    part = pulse.cut(begin - 60, begin + 67)
    t, truth = part.clock.times - begin, np.asarray(part.read()[:, 0], np.float64)
    lost = (t >= GAP[0]) & (t < GAP[1])
    axes.axvspan(*GAP, color="#f0f0f0")
    axes.plot(t[lost], truth[lost], ":", color="black", lw=1.6, label="what was really there")
    for method, colour in METHODS.items():
        filled, _ = impute(np.where(lost, np.nan, truth), part.clock, method)
        inside = np.flatnonzero(lost)
        span = slice(inside[0] - 1, inside[-1] + 2)
        axes.plot(t[span], filled[span], color=colour, lw=1.6, label=method)
    axes.plot(t, np.where(lost, np.nan, truth), color=BLUE, lw=1.6, label="observed")
    shown = (t > 0) & (t < 7)
    axes.set(xlim=(0, 7), xlabel="s", title="A gap of a second in a calm pulse, and what each method makes of it")
    axes.set_ylim(1.35 * truth[shown].min(), 1.6 * truth[shown].max())
    axes.legend(ncols=6, fontsize=8, frameon=False, loc="upper center", handlelength=1.4, columnspacing=1.2)
    axes.set_yticks([])


def spectrum(stream: Stream, axes: Any, title: str) -> None:
    """How loud each frequency is, from 70 dB below the loudest up."""
    sound = np.asarray(stream.read()[:, 0], np.float64)
    windows = np.lib.stride_tricks.sliding_window_view(sound, 512)[::128] * np.hanning(512)
    level = 20 * np.log10(np.abs(np.fft.rfft(windows)).T + 1e-6)
    extent = (0, len(sound) / 16000, 0, 8)
    axes.imshow(level, origin="lower", aspect="auto", extent=extent, cmap="magma", vmin=-45, vmax=25)
    axes.set(title=title, xlabel="s", ylim=(0, 6))


def main() -> None:
    clean = next(s for s in open_streams(DATA / "grid_s1" / "s1" / SENTENCE).values() if s.kind == "waveform")
    noisy = add_noise(clean, "pink", 5.0, 1)
    figure = plt.figure(figsize=(10, 5.6), layout="constrained")
    rows = figure.subfigures(2, 1, height_ratios=[1, 1.05])
    gap(rows[0].subplots())
    below = rows[1].subplots(1, 3, sharey=True)
    spectrum(clean, below[0], "a sentence")
    spectrum(noisy, below[1], "with pink noise at 5 dB")
    spectrum(apply_steps(noisy, ["denoise"]), below[2], "denoised")
    below[0].set_ylabel("kHz")
    figure.savefig(DOCS / "images" / "missing-and-noise.png", dpi=85)


if __name__ == "__main__":
    main()
