"""The report's plots."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypedDict

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from plait.evaluation.schema import Abstention, Bin, CorruptionCurve, Curve, Evaluation, SubsetRow
from plait.report.canvas import INK, LINES, MUTED, hover, svg
from plait.report.words import in_percent, interval, main, printable, show, title_of

__all__ = ["DASHES", "abstention", "confusion", "corruption", "missing", "noise", "reliability", "scatter", "short"]
__all__ += ["subset_name", "training", "upset"]

# Lines differ in mark and dash too, for readers who cannot tell the colours and for print.
_MARKS = "osD^vPX*"
DASHES = ["-", (0, (5, 2)), (0, (1.5, 1.5)), (0, (6, 2, 1.5, 2))]


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
        axes.yaxis.set_major_formatter(_percent)


def _percent(value: float, _: object) -> str:
    return f"{round(100 * value, 2) + 0:g} %"


class _Dot(TypedDict):
    value: float | None
    sd: float | None


def _line(axes: Axes, i: int, x: Sequence[tuple[float, str]], rows: Sequence[_Dot], label: str, metric: str) -> None:
    """A line with a band; ``x``: the places of its points, and what they are called."""
    y = np.array([np.nan if r["value"] is None else r["value"] for r in rows])
    sd = np.array([r.get("sd") or 0.0 for r in rows])
    colour, places = LINES[i % len(LINES)], [at for at, _ in x]
    axes.fill_between(places, y - sd, y + sd, color=colour, alpha=0.15, linewidth=0)
    (line,) = axes.plot(places, y, color=colour, marker=_MARKS[i % 8], ls=DASHES[i % 4], label=label)
    hover(line, [_point(at, metric, r["value"]) for (_, at), r in zip(x, rows)], label)


def _point(place: str, metric: str, value: float | None) -> str | None:
    return None if value is None else f"{place}: {show(metric, value)}"


def _baseline(axes: Axes, evaluation: Evaluation) -> None:
    value = evaluation["baseline"]["metrics"].get(evaluation["task"]["metric"])
    if value is not None:
        line = axes.axhline(value, color=MUTED, lw=1, ls=(0, (2, 2)), label="constant answer")
        hover(line, [show(evaluation["task"]["metric"], value)], "constant answer")


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
            x = [(0.0, "clean")] if dots else []
            x += [(place[r["level"]], f"{_level(r['level'])} {axis}") for r in own]
            dots += [{"value": r["value"], "sd": r["sd"]} for r in own]
            _line(axes, i, x, dots, subset_name(subset, full), evaluation["task"]["metric"])
        _baseline(axes, evaluation)
        axes.set_xticks(range(len(levels) + 1), ["clean", *map(_level, levels)])
        axes.set_xlabel(f"{axis}  (worse →)")
        axes.grid(visible=False, axis="x")
        _value_axis(axes, evaluation["task"]["metric"])
        _legend(figure, axes)

    return svg(name, (4.9, 3.5), draw)


def _level(value: float) -> str:
    return f"{value:g}".replace("-", "−")


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
        x = [(share, f"{100 * share:.0f} % hidden") for share in shares]
        _line(axes, 0, x, dots, "all together", evaluation["task"]["metric"])
        _baseline(axes, evaluation)
        axes.xaxis.set_major_formatter(_percent)
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
            told = [named[0], *(f"{level} {row['axis']}" for level in named[1:])]
            (line,) = axes.plot(places, row["values"], color=colour, marker=_MARKS[i % 8], label=label)
            hover(line, [_point(at, metric, v) for at, v in zip(told, row["values"])], label)
            if "late" in row:
                (late,) = axes.plot(places, row["late"], ".", color=colour, lw=1, ls=(0, (4, 2)), alpha=0.8)
                hover(late, [_point(at, metric, v) for at, v in zip(told, row["late"])], f"{label}, late fusion")
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
        dots = axes.scatter(x, y, s=14 + 170 * n / max(n.max(), 1), color=LINES[0], alpha=0.85, linewidth=0, zorder=3)
        told = [f"confidence {100 * a:.1f} %: {100 * b:.1f} % right of {c:.0f}" for a, b, c in zip(x, y, n)]
        hover(dots, told)
        axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), xlabel="confidence", ylabel="accuracy", aspect="equal")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(_percent)

    return svg(name, (4.2, 3.9), draw) if bins else ""


def abstention(found: Abstention, name: str) -> str:
    """Risk against coverage."""

    def draw(figure: Figure) -> None:
        axes, chance = figure.subplots(), found["chance"]
        x, y = np.array(found["coverage"]), np.array(found["risk"])
        axes.plot(x, y, color=LINES[0])
        some = np.unique(np.searchsorted(x, np.arange(1, 11) / 10).clip(max=len(x) - 1))
        (marks,) = axes.plot(x[some], y[some], "o", color=LINES[0], zorder=3)
        hover(marks, [f"{100 * x[i]:.0f} % answered: {100 * y[i]:.1f} % wrong" for i in some])
        # At best all right answers come first: no risk up to their share, then each further answer is wrong.
        axes.plot(x, np.maximum(0, 1 - (1 - chance) / x), color=MUTED, lw=1, ls=(0, (4, 2)))
        axes.axhline(chance, color=MUTED, lw=1, ls=(0, (1, 2)))
        top = max(float(y.max()), chance, 0.01)
        axes.set(xlim=(0, 1.02), ylim=(-0.03 * top, 1.08 * top), xlabel="share answered", ylabel="share wrong")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(_percent)

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
            alpha = 0.05 + 0.4 * float(share[i, j])  # light enough to read ink on it, on any paper
            cell = Rectangle((j - 0.48, i - 0.48), 0.96, 0.96, facecolor=colour, alpha=alpha, linewidth=0)
            hover(axes.add_patch(cell), [f"{classes[i]} taken for {classes[j]}: {table[i, j]} of {table[i].sum()}"])
            if n <= 30:  # with more classes the numbers would overlap
                told = axes.text(j, i, f"{table[i, j]}", ha="center", va="center", fontsize=font)
                hover(told, [f"{classes[i]} taken for {classes[j]}: {table[i, j]} of {table[i].sum()}"])
        names = [short(c, 16) for c in classes]
        upright = max(map(len, names)) <= (7 if n <= 8 else 2)
        axes.set_xticks(range(n), names, rotation=0 if upright else 90, fontsize=font)
        axes.set_yticks(range(n), names, fontsize=font)
        axes.set(xlim=(-0.5, n - 0.5), ylim=(n - 0.5, -0.5), xlabel="answer", ylabel="truth", aspect="equal")
        axes.grid(visible=False)
        axes.tick_params(length=0)
        axes.spines[["left", "bottom"]].set_visible(False)

    return svg(name, (side + 0.4, side), draw, listed=False) if n <= 60 else ""  # more cells cannot be read


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
                    alone = "o" if len(pairs) == 1 else ""  # a line of one point is not seen
                    style = {"color": LINES[i % 8], "lw": 1.3, "ls": DASHES[i // 8 % 4], "alpha": 0.9, "marker": alone}
                    (line,) = axes.plot(*zip(*pairs), **style)
                    last = f"{pairs[-1][1]:.3g}" if own is loss else show(metric, pairs[-1][1])
                    hover(line, [f"{label} {last} after the last epoch"], s.get("replicate", ""))
            axes.set_title(label, loc="left", fontsize=9.5, color=MUTED)
            axes.label_outer()
            axes.set_xlabel("epoch" if label == curves[-1][0] else "")
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            if own is valid and in_percent(metric):
                axes.yaxis.set_major_formatter(_percent)

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
        dots = axes.scatter(x, y, s=11, color=LINES[0], alpha=0.35, linewidth=0)
        hover(dots, [f"truth {a:.4g}, answer {b:.4g}" for a, b in pairs])
        axes.set(xlabel="truth", ylabel="answer", aspect="equal")

    return svg(name, (4.4, 4.1), draw, listed=False) if pairs else ""


def upset(evaluation: Evaluation, rows: Sequence[SubsetRow], name: str) -> str:
    """Every subset as a column, the best first: its value above, its modalities below (after Lex et al. 2014)."""
    names = evaluation["subsets"][-1]["modalities"]
    known, metric = [r for r in rows if main(evaluation, r) is not None], evaluation["task"]["metric"]

    def draw(figure: Figure) -> None:
        top, dots = figure.subplots(2, 1, sharex=True, height_ratios=[2.2, 0.28 * len(names)])
        for i, row in enumerate(known):
            low, high = row["interval"]["low"], row["interval"]["high"]
            whole = len(row["modalities"]) == len(names)
            if low is not None and high is not None:
                top.vlines(i, low, high, color=LINES[0], lw=1.6, alpha=0.35)
            value, colour = main(evaluation, row), LINES[1] if whole else LINES[0]
            (dot,) = top.plot(i, value, marker="o", color=colour, ms=6 if whole else 3.4)
            ends = f" ({interval(metric, row['interval'])})" if low is not None else ""
            hover(dot, [f"{show(metric, value)}{ends}"], subset_name(row["modalities"], names))
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

    return svg(name, (9.6, 2.9 + 0.24 * len(names)), draw, listed=False) if known else ""
