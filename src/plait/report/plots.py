"""The report's plots, as inline SVG. Colours are CSS variables, so that a plot follows light and dark."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypedDict

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from plait.core.atomic import replacing
from plait.evaluation.schema import Abstention, Bin, CorruptionCurve, Curve, Evaluation, SubsetRow
from plait.report.words import in_percent, main, printable, title_of

__all__ = ["abstention", "confusion", "corruption", "missing", "noise", "png", "reliability", "scatter", "svg"]
__all__ += ["training", "upset"]

# Stand-ins that no plot would otherwise use: they become CSS variables once matplotlib has drawn.
INK, MUTED, RULE, PAPER = "#010203", "#040506", "#070809", "#0a0b0c"
LINES = [f"#0d{i:02x}0f" for i in range(8)]
_VARIABLES = {INK: "ink", MUTED: "muted", RULE: "rule", PAPER: "paper"} | {c: f"s{i}" for i, c in enumerate(LINES)}
_LIGHT = {INK: "#1b1e22", MUTED: "#5b626b", RULE: "#dfdbd2", PAPER: "#fdfcfa"} | dict(
    zip(LINES, ("#0072b2", "#d55e00", "#008f68", "#b3578f", "#8a6d00", "#3a9bd6", "#6b7280", "#1b1e22"))
)
# Lines differ in mark and dash too, for readers who cannot tell the colours and for print.
_MARKS = "osD^vPX*"
_DASHES = ["-", (0, (5, 2)), (0, (1.5, 1.5)), (0, (6, 2, 1.5, 2))]
# Text stays text (the browser's fonts), ids repeat from run to run, and a $ in a name is not taken for a formula.
_STYLE: Any = {
    "svg.fonttype": "none", "svg.hashsalt": "plait", "text.parse_math": False, "font.family": "sans-serif",
    "font.size": 9.5, "axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": MUTED,
    "axes.labelcolor": MUTED, "xtick.color": MUTED, "ytick.color": MUTED, "xtick.labelcolor": INK,
    "ytick.labelcolor": INK, "text.color": INK, "axes.grid": True, "grid.color": RULE, "grid.linewidth": 0.7,
    "axes.axisbelow": True, "lines.linewidth": 1.8, "lines.markersize": 5, "legend.frameon": False,
    "axes.linewidth": 0.7, "xtick.major.size": 3, "ytick.major.size": 3, "axes.facecolor": "none",
    "axes.unicode_minus": True, "legend.fontsize": 9,
}  # fmt: skip


def png(path: str | Path, size: tuple[float, float], draw: Callable[[Figure, Mapping[str, str]], None]) -> None:
    """Draw into a PNG file in the colours of the light report; ``draw`` gets these by their stand-ins."""
    style: Any = {k: _LIGHT.get(v, v) if isinstance(v, str) else v for k, v in _STYLE.items()}
    with matplotlib.rc_context(style), warnings.catch_warnings(), replacing(path) as part:
        warnings.simplefilter("ignore", UserWarning)  # letters that the font lacks, as in `svg`
        figure = Figure(figsize=size, layout="constrained", facecolor="white")
        draw(figure, _LIGHT)
        figure.savefig(part, format="png", dpi=150)


def svg(name: str, size: tuple[float, float], draw: Callable[[Figure], None]) -> str:
    """Draw as SVG for use inside HTML: ids of its own, no header, the reader's colours and fonts."""
    out = io.StringIO()
    with matplotlib.rc_context(_STYLE), warnings.catch_warnings():
        # Names may hold letters that matplotlib's font lacks; the browser draws the text, with its own fonts.
        warnings.simplefilter("ignore", UserWarning)
        figure = Figure(figsize=size, layout="constrained")
        draw(figure)
        # No date, so that the same numbers give the same bytes.
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(out, format="svg", transparent=True, metadata=nothing)
    text = out.getvalue()
    text = text[text.index("<svg") :]
    # Inside HTML namespaces are known; ids are prefixed, as those of two plots on a page would clash.
    text = re.sub(r' xmlns(:xlink)?="[^"]*"', "", text, count=2)
    text = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", text)
    for colour, variable in _VARIABLES.items():
        text = text.replace(colour, f"var(--{variable})")
    # As wide as its column, but never larger than it was drawn.
    return re.sub(r'width="([\d.]+)pt" height="[\d.]+pt"', r'style="max-width:\1pt"', text, count=1)


def short(name: str, most: int = 18) -> str:
    """A name cut to fit beside a plot (the tables have it whole); no control characters."""
    clean = " ".join(printable(name).split())
    return clean if len(clean) <= most else clean[: most - 1] + "…"


def subset_name(names: Sequence[str], every: Sequence[str]) -> str:
    """'all together', or 'sound + motion'."""
    return "all together" if len(names) == len(every) > 1 else short(" + ".join(short(n, 14) for n in names), 32)


def _value_axis(axes: Axes, metric: str) -> None:
    axes.set_ylabel(title_of(metric))
    if in_percent(metric):
        axes.yaxis.set_major_formatter(lambda v, _: f"{100 * v:.0f} %")


class _Dot(TypedDict):
    value: float | None
    sd: float | None


def _line(axes: Axes, i: int, x: Sequence[float], rows: Sequence[_Dot], label: str) -> None:
    y = np.array([np.nan if r["value"] is None else r["value"] for r in rows])
    sd = np.array([r.get("sd") or 0.0 for r in rows])
    colour = LINES[i % len(LINES)]
    axes.fill_between(x, y - sd, y + sd, color=colour, alpha=0.15, linewidth=0)
    axes.plot(x, y, color=colour, marker=_MARKS[i % len(_MARKS)], ls=_DASHES[i % len(_DASHES)], label=label)


def _baseline(axes: Axes, evaluation: Evaluation) -> None:
    value = evaluation["baseline"]["metrics"].get(evaluation["task"]["metric"])
    if value is not None:
        axes.axhline(value, color=MUTED, lw=1, ls=(0, (2, 2)), label="constant answer")


def _legend(figure: Figure, axes: Axes) -> None:
    _, labels = axes.get_legend_handles_labels()
    if len(labels) > 1:
        columns = 1 if max(map(len, labels)) > 20 else 2
        figure.legend(loc="outside upper left", ncols=columns, handlelength=2.6)


def noise(evaluation: Evaluation, modality: str, kind: str, name: str) -> str:
    """The main metric as one modality gets worse: a line per subset, from clean to the worst level."""
    rows = [r for r in evaluation["robustness"]["noise"] if (r["modality"], r["kind"]) == (modality, kind)]
    # Decibels of signal over noise get worse as they fall, pixels of blur as they rise.
    axis, rising = rows[0]["axis"], rows[0]["rising"]
    levels = sorted({r["level"] for r in rows}, reverse=not rising)
    place = {level: i + 1 for i, level in enumerate(levels)}
    clean = {tuple(r["modalities"]): main(evaluation, r) for r in evaluation["subsets"]}
    full = evaluation["subsets"][-1]["modalities"]

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for i, subset in enumerate(dict.fromkeys(tuple(r["subset"]) for r in rows)):
            own = sorted((r for r in rows if tuple(r["subset"]) == subset), key=lambda r: place[r["level"]])
            dots: list[_Dot] = [{"value": clean[subset], "sd": None}] if subset in clean else []
            x = [0.0] * len(dots) + [place[r["level"]] for r in own]
            dots += [{"value": r["value"], "sd": r["sd"]} for r in own]
            _line(axes, i, x, dots, subset_name(subset, full))
        _baseline(axes, evaluation)
        axes.set_xticks(range(len(levels) + 1), ["clean", *(f"{v:g}".replace("-", "−") for v in levels)])
        axes.set_xlabel(f"{axis}  (worse →)")
        axes.grid(visible=False, axis="x")
        _value_axis(axes, evaluation["task"]["metric"])
        _legend(figure, axes)

    return svg(name, (4.9, 3.5), draw)


def missing(evaluation: Evaluation, name: str) -> str:
    """The main metric as more and more streams are hidden at random."""
    rows = sorted(evaluation["robustness"]["missing"], key=lambda r: r["share"])

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        shares = [r["share"] for r in rows]
        dots: list[_Dot] = [{"value": r["value"], "sd": r["sd"]} for r in rows]
        if shares[0] != 0:
            shares = [0.0, *shares]
            dots = [{"value": main(evaluation, evaluation["subsets"][-1]), "sd": None}, *dots]
        _line(axes, 0, shares, dots, "all together")
        _baseline(axes, evaluation)
        axes.xaxis.set_major_formatter(lambda v, _: f"{100 * v:.0f} %")
        axes.set_xlabel("share of streams hidden")
        _value_axis(axes, evaluation["task"]["metric"])
        _legend(figure, axes)

    return svg(name, (4.9, 3.5), draw)


def corruption(rows: Sequence[CorruptionCurve], metric: str, name: str) -> str:
    """The metric over the levels of one kind of damage: a line for each stream, dashed for late fusion."""
    levels = rows[0]["levels"]
    named = ["none", *(f"{level:g}".replace("-", "−") for level in levels[1:])]

    def draw(figure: Figure) -> None:
        axes, places = figure.subplots(), range(len(levels))
        for i, row in enumerate(rows):
            colour = LINES[i % len(LINES)]
            label = short(row["modality"]) or "all"
            axes.plot(places, row["values"], color=colour, marker=_MARKS[i % len(_MARKS)], label=label)
            if "late" in row:
                axes.plot(places, row["late"], color=colour, lw=1, ls=(0, (4, 2)), alpha=0.8)
        axes.set_xticks(places, named)
        axes.set_xlabel(f"{rows[0]['axis']}  (worse →)")
        axes.grid(visible=False, axis="x")
        _value_axis(axes, metric)
        _legend(figure, axes)

    return svg(name, (4.9, 3.3), draw)


_COLUMNS: tuple[Literal["confidence"], Literal["accuracy"], Literal["count"]] = ("confidence", "accuracy", "count")


def reliability(bins: Sequence[Bin], name: str) -> str:
    """Accuracy against confidence; on the diagonal they agree."""

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        x, y, n = (np.array([b[k] for b in bins], float) for k in _COLUMNS)
        axes.plot([0, 1], [0, 1], color=MUTED, lw=1, ls=(0, (2, 2)))
        axes.vlines(x, np.minimum(x, y), np.maximum(x, y), color=LINES[1], lw=2, alpha=0.55)
        axes.plot(x, y, color=LINES[0], lw=1, alpha=0.6)
        axes.scatter(x, y, s=14 + 170 * n / max(n.max(), 1), color=LINES[0], alpha=0.85, linewidth=0, zorder=3)
        axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), xlabel="confidence", ylabel="accuracy", aspect="equal")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(lambda v, _: f"{100 * v:.0f} %")

    return svg(name, (4.2, 3.9), draw) if bins else ""


def abstention(found: Abstention, name: str) -> str:
    """Risk against coverage."""

    def draw(figure: Figure) -> None:
        axes, chance = figure.subplots(), found["chance"]
        x, y = np.array(found["coverage"]), np.array(found["risk"])
        axes.plot(x, y, color=LINES[0])
        # At best all right answers come first: no risk up to their share, then each further answer is wrong.
        axes.plot(x, np.maximum(0, 1 - (1 - chance) / x), color=MUTED, lw=1, ls=(0, (4, 2)))
        axes.axhline(chance, color=MUTED, lw=1, ls=(0, (1, 2)))
        top = max(float(y.max()), chance, 0.01)
        axes.set(xlim=(0, 1.02), ylim=(-0.03 * top, 1.08 * top), xlabel="share answered", ylabel="share wrong")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(lambda v, _: f"{100 * v:.0f} %")

    return svg(name, (4.2, 3.2), draw)


def confusion(classes: Sequence[str], counts: Sequence[Sequence[int]], name: str) -> str:
    """Rows are true classes, columns answers; the shade is the share of the true class."""
    table = np.array(counts)
    share = table / np.maximum(table.sum(1, keepdims=True), 1)
    n = len(classes)
    side = min(max(0.29 * n + 1.6, 3.6), 9.2)
    font = 9.5 if n <= 10 else max(5.5, 9.5 - 0.14 * (n - 10))

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for i, j in zip(*np.nonzero(table)):
            colour = LINES[0] if i == j else LINES[1]
            alpha = 0.08 + 0.92 * float(share[i, j])
            axes.add_patch(Rectangle((j - 0.48, i - 0.48), 0.96, 0.96, facecolor=colour, alpha=alpha, linewidth=0))
            if n <= 30:  # with more classes the numbers would overlap
                dark = share[i, j] > 0.5
                axes.text(
                    j,
                    i,
                    f"{table[i, j]}",
                    ha="center",
                    va="center",
                    fontsize=font,
                    color=PAPER if dark else INK,
                )
        names = [short(c, 16) for c in classes]
        upright = max(map(len, names)) <= (7 if n <= 8 else 2)
        axes.set_xticks(range(n), names, rotation=0 if upright else 90, fontsize=font)
        axes.set_yticks(range(n), names, fontsize=font)
        axes.set(xlim=(-0.5, n - 0.5), ylim=(n - 0.5, -0.5), xlabel="answer", ylabel="truth", aspect="equal")
        axes.grid(visible=False)
        axes.tick_params(length=0)
        axes.spines[["left", "bottom"]].set_visible(False)

    return svg(name, (side + 0.4, side), draw) if n <= 60 else ""  # more cells cannot be read


def training(seeds: Sequence[Curve], metric: str, name: str) -> str:
    """Loss on the training part and the metric on validation, a line per replicate."""
    loss = [(s, s.get("train_loss") or []) for s in seeds]
    valid = [(s, s.get("valid") or []) for s in seeds]
    every = [("training loss", loss), (f"validation {title_of(metric)}", valid)]
    curves = [(label, own) for label, own in every if any(_numbers(values) for _, values in own)]

    def draw(figure: Figure) -> None:
        for axes, (label, own) in zip(np.atleast_1d(figure.subplots(len(curves), 1, sharex=True)), curves):
            for i, (s, values) in enumerate(own):
                # Epochs without validation hold None.
                pairs = [(e, v) for e, v in zip(s.get("epoch", range(len(values))), values) if v is not None]
                if pairs:
                    axes.plot(*zip(*pairs), color=LINES[i % 8], lw=1.3, ls=_DASHES[i // 8 % 4], alpha=0.9)
            axes.set_title(label, loc="left", fontsize=9.5, color=MUTED)
            axes.label_outer()
            axes.set_xlabel("epoch" if label == curves[-1][0] else "")
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            if own is valid and in_percent(metric):
                axes.yaxis.set_major_formatter(lambda v, _: f"{100 * v:.0f} %")

    return svg(name, (4.9, 0.4 + 2.0 * len(curves)), draw) if curves else ""


def _numbers(values: Sequence[object]) -> bool:
    return any(isinstance(v, int | float) for v in values)


def scatter(target: Sequence[float], predicted: Sequence[float], name: str) -> str:
    """Answers against truth; on the diagonal they agree."""
    pairs = [(t, p) for t, p in zip(target, predicted) if t is not None and p is not None]

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        x, y = np.array(pairs, float).T
        ends = [min(x.min(), y.min()), max(x.max(), y.max())]
        axes.plot(ends, ends, color=MUTED, lw=1, ls=(0, (2, 2)))
        axes.scatter(x, y, s=11, color=LINES[0], alpha=0.35, linewidth=0)
        axes.set(xlabel="truth", ylabel="answer", aspect="equal")

    return svg(name, (4.4, 4.1), draw) if pairs else ""


def upset(evaluation: Evaluation, rows: Sequence[SubsetRow], name: str) -> str:
    """Every subset as a column, the best first: its value above, its modalities below (after Lex et al. 2014)."""
    names = evaluation["subsets"][-1]["modalities"]
    known = [r for r in rows if main(evaluation, r) is not None]

    def draw(figure: Figure) -> None:
        top, dots = figure.subplots(2, 1, sharex=True, height_ratios=[2.2, 0.28 * len(names)])
        for i, row in enumerate(known):
            low, high = row["interval"]["low"], row["interval"]["high"]
            whole = len(row["modalities"]) == len(names)
            if low is not None and high is not None:
                top.vlines(i, low, high, color=LINES[0], lw=1.6, alpha=0.35)
            top.plot(
                i,
                main(evaluation, row),
                marker="o",
                color=LINES[1] if whole else LINES[0],
                ms=6 if whole else 3.4,
            )
            inside = [names.index(m) for m in row["modalities"]]
            dots.plot([i, i], [min(inside), max(inside)], color=INK, lw=0.8, alpha=0.5)
            dots.scatter([i] * len(inside), inside, s=9, color=LINES[1] if whole else INK, linewidth=0, zorder=3)
        _baseline(top, evaluation)
        _value_axis(top, evaluation["task"]["metric"])
        top.grid(visible=False, axis="x")
        top.tick_params(bottom=False)
        dots.set_yticks(range(len(names)), [short(m, 16) for m in names])
        dots.set(ylim=(len(names) - 0.4, -0.6), xticks=[], xlim=(-1, len(known)))
        dots.spines[["left", "bottom"]].set_visible(False)
        dots.tick_params(length=0)

    return svg(name, (9.6, 2.9 + 0.24 * len(names)), draw) if known else ""
