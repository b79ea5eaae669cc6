"""Plots of what each modality learns while a model is trained."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from plait.evaluation.schema import Curve
from plait.report.canvas import LINES, MUTED, hover, svg
from plait.report.plots import DASHES, short
from plait.report.words import in_percent, title_of

__all__ = ["beside", "column", "own"]


def column(curve: Curve, name: str) -> list[float | None]:
    """A column of a log; empty where it lacks it."""
    found = dict(curve).get(name)
    return found if isinstance(found, list) else []


def own(curves: Sequence[Curve], modality: str, metric: str, name: str) -> str:
    """Loss of a modality's own head on training and validation items, and its metric on validation."""
    losses = [("training", f"train_loss.{modality}", 1), ("validation", f"valid_loss.{modality}", 0)]
    panels = [("loss", losses), (f"validation {title_of(metric)}", [("", f"valid_{metric}.{modality}", 0)])]

    def draw(figure: Figure) -> None:
        for axes, (title, lines) in zip(figure.subplots(1, 2), panels):
            for label, key, i in lines:
                for n, curve in enumerate(curves):
                    _line(axes, column(curve, key), i, label if n == 0 else "")
            _dressed(axes, title)
            if title != "loss" and in_percent(metric):
                axes.yaxis.set_major_formatter(lambda v, _: f"{100 * v:.0f} %")
        figure.axes[0].legend(loc="best", handlelength=2.2)

    return svg(name, (4.9, 2.3), draw)


def beside(curves: Sequence[Curve], modalities: Sequence[str], name: str) -> str:
    """How fast each modality learns beside the others, and how far the fused answer leans on each."""

    def draw(figure: Figure) -> None:
        left, right = figure.subplots(1, 2)
        for n, curve in enumerate(curves):
            known = {m: column(curve, f"lean.{m}") for m in modalities}
            leans = {m: np.array(values, float) for m, values in known.items() if values}
            total = sum(leans.values())
            for i, m in enumerate(modalities):
                _line(left, column(curve, f"speed.{m}"), i, short(m, 14) if n == 0 else "")
                if m in leans:
                    _line(right, leans[m] / np.where(total > 0, total, np.nan), i, "")
        _dressed(left, "speed beside the others")
        left.axhline(1, color=MUTED, lw=1, ls=(0, (2, 2)))
        _dressed(right, "share of all leaning")
        right.set_ylim(0, 1)
        right.yaxis.set_major_formatter(lambda v, _: f"{100 * v:.0f} %")
        figure.legend(loc="outside upper left", ncols=3, handlelength=2.2)

    return svg(name, (4.9, 2.6), draw)


def _line(axes: Axes, values: Sequence[float | None] | NDArray[np.float64], i: int, label: str) -> None:
    y = np.array(values, float)  # None becomes NaN
    (line,) = axes.plot(
        np.arange(1, len(y) + 1), y, color=LINES[i % 8], ls=DASHES[i % 4], lw=1.3, alpha=0.9, label=label
    )
    if len(y) and np.isfinite(y[-1]):
        hover(line, [f"{y[-1]:.3g} after the last epoch"], label)


def _dressed(axes: Axes, title: str) -> None:
    axes.set_title(title, loc="left", fontsize=9.5, color=MUTED)
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
