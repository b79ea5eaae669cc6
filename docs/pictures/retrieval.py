"""Draws docs/images/retrieval.png from the tables of docs/retrieval.md.

python docs/pictures/retrieval.py
"""

from __future__ import annotations

import re
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes

DOCS = Path(__file__).parents[1]
OWN, OTHER, BEST = "#00796b", "#90a4ae", "#f9a825"

Table = list[list[str]]


def tables() -> list[Table]:
    """The tables of the page: rows of cells, the head first."""
    found: list[Table] = [[]]
    for line in (DOCS / "retrieval.md").read_text(encoding="utf-8").splitlines():
        if line.startswith("|"):
            found[-1].append([cell.strip() for cell in line.strip("|").split("|")])
        elif found[-1]:
            found.append([])
    return [[row for row in table if set(row[-1]) - set("-:")] for table in found if table]


def table(first: str) -> Table:
    """The table whose head begins with a text."""
    return next(found for found in tables() if found[0][0] == first)


def number(cell: str) -> float:
    return float(re.match(r"[\d.]+", cell)[0])  # type: ignore[index]


def curve(axes: Axes) -> None:
    _, *rows = table("pictures")
    for name, colour in (("recipe", OWN), ("ridge CCA", OTHER)):
        own = [row for row in rows if row[1] == name]
        sizes, values = [int(row[0]) for row in own], [number(row[2]) for row in own]
        spread = [number(row[2].partition("±")[2].strip()) for row in own]
        axes.errorbar(sizes, values, spread, fmt="o-", color=colour, label=name, capsize=3)
    axes.set(title="a sentence's picture among 100", xlabel="training pictures", ylabel="recall@1, %", ylim=(0, None))
    axes.set_xticks([150, 300, 600])
    axes.legend(loc="lower right")


def pairs(axes: Axes) -> None:
    _, *rows = table("hard pairs")
    names, values = [row[0] for row in rows], [number(row[1]) for row in rows]
    axes.bar(names, values, color=[OTHER, OWN], width=0.5)
    axes.axhline(50, color="black", lw=1, ls=":")
    axes.bar_label(axes.containers[0], fmt="%.1f")  # type: ignore[arg-type]
    axes.set(title="same objects, other order", ylabel="right pairs, %", ylim=(0, 105))


def streams(axes: Axes) -> None:
    _, *rows = table("asked by")
    names = [f"{row[0]} → {row[1]}" for row in rows]
    places = range(len(rows))
    axes.barh(places, [number(row[5]) for row in rows], color=BEST, alpha=0.5, height=0.8, label="best possible")
    axes.barh(places, [number(row[4]) for row in rows], color=OWN, height=0.5, label="found")
    axes.set_yticks(places, names, fontsize=7)
    axes.invert_yaxis()
    axes.set(title="four streams, any subset", xlabel="recall@10, %")
    axes.legend(loc="lower right", fontsize=7)


def main() -> None:
    figure, (one, two, three) = plt.subplots(
        1, 3, figsize=(12, 3.8), layout="constrained", gridspec_kw={"width_ratios": [4, 2.4, 4]}
    )
    curve(one)
    pairs(two)
    streams(three)
    figure.savefig(DOCS / "images/retrieval.png", dpi=110)


if __name__ == "__main__":
    main()
