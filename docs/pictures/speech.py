"""Draws docs/images/speech.png from the table of docs/speech.md.

python docs/pictures/speech.py
"""

from __future__ import annotations

import re
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

DOCS = Path(__file__).parents[1]
COLOURS = {"lips": "#f9a825", "sound": "#90a4ae", "both": "#00796b"}
CLEAN = 30
"""Where the clean recordings stand, in dB."""


def rows() -> tuple[list[int], dict[str, list[float]]]:
    """The levels in dB, and word error rates by the streams that answer: the first of each name in the table."""
    text = (DOCS / "speech.md").read_text(encoding="utf-8")
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    head = next(row for row in table if "clean" in row)
    levels = [CLEAN if cell == "clean" else int(cell.removesuffix(" dB")) for cell in head[1:]]
    found: dict[str, list[float]] = {}
    for name, *cells in table[table.index(head) + 2 :]:
        if name in COLOURS and name not in found:
            found[name] = [float(re.match(r"[\d.]+", cell or cells[0])[0]) for cell in cells]  # type: ignore[index]
    return levels, found


def main() -> None:
    levels, found = rows()
    figure, axes = plt.subplots(figsize=(7.5, 3.6), layout="constrained")
    for name, values in found.items():
        axes.plot(levels, values, "o-" if name != "lips" else "--", color=COLOURS[name], label=name, lw=2)
    axes.set_yscale("log")
    axes.set_yticks([2, 5, 10, 20, 50, 100], ["2", "5", "10", "20", "50", "100"])
    axes.set_xticks(levels, ["clean" if x == CLEAN else f"{x} dB" for x in levels])
    axes.set_xlabel("babble on the sound (signal to noise)")
    axes.set_ylabel("word error rate, %")
    axes.grid(alpha=0.3)
    axes.legend(title="one checkpoint, from")
    figure.savefig(DOCS / "images/speech.png", dpi=110)


if __name__ == "__main__":
    main()
