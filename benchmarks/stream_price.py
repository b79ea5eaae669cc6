"""What `stream.py` asks of real data: what does a model for live use lose, and what does it gain by waiting?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from default import RECIPES
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from targets import target
from why_sets import SPLITS

from plait import Recipe, fit, load_recipe
from plait.evaluation.examined import Examination, Examined
from plait.evaluation.intervals import Interval, jackknife_interval, paired_interval
from plait.examples.data import loader
from plait.metrics.functional import roc_auc
from plait.training.run import Run

WAITED: Mapping[str, Sequence[float]] = {
    "utd_mhad": (0.25, 0.5, 1.0, 1.5, 2.0, 3.0, np.inf),
    "grid_letter": (0.05, 0.1, 0.15, 0.2, np.inf),
    "stress": (0.0, 15.0, 30.0, 45.0, np.inf),
}
"""Seconds from an item's first instant (less its context) to the answer; inf: its end."""

AHEAD = {"utd_mhad": (0.0,), "grid_letter": (0.0, 0.2, 1.0), "stress": (0.0, 1.0)}
"""Seconds of look-ahead with which the causal recipe is trained. Files of UTD-MHAD end with their action."""

Scores = NDArray[np.float64]


def price(names: Sequence[str], out: Path, cache: str, console: Console) -> list[dict[str, Any]]:
    """The causal recipe beside the default, with its look-aheads, and its accuracy against seconds waited."""
    rows, table = [], Table("set", "look-ahead, s", "default", "causal", "difference", "95 %", title="points")
    for name in names:
        default, *causal = (fit(recipe, out / stem, cache=cache, quiet=True) for stem, recipe in recipes_of(name))
        whole, measure = _answers(default, cache, (np.inf,)), _measure(name)
        for ahead, run in zip(AHEAD[name], causal):
            live = _answers(run, cache, WAITED[name])
            full, own = (measure(*x[np.inf]) for x in (whole, live))
            gap = _gap(name, live, whole)
            ends = f"{gap.low:+.1f} .. {gap.high:+.1f}"
            table.add_row(name, f"{ahead:g}", f"{full:.1f}", f"{own:.1f}", f"{own - full:+.1f}", ends)
        rows.append(
            target(f"{name}: causal with {ahead:g} s of look-ahead less default, points", own - full, ">=", -2.0)
        )
        late = Table(
            "seconds", "points", title=f"{name}: causal, by seconds from an item's first instant to the answer"
        )
        for seconds, answers in live.items():
            late.add_row("its end" if np.isinf(seconds) else f"{seconds:g}", f"{measure(*answers):.1f}")
        console.print(late)
    console.print(table)
    return rows


def recipes_of(name: str) -> list[tuple[str, Recipe]]:
    """The default and the causal recipes of a set, with the names of their runs."""
    live = [(f"{name}-causal{f'-{ahead:g}' if ahead else ''}", _causal(name, ahead)) for ahead in AHEAD[name]]
    return [(name, _plain(name)), *live]


def _plain(name: str) -> Recipe:
    recipe = load_recipe(RECIPES / f"{name}.yaml")
    recipe.train.seeds, recipe.evaluate.missing, recipe.evaluate.noise = [0], [], {}
    recipe.split = SPLITS.get(name, recipe.split)
    return recipe


def _causal(name: str, ahead: float) -> Recipe:
    causal = _plain(name)
    causal.causal, causal.look_ahead = True, ahead
    for plan in causal.streams.values():
        if plan is not None:
            plan.rate = None
            plan.normalization = "none" if plan.normalization == "none" else "running"
            if isinstance(plan.feature, dict) and plan.feature["name"] == "pose":
                plan.feature = {**plan.feature, "centre": "first"}
    if name == "utd_mhad":  # normalised time is known at the end alone; these are the documented rates
        streams = causal.corpus.options["streams"]  # type: ignore[union-attr]
        for stream, rate in (("skeleton", 30), ("inertial", 50)):
            streams[stream] = {k: v for k, v in streams[stream].items() if k != "duration"} | {"rate": rate}
    return causal


Answers = tuple[Scores, NDArray[np.int64], list[str], list[str]]
"""Scores, targets, and the groups and places of the items."""


def _answers(run: Run, cache: str, waited: Sequence[float]) -> dict[float, Answers]:
    found: dict[float, list[Scores]] = {seconds: [] for seconds in waited}
    truth, groups, ids = [], [], []
    for one in Examination(run, cache, None):
        for seconds in waited:
            found[seconds].append(_after(one, seconds))
        truth.append(one.target.numpy())
        groups += [i.group for i in one.items]
        # what is asked about, without its context, which differs
        ids += [f"{i.recording}@{i.start + i.context[0]:.2f}" for i in one.items]
    return {seconds: (np.concatenate(s), np.concatenate(truth), groups, ids) for seconds, s in found.items()}


def _after(one: Examined, seconds: float) -> Scores:
    """Scores of what there is of each item so many seconds after its first instant."""
    model, rows = one.model.eval(), []
    until = torch.tensor([item.context[0] + seconds for item in one.items])
    with torch.inference_mode():
        for batch in loader(one.data, model.dims, batch=64):
            ends = until[batch.items][:, None]
            inputs = {m: t._replace(mask=t.mask & (t.times < ends)) for m, t in batch.inputs.items()}
            rows.append(model.task.scores(model.answer(model.encode(inputs), one.modalities, batch.at)))
    return np.concatenate(rows)


def _measure(name: str) -> Any:
    if name == "stress":
        return lambda scores, truth, *_: 100 * roc_auc(truth, scores[:, 1])
    return lambda scores, truth, *_: 100 * float((scores.argmax(1) == truth).mean())


def _gap(name: str, live: dict[float, Answers], whole: dict[float, Answers]) -> Interval:
    """The interval of causal less default, over groups, on the items that both answered."""
    (a, truth, groups, ids), (b, _, _, others) = live[np.inf], whole[np.inf]
    place = {id: i for i, id in enumerate(others)}
    both = [i for i, id in enumerate(ids) if id in place]
    a, b, truth = a[both], b[[place[ids[i]] for i in both]], truth[both]
    measure, of = _measure(name), [groups[i] for i in both]
    if name == "stress":
        return jackknife_interval(lambda i: measure(a[i], truth[i]) - measure(b[i], truth[i]), of, bounds=(-100, 100))
    right = [100.0 * (x.argmax(1) == truth) for x in (a, b)]
    return paired_interval(right[0], right[1], of)
