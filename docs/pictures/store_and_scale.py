"""Draws docs/images/store-and-scale.png: how a batch comes out of a pack, and how fast, against other stores.

python benchmarks/store.py | tee store.txt; python docs/pictures/store_and_scale.py store.txt
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

TARGET = Path(__file__).parents[1] / "images" / "store-and-scale.png"
INK, MUTED, OURS, OTHERS, PADDING = "#1f2430", "#6b7280", "#0f766e", "#c4c9d1", "#e5e7eb"
TITLE = {"fontsize": 10.5, "color": INK}
ITEMS = [(4, "#0f766e"), (7, "#b45309"), (3, "#4338ca"), (5, "#be185d"), (6, "#4d7c0f")]
"""Rows and colour of each item of the drawing."""
BATCH = [1, 3, 2]

NAMES = {
    "plait: packs": "plait, a pack a stream",
    "gathered by plait": "Arrow IPC, gathered the same way",
    "maps held": "plait, a file an item",
    "pyarrow take": "Arrow IPC, pyarrow's take",
    "datasets, arrow": "datasets, arrow format",
    "datasets, numpy": "datasets, numpy format",
    "datasets, torch format, flat": "datasets, torch format",
    "of ten": "WebDataset, shards of tensors",
    "of npy": "WebDataset, shards of npy",
}


def block(axes: Axes, x: float, y: float, colour: str, width: float = 1.0) -> None:
    axes.add_patch(Rectangle((x, y), width, 0.86, facecolor=colour, edgecolor="white", linewidth=0.8))


def layout(axes: Axes) -> None:
    """The file as a row of rows; below it a batch of three of its items, padded with row 0."""
    axes.set_xlim(-0.4, 27)
    axes.set_ylim(-5.4, 4.4)
    axes.axis("off")
    axes.text(0, 3.75, "a pack: the rows of all items of a stream in one file, and where each begins", **TITLE)
    block(axes, 0, 1.6, PADDING)
    axes.text(0.5, 2.03, "0", ha="center", va="center", fontsize=9, color=MUTED)
    at = 1
    for i, (count, colour) in enumerate(ITEMS):
        for k in range(count):
            block(axes, at + k, 1.6, colour)
        axes.text(at + 0.05, 2.62, f"item {i}", fontsize=9, color=colour)
        axes.text(at + 0.05, 1.4, str(at), va="top", fontsize=9, color=MUTED)
        at += count
    axes.text(at, 1.4, "offsets", va="top", ha="right", fontsize=9, color=MUTED)
    longest = max(ITEMS[i][0] for i in BATCH)
    axes.text(0, -0.55, "a batch: any of them, padding included, in one gather", **TITLE)
    for line, i in enumerate(BATCH):
        count, colour = ITEMS[i]
        y = -1.85 - line * 1.1
        axes.text(2.6, y + 0.43, f"item {i}", va="center", ha="right", fontsize=9, color=colour)
        for k in range(longest):
            there = k < count
            block(axes, 3 + k, y, colour if there else PADDING)
            if not there:
                axes.text(3.5 + k, y + 0.43, "0", ha="center", va="center", fontsize=9, color=MUTED)
            block(axes, 15 + k, y, INK if there else PADDING)
    axes.text(3, -5.1, "values [batch, time, dim]", fontsize=9, color=INK)
    axes.text(15, -5.1, "mask [batch, time]", fontsize=9, color=INK)


def bars(axes: Axes, found: dict[str, Any]) -> None:
    rates = found["utterances"]["samples_per_second"]
    bound = next(rate for name, rate in rates.items() if "plain copy" in name)
    shown = [(label, rates[next(n for n in rates if key in n)] / bound) for key, label in NAMES.items()]
    shown.sort(key=lambda pair: pair[1])
    colours = [OURS if label.startswith("plait") else OTHERS for label, _ in shown]
    axes.barh([label for label, _ in shown], [rate for _, rate in shown], color=colours, height=0.72)
    top = shown[-1][1]
    for i, (_, rate) in enumerate(shown):
        axes.text(rate + 0.01 * top, i, f"{rate:.2f}", va="center", fontsize=9, color=INK)
    for side in ("top", "right", "bottom", "left"):
        axes.spines[side].set_visible(False)
    axes.tick_params(left=False, bottom=False, labelbottom=False, labelsize=9.5, colors=INK)
    axes.set_xlim(0, 1.14 * top)
    said = "samples a second, over a plain copy of the same rows: batches of 32, three streams"
    axes.figure.text(0.029, 0.575, said, **TITLE)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, help="what benchmarks/store.py printed")
    lines = parser.parse_args().results.read_text(encoding="utf-8").splitlines()
    found = json.loads(next(line for line in reversed(lines) if line.startswith("{")))
    figure = plt.figure(figsize=(9.2, 6.4))
    layout(figure.add_axes((0.015, 0.61, 0.97, 0.38)))
    bars(figure.add_axes((0.27, 0.01, 0.71, 0.55)), found)
    TARGET.parent.mkdir(exist_ok=True)
    figure.savefig(TARGET, dpi=130, facecolor="white")


if __name__ == "__main__":
    main()
