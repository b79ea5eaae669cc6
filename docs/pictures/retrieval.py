"""Draws docs/images/retrieval.png from the tables of docs/retrieval.md.

python docs/pictures/retrieval.py
"""

from __future__ import annotations

import re
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

DOCS = Path(__file__).parents[1]
COLOURS = {"recipe": "#00796b", "ridge CCA": "#90a4ae"}


def rows() -> dict[str, list[str]]:
    """The cells of the table of results by its second column."""
    text = (DOCS / "retrieval.md").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if re.match(r"\| \d+ \|", line)]
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {cells[1]: cells[2:] for cells in table}


def draw(axes: Axes, first: int, title: str) -> None:
    """Recall at 1, 5 and 10: three columns from ``first`` on."""
    for place, (name, cells) in enumerate(rows().items()):
        values, spread = zip(*(map(float, cell.split(" ± ")) for cell in cells[first : first + 3]))
        at = np.arange(3) + 0.4 * place - 0.2
        axes.bar(at, values, 0.38, yerr=spread, color=COLOURS[name], label=name, capsize=3)
        for x, value in zip(at, values):
            axes.text(x, 4, f"{value:.1f}", ha="center", color="white")
    axes.set_xticks(range(3), ["recall@1", "recall@5", "recall@10"])
    axes.set(title=title, ylim=(0, 105))


def main() -> None:
    figure, (one, two) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained", sharey=True)
    draw(one, 0, "a sentence's picture among 100")
    draw(two, 4, "a picture's sentences among 500")
    one.set_ylabel("% of the queries")
    one.legend(loc="upper left")
    figure.savefig(DOCS / "images/retrieval.png", dpi=110)


if __name__ == "__main__":
    main()
