"""Relations drawn: boxes over the picture, and the scene graph beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Rectangle
from numpy.typing import NDArray

from plait.report.canvas import png
from plait.tasks.answers import Relations

__all__ = ["draw_relations"]

COLOURS = ("#0072b2", "#d55e00", "#008f68", "#b3578f", "#8a6d00", "#3a9bd6", "#6b7280")

MOST = 8
"""Relations that can be read in one drawing."""


def draw_relations(
    path: str | Path,
    answer: Relations,
    picture: NDArray[np.generic] | None = None,
    *,
    size: tuple[float, float] | None = None,
    most: int = MOST,
) -> None:
    """Draw an answer into a PNG file: left its boxes over the picture, right objects and relations as a graph.

    Args:
        path: of the file.
        answer: what `plait.predict` gives.
        picture: [height, width, 3], or [height, width]; None: an empty one.
        size: width and height of the picture in pixels, where there is none; by default the furthest edges of boxes.
        most: relations that are drawn, the most probable ones.
    """
    kept = answer.relations[:most]
    named = {name: None for a, _, b, _ in kept for name in (a, b)}
    names = list(named) or list(answer.objects)

    def draw(figure: Figure, _: Mapping[str, str]) -> None:
        left, right = figure.subplots(1, 2, width_ratios=[1.2, 1])
        _over_picture(left, answer, names, picture, size)
        _as_graph(right, answer, names, kept)

    png(path, (9.5, 4.2), draw)


def _over_picture(
    axes: Axes,
    answer: Relations,
    names: Sequence[str],
    picture: NDArray[np.generic] | None,
    size: tuple[float, float] | None,
) -> None:
    boxes = {name: answer.boxes[name] for name in names if name in answer.boxes}
    if picture is not None:
        axes.imshow(picture, cmap="gray")
        size = picture.shape[1], picture.shape[0]
    elif size is None:
        size = max([1.0, *(b[2] for b in boxes.values())]), max([1.0, *(b[3] for b in boxes.values())])
    axes.set(xlim=(0, size[0]), ylim=(size[1], 0), xticks=[], yticks=[], aspect="equal")
    axes.grid(False)
    for name, (x0, y0, x1, y1) in boxes.items():
        colour = COLOURS[names.index(name) % len(COLOURS)]
        axes.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, edgecolor=colour, linewidth=1.8))
        label = f"{answer.objects[name]} {name}"
        axes.text(x0, y0, label, color="white", fontsize=8, va="bottom", backgroundcolor=colour, clip_on=True)


def _as_graph(axes: Axes, answer: Relations, names: Sequence[str], kept: Sequence[tuple[str, str, str, float]]) -> None:
    angle = np.pi / 2 - 2 * np.pi * np.arange(len(names)) / max(len(names), 1)
    place = {name: (float(np.cos(a)), float(np.sin(a))) for name, a in zip(names, angle)}
    axes.set(xlim=(-1.6, 1.6), ylim=(-1.35, 1.35), xticks=[], yticks=[])
    axes.grid(False)
    axes.spines[:].set_visible(False)
    for a, word, b, sure in kept:
        (x0, y0), (x1, y1) = place[a], place[b]
        bow = 0.18 if a != b else 0.9  # so that an arrow there and one back are apart
        arrow = FancyArrowPatch(
            (x0, y0), (x1, y1), connectionstyle=f"arc3,rad={bow}", arrowstyle="-|>", mutation_scale=12,
            shrinkA=20, shrinkB=20, color="#5b626b", linewidth=0.8 + 1.5 * sure,
        )  # fmt: skip
        axes.add_patch(arrow)
        # On the bow, which lies beside the line; nearer to the subject, as many lines cross in the middle.
        x, y = x0 + 0.37 * (x1 - x0) + 0.46 * bow * (y1 - y0), y0 + 0.37 * (y1 - y0) - 0.46 * bow * (x1 - x0)
        axes.text(x, y, f"{word} {sure:.0%}", fontsize=8, ha="center", va="center", backgroundcolor="white")
    for i, name in enumerate(names):
        x, y = place[name]
        box = {"boxstyle": "round,pad=0.35", "facecolor": COLOURS[i % len(COLOURS)], "edgecolor": "none"}
        axes.text(x, y, f"{answer.objects[name]} {name}", color="white", ha="center", va="center", fontsize=9, bbox=box)
