"""The picture of a comparison: every variant with its interval, and how far each is from the best."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from plait.comparison.schema import Numbers, VariantRow
from plait.comparison.variants import ALONE, FUSION
from plait.comparison.view import View
from plait.report import plots, words
from plait.report.canvas import INK, LINES, MUTED, PAPER, hover, png, svg

__all__ = ["draw_svg", "save_png"]

SINGLE, FUSED, LESS = LINES[0], LINES[1], LINES[2]
"""One modality; all of them; all but one."""


def save_png(result: Numbers, path: str | Path) -> None:
    """Write the picture as PNG.

    Raises:
        OSError: it cannot be written.
    """
    png(path, _size(result), lambda figure, colours: _draw(figure, View(result), colours.__getitem__))


def draw_svg(result: Numbers, name: str) -> str:
    """The picture as inline SVG, in the colours of its page."""
    # `str` leaves the stand-ins as they are: they become CSS variables in the SVG.
    return svg(name, _size(result), lambda figure: _draw(figure, View(result), str), listed=False)


def _size(result: Numbers) -> tuple[float, float]:
    return 9.6, 1.25 + 0.36 * len(result["variants"])


def _draw(figure: Figure, view: View, colour: Callable[[str], str]) -> None:
    rows = view.ranked()
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=[1.15, 1])
    for i, row in enumerate(rows):
        _value(left, view, row, i, colour)
        _difference(right, view, row, i, colour)
    _baseline(left, view, colour)
    right.axvline(0, color=colour(MUTED), lw=1)
    left.set_yticks(range(len(rows)), [plots.short(row["title"], 30) for row in rows])
    left.set_ylim(len(rows) - 0.45, -0.95)
    lower = "" if view.sign > 0 else ", lower is better"
    told = "" if view.too_few else ", with 95 % interval"
    _titled(left, f"{words.title_of(view.metric)}{told}{lower}", colour)
    # A line of its own: beside a long name it would be cut at the figure's edge.
    filled = "" if view.too_few else "\n(filled: more than chance)"
    _titled(right, f"difference to {plots.short(view.best['title'], 30)}{filled}", colour)
    for axes in (left, right):
        axes.grid(visible=False, axis="y")
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
    if words.in_percent(view.metric):
        left.xaxis.set_major_formatter(lambda v, _: f"{100 * v:.3g} %")
        right.xaxis.set_major_formatter(lambda v, _: f"{100 * v:+.3g}".replace("-", words.MINUS).replace("+0", "0"))
        right.set_xlabel("points")


def _baseline(axes: Axes, view: View, colour: Callable[[str], str]) -> None:
    """The constant answer as a line; as text where a line so far off would squeeze all other values together."""
    base, (low, high) = view.result["baseline"]["value"], axes.get_xlim()
    if base is None:
        return
    if low - (high - low) < base < high + (high - low):
        axes.axvline(base, color=colour(MUTED), lw=1, ls=(0, (2, 2)))
        at, text = base, " constant answer"
    else:
        at, text = low, f"constant answer: {words.show(view.metric, base)}"
    axes.text(at, -0.72, text, color=colour(MUTED), fontsize=8, va="center")


def _titled(axes: Axes, text: str, colour: Callable[[str], str]) -> None:
    axes.set_title(text, loc="left", fontsize=9.5, color=colour(MUTED))


def _kind(row: VariantRow) -> str:
    return {ALONE: SINGLE, FUSION: FUSED}.get(row["kind"], LESS)


def _value(axes: Axes, view: View, row: VariantRow, at: int, colour: Callable[[str], str]) -> None:
    if row["low"] is not None and row["high"] is not None:
        axes.hlines(at, row["low"], row["high"], color=colour(_kind(row)), lw=4, alpha=0.3)
    if row["value"] is None:
        return
    (dot,) = axes.plot(row["value"], at, marker="o", ms=6.5, color=colour(_kind(row)))
    ends = f" ({words.interval(view.metric, row)})" if words.has_interval(row) else ""
    hover(dot, [f"{words.show(view.metric, row['value'])}{ends}"], row["title"])
    if len(row["per_seed"]) > 1:
        axes.plot(
            [math.nan if v is None else v for v in row["per_seed"]],
            [at] * len(row["per_seed"]),
            ls="",
            marker="|",
            ms=7,
            color=colour(INK),
            alpha=0.7,
        )


def _difference(axes: Axes, view: View, row: VariantRow, at: int, colour: Callable[[str], str]) -> None:
    """How much the metric falls short of the best: further left is worse, whatever the metric."""
    if row is view.best:
        axes.plot(0, at, marker="o", ms=6.5, color=colour(_kind(row)))
        return
    gap = view.gap(row, view.best)
    if gap["low"] is not None and gap["high"] is not None:
        axes.hlines(at, gap["low"], gap["high"], color=colour(_kind(row)), lw=4, alpha=0.3)
    if gap["difference"] is not None:
        # A hollow mark is filled with the page's colour, not left empty, so that its interval does not show through.
        face = colour(_kind(row)) if gap["significant"] else "white" if colour is not str else colour(PAPER)
        (dot,) = axes.plot(gap["difference"], at, marker="o", ms=6.5, mfc=face, mec=colour(_kind(row)), mew=1.4)
        hover(dot, [words.change(view.metric, gap["difference"])], f"{row['title']}, to {view.best['title']}")
