"""What a search found, as lines and as a picture."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from plait.core.atomic import replacing
from plait.tuning.choice import Measured, costs_of
from plait.tuning.tune import Tuned

__all__ = ["draw_front", "lines_of"]

TITLES = {
    "latency": "processor for one item, ms",
    "size": "size of the weights, bytes",
    "streams": "number of streams",
}


def lines_of(result: Tuned) -> list[str]:
    """The front, the recommended recipe, its test score, and what the search cost."""
    cost, test, done = result["cost"], result["test"], {one["trial"]: one for one in _done(result)}
    best = done[result["best"]]
    lines = [f"chosen on {result['chosen_on']}; {result['metric']} of a constant answer {best['baseline']:.3f}"]
    lines += [f"  {_row(done[n], result)}" for n in sorted({*result["front"], result["recommended"]})]
    why = f"the simplest (by {', '.join(result['simplest_by'])}) within one standard error of trial {result['best']}"
    if best["error"] is None:
        why = "the best one, as with so few groups its standard error is not known"
    lines += [
        f"trial {result['recommended']} is recommended: {why}",
        f"on the test part: {test['metric']:.3f}{_interval(test['low'], test['high'])}, "
        f"constant {test['baseline']:.3f}; the choice flattered it by {test['optimism']:+.3f}",
    ]
    if test["times"] > 1:
        lines.append(
            f"{test['times']} recipes of this search were scored on the test part, so it flatters the choice too"
        )
    told = f"{cost['complete']} to the end, {cost['pruned']} stopped, {cost['failed']} failed"
    whole = f"{cost['trainings']:.1f} whole trainings, {cost['seconds']:.0f} s of processor"
    return [*lines, f"cost: {cost['trials']} trials ({told}), {whole}", f"wrote {result['run']}"]


def draw_front(result: Tuned, path: Path) -> None:
    """A picture: the metric of every trial that was trained to the end against the next objective, its interval."""
    objectives = [name for name in TITLES if name in str(result["search"]["objectives"])]
    name = (objectives or ["size"])[0]
    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axes = figure.subplots()
    for one in _done(result):
        (x,) = costs_of(one, [name], higher_is_better=True)
        chosen, kept = one["trial"] == result["recommended"], one["trial"] in result["front"]
        colour = "C1" if chosen else "C0" if kept else "0.7"
        if one["low"] is not None and one["high"] is not None:
            axes.plot([x, x], [one["low"], one["high"]], color=colour, lw=1)
        axes.plot([x], [one["metric"]], "o", color=colour)
        axes.annotate(str(one["trial"]), (x, one["metric"]), xytext=(5, 3), textcoords="offset points", fontsize=8)
    axes.set_xlabel(TITLES[name])
    axes.set_ylabel(result["metric"])
    axes.set_title("orange: recommended; blue: the front; lines: 95 % over groups", fontsize=9)
    with replacing(path) as part:
        figure.savefig(part, format="svg")


def _done(result: Tuned) -> list[Measured]:
    last = max(one["rung"] for one in result["trials"])
    return [one for one in result["trials"] if one["rung"] == last]


def _row(one: Measured, result: Tuned) -> str:
    point = " ".join(f"{k}={_short(v)}" for k, v in result["points"][str(one["trial"])].items())
    ms = one["latency"]
    return (
        f"trial {one['trial']}: {one['metric']:.3f}{_interval(one['low'], one['high'])}, {ms['median']:.2f} ms "
        f"({ms['low']:.2f} to {ms['high']:.2f}), {one['size'] / 1e3:.0f} kB, {one['streams']} streams: {point}"
    )


def _short(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.3g}"
    return "+".join(map(str, value)) if isinstance(value, list) else str(value)


def _interval(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f" [{low:.3f}, {high:.3f}]"
