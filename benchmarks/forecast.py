"""Forecasts against persistence, seasonal naive and a ridge: PLAIT_DATA=... python benchmarks/forecast.py

Needs: at least one of etth (ETTh1.csv), stress_predict in PLAIT_DATA; `helps` needs neither.
Takes: some fifty minutes of one core, `stress` 20 of them.

- ``etth``: ETTh1, usual split, look-back 336, four and eight days ahead; seven channels as seven streams, and with each
  of them missing.
- ``stress``: Stress-Predict, folds by person, 30 s ahead: heart rate and skin conductance, skill over scaled-quantile
  persistence, coverage of 80 % bands over people and under each missing stream; and whether another stream helps.
- ``helps``: twenty generated worlds in which one of two other streams leads the target, and twenty in which none does:
  how often is the verdict right, and does the forecast move further without the stream that leads than without the
  other?
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import needs
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from targets import finish, target

from plait import Run, evaluate, fit, load_recipe
from plait.corpus.corpus import CorpusWriter
from plait.evaluation.examined import Examined
from plait.evaluation.replicates import ReplicateOutput
from plait.evaluation.schema import MetricRow
from plait.recipe import parse_recipe
from plait.store.store import Store
from plait.streams.stream import Stream
from plait.tasks.forecast import Forecast
from plait.training.experiment import Experiment, open_corpus
from plait.training.sides import Sides

RECIPES = Path(__file__).parents[1] / "recipes"
DATA = {"etth": "etth", "stress": "stress_predict"}
LOOK_BACK, EDGES = 336, {"train": (0, 8640), "valid": (8640, 11520), "test": (11520, 14400)}
HOURS = {96: 0.371, 192: 0.405}
SKILLS = {"hr": 0.33, "eda": 0.14}
Subset = tuple[str, ...]

WORLD = """
corpus: {manifest}
task: {{name: forecast, target: load, horizon: 5, unit: window, length: 30, hop: 5}}
split: {{by: manifest}}
streams:
  load: &lags {{encoder: {{name: lags, step: 1, count: 20, hidden: 32}}}}
  near: *lags
  far: *lags
fusion: {{name: concat, time_bins: 1, recurrent: false, unimodal_heads: alone}}
augment: {{crop_resize: 0, gaussian_noise: 0, modality_dropout: 0.15}}
model: {{dim: 32}}
train: {{epochs: 10, batch: 64, lr: 0.002, seeds: [{seed}]}}
evaluate: {{missing: [0.0]}}
"""


def make_etth(folder: Path, source: Path) -> None:
    """Three recordings of seven streams; the later ones begin with a look-back."""
    if (folder / "manifest.jsonl").exists():
        return
    with source.open(encoding="utf-8") as file:
        names, *rows = csv.reader(file)
    values = np.array([[float(x) for x in row[1:]] for row in rows], np.float32)
    with CorpusWriter(folder) as out:
        for part, (first, last) in EDGES.items():
            first = max(first - LOOK_BACK, 0)
            streams = {
                name: Stream.of(values[first:last, i], rate=Fraction(1, 3600), start=3600.0 * first)
                for i, name in enumerate(names[1:])
            }
            out.add(part, streams, split=part)


def make_world(folder: Path, seed: int, *, leads: bool) -> None:
    """Fifty recordings; with ``leads`` the load follows ``near``, five seconds before it; ``far`` is only noise."""
    rng = np.random.default_rng(seed)
    with CorpusWriter(folder) as out:
        for i in range(50):
            near, far, own = (smooth(rng, 205) for _ in range(3))
            load = 0.7 * own + (0.7 * np.roll(near, 5) if leads else 0.7 * smooth(rng, 205))
            streams = {"load": load[5:], "near": near[5:] + 0.1 * rng.normal(size=200), "far": far[5:]}
            part = "test" if i >= 30 else "valid" if i >= 24 else "train"
            out.add(f"r{i}", {k: Stream.of(v, rate=1) for k, v in streams.items()}, split=part)


def smooth(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    """An autoregressive process of deviation 1."""
    out = np.zeros(count)
    for i in range(1, count):
        out[i] = 0.9 * out[i - 1] + rng.normal()
    return out * np.sqrt(1 - 0.81)


def answers(run: Run, cache: str, subsets: Sequence[Subset] | None = None) -> tuple[Forecast, list[ReplicateOutput]]:
    """The task of a run, and what each of its replicates answers on its test part."""
    corpus = open_corpus(run.recipe, run.folder)
    experiment = Experiment.begun(run.recipe, corpus, run.info.modalities, run.info.features)
    experiment.folds = Sides.read(run.folder, run.info.examples).remember(experiment.items).folds()
    store = Store(cache)
    features, found = experiment.prepare(store), []
    for replicate in run.finished:
        one = Examined(run, replicate, experiment, store, features, elsewhere=False)
        found.append((one.model.task, one.output(subsets)))
    task = found[0][0]
    assert_forecast(task)
    return task, [output for _, output in found]


def assert_forecast(task: object) -> None:
    if not isinstance(task, Forecast):
        raise TypeError(f"a run of {type(task).__name__}; expected one of Forecast.")


def but_one(modalities: Sequence[str]) -> list[Subset]:
    """All modalities, then all but each."""
    return [tuple(modalities), *(tuple(m for m in modalities if m != gone) for gone in modalities)]


def of_etth(args: argparse.Namespace, console: Console) -> list[dict[str, Any]]:
    make_etth(args.out / "etth", args.data / "etth" / "ETTh1.csv")
    found = []
    for hours, goal in ((hours, HOURS[hours]) for hours in args.hours):
        own = [f"task.horizon={hours * 3600}", f"train.seeds={args.seeds}", *args.set]
        recipe = load_recipe(RECIPES / "etth1.yaml", own)
        recipe.corpus = str(args.out / "etth" / "manifest.jsonl")
        run = fit(recipe, args.out / f"etth-{hours}", cache=args.cache, quiet=True)
        subsets = but_one(list(run.info.modalities))
        task, outputs = answers(run, args.cache, subsets)
        shown = Table("forecast", "MSE", "MAE", "pinball skill", "coverage", title=f"ETTh1, {hours} hours ahead")
        rows = {
            name: [task.metrics(s, o.target) for o in outputs]
            for o in outputs
            for name, s in task.rivals(o.target).items()
        }
        for subset in subsets:
            gone = set(subsets[0]) - set(subset)
            rows[f"without {gone.pop()}" if gone else "all"] = [
                task.metrics(o.outputs[subset], o.target) for o in outputs
            ]
        for name, each in rows.items():
            mean = {k: float(np.mean([m[k] for m in each])) for k in ("mse", "mae", "pinball_skill", "coverage")}
            shown.add_row(name, *(f"{v:.4f}" for v in mean.values()))
            if name == "all":
                found.append(target(f"ETTh1: MSE at {hours} hours", mean["mse"], "<=", goal))
        console.print(shown)
    return found


def of_stress(args: argparse.Namespace, console: Console) -> list[dict[str, Any]]:
    recipe = load_recipe(RECIPES / "stress_forecast.yaml", [f"train.seeds={args.seeds}", *args.set])
    run = fit(recipe, args.out / "stress", cache=args.cache, quiet=True)
    result = evaluate(run, cache=args.cache)
    rows = {tuple(s["modalities"]): s["metrics"] for s in result["subsets"]}
    full, *without = but_one(result["modalities"])
    found = []
    for name, goal in SKILLS.items():
        skill = rows[full][f"pinball_skill {name}"]["mean"]
        found.append(target(f"{name} in 30 s: pinball skill over scaled-quantile persistence", skill, ">=", goal))
        for subset in (full, *without):
            gone = "".join(f", without {m}" for m in full if m not in subset)
            share = rows[subset][f"coverage {name}"]["mean"]
            what = f"{name}: 80 % bands, distance of coverage from 80 %{gone}"
            found.append(target(what, abs(share - 0.8), "<=", 0.02))
    shown = Table("target", "all", *(f"without {m}" for m in full), "own alone", title="pinball skill, coverage")
    for name in SKILLS:
        cells = (rows[s] for s in (full, *without, (name,)))
        shown.add_row(
            name, *(f"{_of_seeds(m[f'pinball_skill {name}'])}, {_of_seeds(m[f'coverage {name}'])}" for m in cells)
        )
    for name, rival in result["rivals"].items():
        shown.add_row(name, *(f"{t} {rival['metrics'][f'pinball_skill {t}']:.3f}" for t in SKILLS))
    console.print(shown)
    console.print(spread_over_people(run, args.cache, full))
    for verdict in result["verdicts"]:
        console.print(f"{verdict['target']}: loss of all over that of its own past {told(verdict)}")
        found.append(
            target(f"another stream helps to forecast {verdict['target']}", float(verdict["helps"]), "==", 0.0)
        )
    return found


def _of_seeds(value: MetricRow) -> str:
    spread = "" if value["sd"] is None else f" ± {value['sd']:.3f}"
    return f"{value['mean']:.3f}{spread}"


def spread_over_people(run: Run, cache: str, full: Subset) -> Table:
    """Coverage of each held-out person, the mean over seeds: mean, deviation, least and most."""
    task, outputs = answers(run, cache, [full])
    each: dict[str, dict[str, list[float]]] = {}
    for output in outputs:
        for group in sorted(set(output.groups)):
            own = np.flatnonzero(np.array(output.groups) == group)
            metrics = task.metrics(output.outputs[full][own], np.asarray(output.target)[own])
            for name in SKILLS:
                each.setdefault(name, {}).setdefault(str(group), []).append(metrics[f"coverage {name}"])
    shown = Table("target", "people", "mean", "deviation", "least", "most", title="coverage of 80 % bands, by person")
    for name, people in each.items():
        values = [float(np.mean(own)) for own in people.values()]
        numbers = (np.mean(values), np.std(values), min(values), max(values))
        shown.add_row(name, str(len(values)), *(f"{100 * v:.1f} %" for v in numbers))
    return shown


def of_helps(args: argparse.Namespace, console: Console) -> list[dict[str, Any]]:
    right, moves = {True: 0, False: 0}, 0
    for leads in right:
        for seed in range(args.worlds):
            folder = args.out / f"world-{'leads' if leads else 'none'}-{seed}"
            if not (folder / "manifest.jsonl").exists():
                make_world(folder, seed, leads=leads)
            recipe = parse_recipe(WORLD.format(manifest=folder / "manifest.jsonl", seed=seed))
            run = fit(recipe, folder.with_name(folder.name + "-run"), cache=args.cache, quiet=True)
            (verdict,) = evaluate(run, cache=args.cache)["verdicts"]
            right[leads] += (verdict["helps"], verdict["which"]) == (leads, ["near"] if leads else [])
            console.print(f"leads {leads}, seed {seed}: {told(verdict)}, {verdict['helps']} {verdict['which']}")
            if deletion := verdict.get("deletion"):
                moves += deletion["interval"]["low"] > 1
                console.print(f"  how far it moves without that stream, over without the other: {told(deletion)}")
    goal = 0.95
    return [
        target("share of worlds with a leading stream: yes, and which", right[True] / args.worlds, ">=", goal),
        target("share of worlds without one: no", right[False] / args.worlds, ">=", goal),
        target("share of worlds with one: deletion ratio above 1 by an interval", moves / args.worlds, ">=", goal),
    ]


def told(ratio: dict[str, Any]) -> str:
    low, high = (ratio["interval"][end] for end in ("low", "high"))
    return f"{ratio['ratio']:.4f} " + (f"({low:.4f} to {high:.4f})" if low is not None else ratio["interval"]["reason"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", default=["etth", "stress", "helps"], help="of etth, stress, helps")
    parser.add_argument("--out", type=Path, default=Path("runs/forecast"))
    parser.add_argument("--cache", default=".plait-cache")
    parser.add_argument("--seeds", nargs="*", type=int, default=[0])
    parser.add_argument("--set", nargs="*", default=[], help="overrides of the recipes, as task.strategy=recursive")
    parser.add_argument("--hours", nargs="*", type=int, default=list(HOURS), choices=list(HOURS), help="of etth")
    parser.add_argument("--worlds", type=int, default=20)
    args = parser.parse_args()
    wanted = [DATA[name] for name in args.parts if name in DATA]
    args.data = needs.check(wanted, [], fewest=1) if wanted else None
    console, found = Console(width=200), []
    for name, work in (("etth", of_etth), ("stress", of_stress), ("helps", of_helps)):
        if name in args.parts:
            found += work(args, console)
    finish(found)


if __name__ == "__main__":
    main()
