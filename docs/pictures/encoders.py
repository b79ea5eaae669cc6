"""Draws docs/images/encoders.png: clips whose motion no single frame shows, and which encoders see it.

The accuracies are those that the benchmark printed last:

    python benchmarks/motion.py | tail -n 1 > motion.json
    python docs/pictures/encoders.py motion.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import torch

DOCS = Path(__file__).parents[1]
sys.path.insert(0, str(DOCS.parent / "benchmarks"))
from motion import FRAMES, MOTIONS, SIZE, WHAT, clip  # noqa: E402

from plait.encoders.two_stream import lucas_kanade  # noqa: E402

GREY, BLUE, ORANGE = "#777777", "#3b6fb6", "#d9822b"
SHOWN = ("left", "down", "clockwise", "anticlockwise")


def strip(axes: Any, motion: str) -> None:
    """Every other frame of a clip, and in the last place the mean of its flow."""
    film = np.concatenate([clip(motion, np.random.default_rng(i)) for i in range(20)])
    for place, frame in zip(axes, range(0, FRAMES, 2)):
        place.imshow(film[frame], cmap="gray", vmin=-1.5, vmax=1.5)
    frames = torch.from_numpy(film)[None]
    # between two frames of one clip, not from one clip to the next
    within = np.arange(1, len(film)) % FRAMES > 0
    flow = lucas_kanade(frames[:, :-1], frames[:, 1:])[0].numpy()[within].mean(0)
    places = np.arange(1, SIZE, 3)
    right, down = flow[:, 1::3, 1::3]
    axes[-1].quiver(places, places, right, down, angles="xy", scale_units="xy", scale=0.35, width=0.012, color=BLUE)
    axes[-1].set(xlim=(-0.5, SIZE - 0.5), ylim=(SIZE - 0.5, -0.5), aspect="equal")
    axes[0].set_ylabel(motion, rotation=0, ha="right", va="center", fontsize=11)
    for place in axes:
        place.set(xticks=[], yticks=[])


def bars(axes: Any, found: dict[str, dict[str, Any]]) -> None:
    """Accuracy by encoder: a dot for each seed."""
    for i, (name, row) in enumerate(found.items()):
        scores, flat = row["accuracy"], name in ("cnn", "cnn + gru")
        axes.barh(i, np.mean(scores), color=GREY if flat else BLUE, height=0.62)
        axes.plot(scores, [i] * len(scores), "o", color="black", ms=3, clip_on=False)
        axes.text(max(scores) + 2.5, i, f"{np.mean(scores):.1f} %", va="center", fontsize=9)
    axes.axvline(100 / len(MOTIONS), color=ORANGE, ls="--", lw=1)
    axes.text(100 / len(MOTIONS) + 1, -0.62, "chance", color=ORANGE, fontsize=9, va="center")
    axes.set_yticks(range(len(found)), [f"{name}\n{WHAT[name]}" for name in found], fontsize=8.5)
    axes.set(xlim=(0, 112), ylim=(len(found) - 0.5, -0.9), xlabel="held-out clips whose motion is named, %")
    axes.set_xticks(range(0, 101, 20))
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def main() -> None:
    found = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))["motion"]
    columns = FRAMES // 2 + 1
    figure = plt.figure(figsize=(12.6, 4.4))
    left, right = figure.add_gridspec(1, 2, width_ratios=[1.5, 1], wspace=0.68)
    grid = left.subgridspec(len(SHOWN), columns, wspace=0.06, hspace=0.06)
    for i, motion in enumerate(SHOWN):
        axes = [figure.add_subplot(grid[i, j]) for j in range(columns)]
        strip(axes, motion)
        if i == 0:
            axes[0].set_title("every other frame of a clip", fontsize=10, loc="left")
            axes[-1].set_title("flow, mean of 20", fontsize=10)
    bars(figure.add_subplot(right), found)
    figure.savefig(DOCS / "images/encoders.png", dpi=110, bbox_inches="tight")


if __name__ == "__main__":
    main()
