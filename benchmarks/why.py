"""What modalities contribute, and when, in worlds where it is known: python benchmarks/why.py [PART ...]

Needs: for ``sets`` at least one of utd_mhad, grid_s1, stress_predict, av_digits, mosi in PLAIT_DATA; the extra explain.
Takes: ``worlds`` some fifty minutes of one core, ``spans`` and ``monitors`` some ten each, ``cause`` some three,
``sets`` some hours.

- ``worlds``: redundant, unique, synergistic and nuisance-heavy information, 1,000 items, ten seeds: each part within a
  tenth of a bit of its analytic value; nothing found of shuffled classes; Shapley values that add up; interactions
  found by the additive projection in an exclusive or, and none in a sum.
- ``spans``: two streams in which a short span tells the class: spans that turn the decision, the peak of integrated
  gradients, and deletion and insertion against random orders and a model with random weights.
- ``monitors``: a stream that knows nothing, one that is memorised, one that starves the other, and clean ones: which
  warnings training gives, of twenty seeds each.
- ``sets``: on real data, the default beside late fusion trained alike: whether explanations are true of the model, and
  promises are kept, on damaged items the mean area, and what contribution and the whole page cost.
- ``cause``: tables in which a timbre is a cause, confounded by the speaker, tied by the selection of recordings, acts
  by a mediator, or does nothing: whether the verdict is right; errors over sites; shares of an effect via another
  stream's tokens.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import needs
import numpy as np
import torch
from default import SETS
from rich.console import Console
from rich.table import Table
from targets import check_parts, finish, target
from why_cases import WORLDS, analytic, write_spans, write_world
from why_monitors import TRUE, warnings_in
from why_sets import PEOPLE, of_cost, of_damage, of_explanations, of_intervals, of_promises, trained
from why_verdicts import cause

from plait import evaluate, fit
from plait.evaluation.examined import Examination
from plait.evaluation.explanation.attribution import integrated_gradients
from plait.evaluation.explanation.faithfulness import areas, order_of, randomised
from plait.evaluation.explanation.parts import Answer, Parts
from plait.evaluation.explanation.turning import turning_spans
from plait.evaluation.schema import Evaluation
from plait.examples.data import loader
from plait.recipe import parse_recipe
from plait.training.run import Run

Rows = list[dict[str, Any]]
PARTS = ("redundancy", "unique_first", "unique_second", "synergy")

RECIPE = """
corpus: {manifest}
task: {{name: classify, target: class}}
model: {{dim: 32}}
augment: {{crop_resize: {crop}, gaussian_noise: 0.2, modality_dropout: 0.3}}
train: {{steps: {steps}, lr: 0.005, wide: false, seeds: [{seed}]}}
evaluate: {{missing: []}}
"""


def fitted(manifest: Path, seed: int, args: argparse.Namespace, *, steps: int, crop: float = 0.0) -> Run:
    text = RECIPE.format(manifest=manifest, seed=seed, steps=steps, crop=crop)
    return fit(parse_recipe(text), manifest.parent.parent / f"{manifest.parent.name}-run", cache=args.cache, quiet=True)


def worlds(args: argparse.Namespace, console: Console) -> Rows:
    """Bits of information, Shapley values, and interactions."""
    table = Table("world", *PARTS, "most off", "shuffled: most", title="bits: mean over seeds (analytic)")
    rows, off_of, gaps = [], dict[str, Any](), []
    found: dict[str, list[Evaluation]] = {}
    for name in WORLDS:
        found[name] = []
        for seed in range(args.seeds):
            folder = Path(args.out).resolve() / "worlds" / f"{name.replace(' ', '-')}-{seed}"
            manifest = folder / "manifest.jsonl"
            if not manifest.exists():
                write_world(folder, name, seed)
            run = fitted(manifest, seed, args, steps=150)
            found[name].append(evaluate(run, cache=args.cache, explain=True))
        truth = analytic(WORLDS[name]())
        bits = np.array([[e["information"][0][part]["bits"] for part in PARTS] for e in found[name]], float)
        null = np.array([[e["information"][0][part]["null"] for part in PARTS] for e in found[name]], float)
        off_of[name] = np.abs(bits.mean(0) - truth).max()
        cells = [f"{m:.3f} ± {s:.3f} ({t:.3f})" for m, s, t in zip(bits.mean(0), bits.std(0), truth)]
        table.add_row(name, *cells, f"{off_of[name]:.3f}", f"{np.abs(null).max():.3f}")
        rows.append(target(f"{name}: bits off, each part, mean over seeds, most", off_of[name], "<=", 0.1))
        worst = np.abs(bits - truth).max()
        rows.append(target(f"{name}: the same of a single seed, most", worst, "<=", 0.2))
        rows.append(target(f"{name}: synergy of shuffled classes, most", null[:, 3].max(), "<=", 0.05))
        gaps += [_sum_off(e) for e in found[name]]
        if name == "synergy":
            rows.append(target("exclusive or: synergy, least", bits[:, 3].min(), ">=", 0.9))
        if name == "nuisance-heavy":
            rows.append(target("two bits: redundancy, most", bits[:, 0].max(), "<=", 0.05))
    console.print(table)
    rows.append(target("Shapley values against the gain, most off", max(gaps), "<=", 1e-6))
    gain = {n: [e["dependence"]["additive"] for e in found[n]] for n in ("synergy", "nuisance-heavy")}
    low = [one["interval"]["low"] for one in gain["synergy"]]
    rows.append(
        target("exclusive or: additive projection is worse, seeds", sum(x > 0 for x in low), ">=", 0.95 * len(low))
    )
    none = [one["interval"]["low"] or 0.0 for one in gain["nuisance-heavy"]]
    rows.append(target("a sum: additive projection is worse, seeds", sum(x > 0 for x in none), "<=", 0.1 * len(none)))
    return rows


def _sum_off(e: Evaluation) -> float:
    total = sum(row["shapley"] or 0.0 for row in e["contributions"])
    return abs(total - (e["gain_over_constant"]["gain"] or 0.0))


def spans(args: argparse.Namespace, console: Console) -> Rows:
    """Where the evidence is."""
    table = Table("seed", "accuracy", "turned", "inside", "IoU", "peak inside", "deletion", "random", "random weights",
                  "insertion", "random", "better", title="planted spans, test")  # fmt: skip
    every = []
    for seed in range(args.span_seeds):
        folder = Path(args.out).resolve() / "spans" / f"seed{seed}"
        manifest = folder / "manifest.jsonl"
        if not manifest.exists():
            write_spans(folder, seed)
        run = fitted(manifest, seed, args, steps=400, crop=0.1)
        found = _of_spans(run, args.cache)
        every.append(found)
        table.add_row(str(seed), *(f"{found[name].mean():.3f}" for name in NAMES))
    console.print(table)
    mean = {name: float(np.mean([one[name].mean() for one in every])) for name in NAMES}
    return [
        target("spans: decision-turning span found", mean["turned"], ">=", 0.7),
        target("spans: share of the span inside the evidence", mean["inside"], ">=", 0.85),
        target("spans: overlap (IoU)", mean["iou"], ">=", 0.45),
        target("spans: peak of integrated gradients inside", mean["peak"], ">=", 0.95),
        target("spans: items whose deletion is better than random", mean["better"], ">=", 0.95),
        target("spans: deletion area", mean["deletion"], "<=", 0.5),
        target(
            "spans: deletion by a model with random weights over random", mean["foreign"] / mean["random"], ">=", 0.9
        ),
    ]


NAMES = ("right", "turned", "inside", "iou", "peak", "deletion", "random", "foreign", "insertion", "shown", "better")
BINS, RANDOM = 20, 5


def _of_spans(run: Run, cache: str) -> dict[str, np.ndarray[Any, Any]]:
    (one,) = Examination(run, cache, None)
    entries = {e.id: e.meta for e in one.experiment.corpus.entries}
    rows: dict[str, list[float]] = {name: [] for name in NAMES}
    other = randomised(one.model)
    for batch in loader(one.data, one.model.dims, batch=64):
        answer, parts = Answer.of(one.model, batch), Parts(one.data, batch, BINS)
        found = integrated_gradients(answer, parts)
        foreign = integrated_gradients(replace(answer, model=other), parts)
        own, theirs = (areas(answer, parts, order_of(x, parts)) for x in (found, foreign))
        drawn = [areas(answer, parts, order_of(torch.rand(found.shape), parts)) for _ in range(RANDOM)]
        turned = turning_spans(answer, batch.inputs, parts.seconds)
        assert answer.chosen is not None
        for k, i in enumerate(batch.items.tolist()):
            meta = entries[one.data.items[i].recording]
            low, high = meta["start"], meta["stop"]
            rows["right"].append(float(answer.chosen[k] == batch.targets[k]))
            _, start, stop = parts.span(int(found[k].argmax()))
            rows["peak"].append(float(min(4 * stop, high) > max(4 * start, low)))
            rows["deletion"].append(float(own.deletion[k]))
            rows["insertion"].append(float(own.insertion[k]))
            rows["foreign"].append(float(theirs.deletion[k]))
            rows["random"].append(float(np.mean([x.deletion[k] for x in drawn])))
            rows["shown"].append(float(np.mean([x.insertion[k] for x in drawn])))
            rows["better"].append(float(own.deletion[k] < rows["random"][-1]))
            span = turned[k]
            rows["turned"].append(float(span is not None))
            if span is not None:
                both = max(0.0, min(span.stop, high) - max(span.start, low))
                rows["inside"].append(both / (span.stop - span.start))
                rows["iou"].append(both / (max(span.stop, high) - min(span.start, low)))
    return {name: np.array(own) for name, own in rows.items()}


def monitors(args: argparse.Namespace, console: Console) -> Rows:
    """Warnings while training."""
    rows, table = list[dict[str, Any]](), Table("world", "right", "others", title="warnings while training, by seed")
    seeds, out = range(args.first, args.first + args.watched), Path(args.out).resolve() / "monitors"
    for name, true in TRUE.items():
        told = {seed: warnings_in(name, seed, out, args.cache) for seed in seeds}
        right = sum(one == true for one in told.values())
        table.add_row(
            name, f"{right}", "; ".join(f"{seed}: {one or 'none'}" for seed, one in told.items() if one != true)
        )
        rows.append(target(f"{name}: seeds with the right warnings, of {len(told)}", right, ">=", 0.95 * len(told)))
    console.print(table)
    return rows


def sets(args: argparse.Namespace, console: Console) -> Rows:
    """Real data."""
    table = Table("set", "gain", "worse", title="area under damage less late fusion's, points")
    rows = of_intervals()
    for name in args.sets:
        if needs.lacking(SETS[name], args.data):
            continue
        runs = trained(name, Path(args.out).resolve() / "sets", args.cache, args.set_seeds)
        found = evaluate(runs.default, cache=args.cache, explain=True)
        rows += of_explanations(name, found) if name in PEOPLE else []
        rows += of_promises(name, found, runs.default, args.cache)
        rows += of_cost(name, runs.default, args.cache) if name in ("utd_mhad", "grid_letter") else []
        gain = of_damage(runs, args.cache)
        table.add_row(name, f"{100 * gain.gain:.2f}", ", ".join(gain.worse))
        rows.append(target(f"{name}: mean area under damage less late fusion's, points", 100 * gain.gain, ">=", -1.0))
    console.print(table)
    return rows


KINDS = {"worlds": worlds, "spans": spans, "monitors": monitors, "cause": cause, "sets": sets}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", default=[*KINDS], help=f"of {', '.join(KINDS)}")
    parser.add_argument("--out", default="runs/why")
    parser.add_argument("--cache", default=".plait-cache")
    parser.add_argument("--seeds", type=int, default=10, help="for worlds")
    parser.add_argument("--span-seeds", type=int, default=3, help="for spans")
    parser.add_argument("--watched", type=int, default=20, help="seeds for monitors")
    parser.add_argument("--first", type=int, default=20, help="the first of them; the rules were made on 0, 1, 100-103")
    parser.add_argument("--sets", nargs="+", default=[*SETS], choices=[*SETS], help="for sets")
    parser.add_argument("--set-seeds", nargs="+", type=int, default=[0], help="for sets")
    parser.add_argument("--cause-seeds", type=int, default=20, help="for cause")
    parser.add_argument("--first-seed", type=int, default=220, help="for cause; those up to 219 were looked at")
    args = parser.parse_args()
    check_parts(parser, args.parts, KINDS)
    if "sets" in args.parts:
        args.data = needs.check([SETS[name] for name in args.sets], fewest=1)
    torch.set_num_threads(1)
    console, rows = Console(), []
    for part in args.parts:
        rows += KINDS[part](args, console)
    finish(rows)


if __name__ == "__main__":
    main()
