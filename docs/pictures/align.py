"""Draws docs/images/align.png: words over two streams of different rates, what each method gives, and the coverage.

python docs/pictures/align.py
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from plait.align.join import How, Joined, join
from plait.streams.clock import Grid, Spans
from plait.streams.stream import Stream

DOCS = Path(__file__).parents[1]
TEXTS = ["we", "walked", "along", "the", "old", "river", "until", "it", "got", "dark", "now"]
STARTS = np.array([0.10, 0.35, 0.95, 1.40, 1.52, 1.90, 2.60, 3.10, 3.22, 3.50, 4.18])
STOPS = np.array([0.30, 0.90, 1.35, 1.50, 1.85, 2.50, 3.05, 3.17, 3.45, 4.12, 4.38])
GREY, BLUE, ORANGE, GREEN, RED = "#555555", "#3b6fb6", "#d9822b", "#3d8f5a", "#b5413f"
WHY = {"matched": GREEN, "in part": "#a6cf9b", "gap": ORANGE, "shorter than a step": "#e6c229", "after": "#999999"}


def fast() -> Stream:
    """A sensor at 100 Hz that is switched off at 3.8 s."""
    t = np.arange(380) / 100
    rng = np.random.default_rng(3)
    return Stream.of(np.sin(4.2 * t) + 0.5 * np.sin(11 * t + 1) + 0.12 * rng.normal(size=len(t)), rate=100)


def slow() -> Stream:
    """A slower one, about 6 times a second, that pauses for a second."""
    rng = np.random.default_rng(5)
    t = np.sort(np.concatenate([np.arange(0.05, 1.9, 0.16), np.arange(2.75, 4.4, 0.16)]) + rng.uniform(-0.02, 0.02, 23))
    return Stream.of(60 + 8 * np.sin(2.1 * t) + 3 * np.sin(7 * t), times=t)


def main() -> None:
    words = Spans(STARTS, STOPS)
    figure, axes = plt.subplots(4, 1, figsize=(10.5, 9.6), sharex=True, height_ratios=[0.45, 2.2, 2.2, 1.1])
    for ax in axes:
        ax.spines[["top", "right"]].set_visible(False)
        for start, stop in zip(STARTS, STOPS):
            ax.axvspan(start, stop, color="#eef2f8", lw=0, zorder=0)
    spoken(axes[0])
    over_words(axes[1], words, fast())
    at_instants(axes[2], slow())
    joined = {"100 Hz": join(words, fast()), "6 Hz": join(words, slow(), max_gap=0.5)}
    covered(axes[3], words, joined)
    axes[3].set_xlabel("seconds")
    axes[3].set_xlim(0, 4.4)
    figure.tight_layout()
    figure.savefig(DOCS / "images" / "align.png", dpi=110)


def spoken(ax: Any) -> None:
    for text, start, stop in zip(TEXTS, STARTS, STOPS):
        ax.text((start + stop) / 2, 0.45, text, ha="center", va="center", fontsize=9.5)
        ax.plot([start, start, stop, stop], [0.1, 0, 0, 0.1], color=GREY, lw=1)
    ax.set_ylim(-0.1, 1)
    ax.axis("off")


def over_words(ax: Any, words: Spans, stream: Stream) -> None:
    ax.plot(stream.clock.times, stream.read(), color="#9db4d3", lw=1, label="stream, 100 Hz")
    mean = join(words, stream, "mean")
    for k in np.flatnonzero(mean.mask[:, 0]):
        value = mean.values[k, 0]
        ax.plot([words.starts[k], words.stops[k]], [value, value], color=BLUE, lw=2.6, label="mean" if k == 0 else None)
    for how, mark, colour in (("max", "^", RED), ("min", "v", RED), ("first", "o", GREEN), ("last", "s", GREEN)):
        got = join(words, stream, how)  # type: ignore[arg-type]
        at = {"first": words.starts, "last": words.stops}.get(how, words.times)
        seen = got.mask[:, 0]
        face = "white" if how in ("min", "last") else colour
        ax.plot(at[seen], got.values[seen, 0], mark, color=colour, mfc=face, ms=5, label=how)
    ax.set_ylabel("over each word")
    ax.legend(ncol=6, frameon=False, fontsize=9, loc="upper center", bbox_to_anchor=(0.5, 1.12))


def at_instants(ax: Any, stream: Stream) -> None:
    grid = Grid(0, 200, 890)
    styles: dict[How, tuple[str, str]] = {
        "hold": (ORANGE, "-"), "nearest": (GREEN, "-"), "linear": (BLUE, "-"), "cubic": (RED, "--"),
    }  # fmt: skip
    for how, (colour, line) in styles.items():
        got = join(grid, stream, how, max_gap=0.5)
        shown = np.where(got.mask, got.values, np.nan)
        ax.plot(grid.times, shown, line, color=colour, lw=1.4, alpha=0.9, label=how)
    ax.plot(stream.clock.times, stream.read(), "o", color="black", ms=4, label="stream, 6 Hz", zorder=5)
    ax.annotate("a pause longer than max_gap:\nnothing is made up", (2.32, 62), ha="center", color=GREY, fontsize=9)
    ax.set_ylabel("at each instant of a grid")
    ax.legend(ncol=5, frameon=False, fontsize=9, loc="upper center", bbox_to_anchor=(0.5, 1.12))


def covered(ax: Any, words: Spans, joined: dict[str, Joined]) -> None:
    """What became of each word, row by row, and the counts beside it."""
    for row, (name, one) in enumerate(joined.items()):
        for k in range(len(words)):
            part = words[k : k + 1]
            alone = join(part, {"100 Hz": fast(), "6 Hz": slow()}[name], max_gap=0.5).coverage
            why = "in part" if alone.partial else next(
                label for label, count in (("matched", alone.matched), ("gap", alone.gap),
                                           ("shorter than a step", alone.empty), ("after", alone.after)) if count
            )  # fmt: skip
            ax.barh(-row, part.stops[0] - part.starts[0], left=part.starts[0], height=0.4, color=WHY[why])
        ax.text(0.02, -row + 0.3, f"{name}: {one.coverage}", fontsize=8.2, color="black", va="bottom",
                bbox={"color": "white", "pad": 1})  # fmt: skip
    handles = [plt.Rectangle((0, 0), 1, 1, color=colour) for colour in WHY.values()]
    ax.legend(handles, WHY, ncol=5, frameon=False, fontsize=8.5, loc="upper center", bbox_to_anchor=(0.5, -0.38))
    ax.set_yticks([])
    ax.set_ylim(-1.3, 0.75)
    ax.set_ylabel("coverage")


if __name__ == "__main__":
    main()
