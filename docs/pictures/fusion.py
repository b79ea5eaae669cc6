"""Draws docs/images/fusion.png, what a training step costs by fusion, and writes the tables of docs/fusion.md.

The figures are those that the benchmarks printed last:

    python benchmarks/mosi_shape.py --all --mmsa PYTHON | tail -n 1 > mosi.json
    python benchmarks/long.py | tail -n 1 > long.json
    python docs/pictures/fusion.py mosi.json long.json
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

DOCS = Path(__file__).parents[1]
GREY, BLUE, ORANGE, GREEN = "#777777", "#3b6fb6", "#d9822b", "#4f9d69"
Row = dict[str, Any]


def kind_of(name: str) -> tuple[str, str]:
    """How a row is called in the picture, and its colour."""
    if name.startswith("MMSA"):
        return name, ORANGE
    if "same sizes" in name:
        return name.replace(", same sizes and weights", ", same weights"), GREEN
    return name.removeprefix("plait ").replace(", default encoders", ""), BLUE


def bars(axes: Any, rows: dict[str, Row]) -> None:
    """Seconds of a step, longest first, with the peak memory beside."""
    ordered = sorted(rows.items(), key=lambda item: -item[1]["seconds"])
    for i, (name, row) in enumerate(ordered):
        label, colour = kind_of(name)
        axes.barh(i, row["seconds"], color=colour, height=0.7)
        axes.text(
            row["seconds"] * 1.12, i, f"{row['seconds']:.2f} s, {row['peak_gib']:.1f} GiB", va="center", fontsize=8
        )
        axes.text(0.0135, i, label, ha="right", va="center", fontsize=8.5)
    axes.set(xscale="log", xlim=(0.015, 150), ylim=(len(ordered) - 0.4, -0.6))
    axes.set(yticks=[], xlabel="seconds of a training step at the shape of MOSI, batch 16, one thread")


def curves(axes: Any, rows: dict[str, dict[str, Row]]) -> None:
    """Peak memory by length, for each fusion."""
    for (name, lengths), colour in zip(rows.items(), (BLUE, "#8a5fb0", ORANGE, GREEN, GREY, "black")):
        some = {int(n): row["peak_gib"] for n, row in lengths.items() if int(n) >= 1000}
        axes.plot(list(some), list(some.values()), "o-", color=colour, ms=4, lw=1.5, label=name)
    axes.set(xlabel="steps a stream (3 streams, 8 items)", ylabel="peak memory of a training step, GiB", ylim=(0, None))
    axes.xaxis.set_major_formatter(matplotlib.ticker.StrMethodFormatter("{x:,.0f}"))
    axes.legend(frameon=False, fontsize=8.5)


def table(head: list[str], body: list[list[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in body)])


def speeds(rows: dict[str, Row]) -> str:
    """The table of the benchmark at the shape of MOSI."""
    body = [
        [name, f"{row['seconds']:.2f}", f"{row['peak_gib']:.2f}", f"{row['apart']:.0e}" if _told(row) else ""]
        for name, row in rows.items()
    ]
    return table(["training step at the shape of MOSI, batch 16", "seconds", "peak GiB", "outputs apart"], body)


def _told(row: Row) -> bool:
    return row.get("apart") == row.get("apart") and row.get("apart") is not None


def lengths(rows: dict[str, dict[str, Row]]) -> str:
    """The table of the benchmark of long streams."""
    steps = list(next(iter(rows.values())))
    body = [
        [name, *(f"{found[n]['peak_gib']:.2f} ({found[n]['seconds']:.1f} s)" if n in found else "" for n in steps)]
        for name, found in rows.items()
    ]
    return table(["peak GiB (seconds) by steps a stream", *(f"{int(n):,}" for n in steps)], body)


def write(mark: str, text: str) -> None:
    """Put ``text`` between the page's marks of that name."""
    page = DOCS / "fusion.md"
    whole = page.read_text(encoding="utf-8")
    pattern = re.compile(rf"(<!-- {mark} -->\n).*?(\n<!-- end -->)", re.S)
    page.write_text(pattern.sub(lambda m: m[1] + text + m[2], whole), encoding="utf-8")


def main() -> None:
    mosi, long = (json.loads(Path(arg).read_text(encoding="utf-8"))["rows"] for arg in sys.argv[1:3])
    write("mosi", speeds(mosi))
    write("long", lengths(long))
    figure, (left, right) = plt.subplots(1, 2, figsize=(13, 5.6), width_ratios=[1.25, 1])
    figure.subplots_adjust(left=0.2, wspace=0.2)
    bars(left, mosi)
    curves(right, long)
    for axes in (left, right):
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
    figure.savefig(DOCS / "images/fusion.png", dpi=110, bbox_inches="tight")


if __name__ == "__main__":
    main()
