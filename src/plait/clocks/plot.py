"""A picture of one recording's clocks: lag against time, and the streams before and after the correction."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from plait.clocks.estimate import ClockFix, Solution
from plait.clocks.link import Link

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import FigureBase

__all__ = ["draw"]

Array = NDArray[np.float64]

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
"""A palette that colour-blind people can distinguish too (Okabe and Ito, 2008)."""

INK, MUTED, ALARM = "#222222", "#777777", "#B00020"
MARKS = "os^vPX"
WINDOW = 6.0
"""Seconds of the streams that are shown before and after."""

STYLE: Any = {
    "font.family": "sans-serif", "font.size": 9.5, "axes.spines.top": False, "axes.spines.right": False,
    "axes.edgecolor": MUTED, "axes.labelcolor": INK, "text.color": INK, "xtick.color": MUTED, "ytick.color": MUTED,
    "xtick.labelcolor": INK, "ytick.labelcolor": INK, "axes.linewidth": 0.7, "axes.grid": True,
    "grid.color": "#E6E6E6", "grid.linewidth": 0.7, "axes.axisbelow": True, "legend.frameon": False,
    "legend.fontsize": 8.5, "axes.titlesize": 10, "axes.titlelocation": "left", "text.parse_math": False,
}  # fmt: skip


def draw(solution: Solution, path: str | Path) -> Path:
    """Draw the result for one recording, as a PNG.

    Above, for each device, lag against time: a dot per window of each pair of streams compared (its size is its
    weight; hollow where the comparison went through a third device), the fitted line with a band of two standard
    errors, knots as diamonds, lost samples as dotted lines; beside it the residuals. Below, the activity of all
    streams in a few seconds, by the files' own clocks and after the correction.

    Args:
        solution: result of `plait.clocks.estimate.solve_all`.
        path: path of the picture; its folder is created if needed.
    """
    import matplotlib
    from matplotlib.figure import Figure

    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context(STYLE), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # names may hold letters that the font lacks
        rows = [1.75] * max(len(solution.fixes), 1)
        streams = sum(len(own) for own in solution.acts.values())
        figure = Figure(figsize=(11, sum(rows) + 1.2 + 0.42 * streams), layout="constrained", dpi=110)
        figure.suptitle(f"{solution.recording}: clocks against {solution.reference}", x=0.01, ha="left", weight="bold")
        parts: Any = figure.subfigures(2, 1, height_ratios=[sum(rows), 0.8 + 0.42 * streams])
        _lags(parts[0], solution)
        _streams(parts[1], solution)
        figure.savefig(target)
    return target


def _colour(solution: Solution, device: str) -> str:
    others = [fix.device for fix in solution.fixes]
    return INK if device == solution.reference else COLOURS[others.index(device) % len(COLOURS)]


def _lags(figure: FigureBase, solution: Solution) -> None:
    """Two panels per device, the lags and their residuals, on one time axis."""
    if not solution.fixes:
        return
    ratios = {"width_ratios": [2.4, 1]}
    # Explicit figures, not pyplot: that keeps global state and is not safe in worker processes.
    panels = figure.subplots(len(solution.fixes), 2, sharex=True, squeeze=False, gridspec_kw=ratios)
    for (left, right), fix in zip(panels, solution.fixes):
        colour = _colour(solution, fix.device)
        dots = [dot for one in solution.links for dot in _dots(solution, one, fix)]
        _lag(left, solution, fix, dots, colour)
        _left_over(right, solution, fix, dots, colour)
        if dots:
            look = {"handletextpad": 0.2, "borderaxespad": 0.2}
            right.legend(*left.get_legend_handles_labels(), loc="upper left", bbox_to_anchor=(1.0, 1.02), **look)
    ends = np.array([_span(solution, fix.device) for fix in solution.fixes if solution.acts.get(fix.device)])
    if len(ends):
        panels[-1, 0].set_xlim(ends[:, 0].min(), ends[:, 1].max())
    for axes in panels[-1]:
        axes.set_xlabel("device's own seconds")


def _scattered(axes: Axes, dots: Sequence[_Dots], values: Sequence[Array], colour: str) -> None:
    for i, (dot, seconds) in enumerate(zip(dots, values)):
        # Area grows with the root of the weight; the 95th percentile keeps one heavy window from shrinking the others.
        size = 8 + 26 * np.sqrt(dot.weights / max(float(np.quantile(dot.weights, 0.95)), 1e-12)).clip(0, 1)
        face, edge = (colour, "white") if dot.direct else ("none", colour)
        marker = MARKS[i % len(MARKS)]
        axes.scatter(
            *(dot.times, seconds * 1e3, size), marker=marker, linewidth=0.6, alpha=0.75, label=dot.pair,
            facecolor=face, edgecolor=edge,
        )  # fmt: skip


def _lag(axes: Axes, solution: Solution, fix: ClockFix, dots: Sequence[_Dots], colour: str) -> None:
    base = _base(fix)
    _scattered(axes, dots, [dot.lags - base for dot in dots], colour)
    lags = np.concatenate([dot.lags for dot in dots]) - base if dots else np.zeros(1)
    middle = float(np.median(lags))
    middle, half = _curve(axes, solution, fix, colour) or (middle, float(np.quantile(np.abs(lags - middle), 0.9)))
    _limits(axes, lags, middle, max(half, 0.015))
    axes.set_ylabel(f"lag, ms\nfrom {base:.3f} s".replace("-", "−") if base else "lag, ms")
    axes.set_title(fill(_title(fix), 140), color=ALARM if fix.flagged else INK)
    axes.title.set_in_layout(False)  # it may reach over the panel beside it


def _left_over(axes: Axes, solution: Solution, fix: ClockFix, dots: Sequence[_Dots], colour: str) -> None:
    """The lags minus the curve."""
    clock = solution.adjustment.clocks.get(fix.device)
    if clock is None:
        axes.set_axis_off()
        return
    t = np.linspace(*_span(solution, fix.device), 400)
    error = 2 * clock.error_at(t)
    values = [dot.times + dot.lags - clock.warp(dot.times) for dot in dots]
    axes.fill_between(t, -error * 1e3, error * 1e3, color=colour, alpha=0.16, linewidth=0)
    axes.axhline(0, color=colour, lw=1.2)
    _scattered(axes, dots, values, colour)
    _limits(axes, np.concatenate([*values, np.zeros(1)]), 0.0, max(1.3 * float(error.max()), 1e-4))
    axes.set_ylabel("off the line, ms")


def _curve(axes: Axes, solution: Solution, fix: ClockFix, colour: str) -> tuple[float, float] | None:
    """Draw the fitted lag with its band and marks; returns the middle and half the height that they need."""
    clock, base = solution.adjustment.clocks.get(fix.device), _base(fix)
    if clock is None:
        return None
    t = np.linspace(*_span(solution, fix.device), 400)
    lag, error = clock.warp(t) - t - base, 2 * clock.error_at(t)
    axes.fill_between(t, (lag - error) * 1e3, (lag + error) * 1e3, color=colour, alpha=0.16, linewidth=0)
    axes.plot(t, lag * 1e3, color=colour, lw=1.6, ls="-" if fix.applied else (0, (4, 3)))
    _marks(axes, fix, base, colour)
    return float(lag.max() + lag.min()) / 2, max(float(np.ptp(lag)) * 0.65, 1.3 * float(error.max()))


def _base(fix: ClockFix) -> float:
    """Seconds subtracted from all lags of a panel, so that milliseconds can be read."""
    return round(fix.offset, 3) if np.isfinite(fix.offset) else 0.0


def _span(solution: Solution, device: str) -> tuple[float, float]:
    ends = [end for act in solution.acts[device].values() for end in (act.clock.start, act.clock.stop)]
    return (min(ends), max(ends)) if ends else (0.0, 1.0)


class _Dots(NamedTuple):
    """Windows of a pair of streams: device's seconds, lags to the reference, and weights.

    ``direct``: the pair's other stream is the reference's own.
    """

    pair: str
    direct: bool
    times: Array
    lags: Array
    weights: Array


def _dots(solution: Solution, one: Link, fix: ClockFix) -> list[_Dots]:
    if fix.device not in (one.a, one.b):
        return []
    other = one.a if one.b == fix.device else one.b
    clock = solution.adjustment.clocks.get(other)
    if other != solution.reference and (clock is None or not any(one is used for used in solution.adjustment.used)):
        return []
    out = []
    for each in one.lags:
        own, there = each.times, each.times + each.lags
        if one.b != fix.device:
            own, there = there, own
        placed = there if clock is None else clock.warp(there)
        if len(own):
            pair = each.pair.replace("~", " ~ ")
            out.append(_Dots(pair, other == solution.reference, own, placed - own, each.weights))
    return out


def _marks(axes: Axes, fix: ClockFix, base: float, colour: str) -> None:
    table = np.array(fix.knots[1:-1]).reshape(-1, 2)
    axes.plot(table[:, 0], (table[:, 1] - base) * 1e3, "D", ms=4, mfc="white", mec=colour, mew=1.1)
    for when, size in fix.change_points:
        axes.axvline(when, color=INK, lw=1, ls=":")
        what = f" {abs(size) * 1e3:.0f} ms {'lost' if size > 0 else f'of {fix.reference} lost'}"
        axes.annotate(what, (when, 0.97), xycoords=("data", "axes fraction"), va="top", fontsize=8.5)


def _limits(axes: Axes, lags: Array, middle: float, half: float) -> None:
    """All of the curve and most of the dots; those outside are counted."""
    away = np.abs(lags - middle)
    half = max(half, min(float(np.quantile(away, 0.9)) * 1.3, 4 * half))
    outside = int((away > half).sum())
    axes.set_ylim((middle - half) * 1e3, (middle + half) * 1e3)
    if outside:
        text = f"{outside} of {len(lags)} windows lie outside"
        axes.text(0.995, 0.03, text, transform=axes.transAxes, ha="right", fontsize=8, color=MUTED)


def _title(fix: ClockFix) -> str:
    if not np.isfinite(fix.offset):
        return f"{fix.device}: FLAGGED, {fix.reason}"
    found = f"{fix.device}: offset {fix.offset:+.4f} s, drift {fix.drift_ppm:+.1f} ppm".replace(" -", " −")
    if fix.knots:
        found += f", bent by up to {fix.bend_s * 1e3:.0f} ms"
    if np.isfinite(fix.uncertainty_s):
        found += f", within {fix.uncertainty_s * 1e3:.1f} ms"
    return found + (f". FLAGGED: {fix.reason}" if fix.flagged else f", confidence {fix.confidence:.3f}")


def _streams(figure: FigureBase, solution: Solution) -> None:
    """Activity of each stream in a few seconds, by its file's clock and by the reference's."""
    rows = [(device, name) for device, own in solution.acts.items() for name in own]
    if not rows:
        return
    rows.sort(key=lambda row: row[0] != solution.reference)
    fixes = {fix.device: fix for fix in solution.fixes}
    after = {device: _placed(solution, device, fixes.get(device)) for device, _ in rows}
    start = _busiest(solution, rows, after)
    left, right = figure.subplots(1, 2, sharey=True)
    for axes, title, corrected in ((left, "before: each file's own seconds", False), (right, "after", True)):
        axes.set_title(title if not corrected else f"after: seconds of {solution.reference}")
        axes.set_xlim(start, start + WINDOW)
        axes.set_xlabel("seconds")
        axes.grid(axis="y", visible=False)
        for i, (device, name) in enumerate(rows):
            act = solution.acts[device][name]
            times = after[device] if corrected else None
            _stacked(axes, act.clock.times if times is None else times[name], act.values, i, _colour(solution, device))
        for t in _peaks(solution, rows[0], start):
            axes.axvline(t, color=INK, lw=0.7, alpha=0.35, zorder=0.5)
    left.set_yticks([-i for i in range(len(rows))], [name for _, name in rows])
    left.set_ylim(-len(rows) + 0.8, 1.05)
    left.tick_params(axis="y", length=0)
    for label, (device, _) in zip(left.get_yticklabels(), rows):
        label.set_color(_colour(solution, device))


def _placed(solution: Solution, device: str, fix: ClockFix | None) -> dict[str, Array]:
    """Times of each stream's activity after the correction."""
    own = {name: act.clock.times for name, act in solution.acts[device].items()}
    return {name: fix.seconds(t) for name, t in own.items()} if fix is not None and fix.applied else own


def _busiest(solution: Solution, rows: Sequence[tuple[str, str]], after: dict[str, dict[str, Array]]) -> float:
    """Start of the window in which even the least active stream is most active."""
    reference = [after[d][n] for d, n in rows if d == solution.reference] or [after[rows[0][0]][rows[0][1]]]
    first, last = float(reference[0][0]), float(reference[0][-1])
    starts = np.arange(first, max(last - WINDOW, first) + 1e-6, 0.5)
    least = np.full(len(starts), np.inf)
    for device, name in rows:
        act, times = solution.acts[device][name], after[device][name]
        energy = np.concatenate([[0.0], np.cumsum(np.where(act.known, act.values, 0.0).clip(0) ** 2)])
        at = np.searchsorted(times, [starts, starts + WINDOW])
        share = (energy[at[1]] - energy[at[0]]) / max(float(energy[-1]), 1e-12)
        least = np.minimum(least, share)
    return float(starts[int(np.argmax(least))])


def _stacked(axes: Axes, times: Array, values: Array, row: int, colour: str) -> None:
    lo, hi = axes.get_xlim()
    inside = (times >= lo) & (times <= hi)
    if not inside.any():
        return
    height = values[inside].clip(0)
    top = max(float(height.max()), 1e-9)
    axes.fill_between(times[inside], -row, -row + 0.85 * height / top, color=colour, alpha=0.75, linewidth=0)
    axes.axhline(-row, color="#D0D0D0", lw=0.7, zorder=0.4)


def _peaks(solution: Solution, row: tuple[str, str], start: float, most: int = 8) -> list[float]:
    """The sharpest instants of the reference within the window."""
    act = solution.acts[row[0]][row[1]]
    times, values = act.clock.times, act.values
    inner = 1 + np.flatnonzero((values[1:-1] > values[:-2]) & (values[1:-1] >= values[2:]) & (values[1:-1] > 1))
    inner = inner[(times[inner] > start) & (times[inner] < start + WINDOW)]
    kept: list[int] = []
    for i in inner[np.argsort(-values[inner])]:
        if all(abs(times[i] - times[k]) > 0.12 for k in kept) and len(kept) < most:
            kept.append(int(i))
    return [float(times[i]) for i in kept]
