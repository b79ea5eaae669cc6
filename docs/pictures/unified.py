"""Draws docs/images/unified.png from the first table of docs/unified.md that has a row "all streams".

python docs/pictures/unified.py
"""

from __future__ import annotations

import re
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

DOCS = Path(__file__).parents[1]
COLOURS = {"all streams": "#00796b", "without video": "#f9a825", "without audio": "#90a4ae", "without imu": "#8d6e63"}


def rows() -> tuple[list[str], dict[str, list[tuple[float, float]]]]:
    """What is asked, and by streams the exact answers beside the best possible, in percent."""
    text = (DOCS / "unified.md").read_text(encoding="utf-8")
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    place = next(i for i, row in enumerate(table) if row[0] == "all streams")
    found = {}
    for name, *cells in table[place : place + len(COLOURS)]:
        numbers = [re.findall(r"[\d.]+", cell) for cell in cells]
        found[name] = [(float(own[0]), float(own[-1]) if len(own) > 1 else 100.0) for own in numbers]
    return table[place - 2][1:], found


def main() -> None:
    kinds, found = rows()
    figure, axes = plt.subplots(figsize=(8.5, 3.6), layout="constrained")
    place, width = np.arange(len(kinds)), 0.2
    for i, (name, values) in enumerate(found.items()):
        where = place + (i - 1.5) * width
        axes.bar(where, [v for v, _ in values], width * 0.9, color=COLOURS[name], label=name)
        for x, (_, best) in zip(where, values):
            axes.plot([x - width * 0.45, x + width * 0.45], [best, best], color="black", lw=1.2)
    axes.plot([], [], color="black", lw=1.2, label="best possible")
    axes.set_xticks(place, kinds)
    axes.set_ylabel("exact answers, %")
    axes.set_ylim(0, 112)
    axes.legend(ncols=5, fontsize=8, loc="upper center", frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(DOCS / "images/unified.png", dpi=110)


if __name__ == "__main__":
    main()
