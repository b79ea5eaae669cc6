"""The default model on real data, with one set of hyper-parameters: PLAIT_DATA=... python benchmarks/default.py

Needs: utd_mhad, grid_s1, stress_predict, av_digits, mosi in PLAIT_DATA (of the sets that are asked for).
Takes: hours.

The recipes say what the data are (features, which turns and noises are plausible) and leave all else open: encoders,
fusion, width, training are plait's defaults on every set. Each is trained on all modalities, on each alone, and on all
but one of them, with the same seeds, and scored on the test part after the last epoch. What is asked:

- Is the fused model good, and is it no worse than the best single modality?
- Does one model serve all subsets? With a modality taken away, it is put beside the model trained without it.

Trained replicates are kept in ``--out``: the same command goes on where it was cut off, and another process may train
another set meanwhile.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import needs
import numpy as np
from rich.console import Console
from rich.table import Table
from targets import finish, target

from plait import evaluate, fit, load_recipe
from plait.comparison.variants import ALONE, WITHOUT, variants_of

RECIPES = Path(__file__).parents[1] / "recipes"
SETS = {
    "utd_mhad": "utd_mhad",
    "grid_letter": "grid_s1",
    "stress": "stress_predict",
    "av_digits": "av_digits",
    "mosi": "mosi",
}
"""Recipes, and the data of each."""

BABBLE = -5
Subset = tuple[str, ...]
Score = tuple[float, float]
"""Mean and standard deviation over seeds, in points (hundredths); larger is better."""


@dataclass
class Scores:
    """What a set gave, by the modalities that answered.

    Attributes:
        one: of the model trained on all of them.
        dedicated: of models trained on these alone.
        noisy: of one modality at -5 dB of babble, the best of both kinds of model; and of all.
        constant: of the constant answer.
    """

    metric: str
    one: dict[Subset, Score]
    dedicated: dict[Subset, Score]
    noisy: dict[Subset, float]
    constant: float

    @property
    def fused(self) -> float:
        return self.one[max(self.one, key=len)][0]

    @property
    def best_single(self) -> float:
        """The better of the two ways to be alone, of the best modality."""
        return max(score[0] for found in (self.one, self.dedicated) for s, score in found.items() if len(s) == 1)

    @property
    def worst_subset(self) -> float:
        return max(score[0] - self.one[s][0] for s, score in self.dedicated.items())


def scored(result: Mapping[str, Any]) -> tuple[str, dict[Subset, Score], dict[Subset, float], float]:
    """Metric, scores and noisy scores by subset, and the constant answer's."""
    name = result["task"]["metric"]
    sign = 100 if result["task"]["higher_is_better"] else -100
    rows = {subset(s["modalities"]): s["metrics"][name] for s in result["subsets"]}
    noise = [r for r in result["robustness"]["noise"] if r["level"] == BABBLE]
    return (
        name,
        {s: (sign * m["mean"], 100 * (m["sd"] or 0.0)) for s, m in rows.items()},
        {subset(r["subset"]): sign * r["value"] for r in noise},
        sign * result["baseline"]["metrics"][name],
    )


def subset(modalities: Sequence[str]) -> Subset:
    return tuple(sorted(modalities))


def examine(
    name: str,
    out: Path,
    cache: str,
    *,
    jobs: int = 1,
    seeds: Sequence[int] = (),
    kinds: Sequence[str] = (ALONE, WITHOUT),
) -> Scores:
    """Train what is not trained yet of a set, and score it.

    Args:
        seeds: of the models of subsets; the recipe's by default.
        kinds: of subsets.
    """
    recipe = load_recipe(RECIPES / f"{name}.yaml")
    recipe.evaluate.missing = []
    options: dict[str, Any] = {"cache": cache, "jobs": jobs, "quiet": True}
    whole = fit(recipe, out / name, **options)
    metric, one, noisy, constant = scored(evaluate(whole, cache=cache))
    dedicated: dict[Subset, Score] = {}
    for variant in variants_of(recipe, list(whole.info.modalities), without=True):
        if variant.kind in kinds:
            variant.recipe.train.seeds = list(seeds or recipe.train.seeds)
            run = fit(variant.recipe, out / f"{name}-{variant.name}", **options)
            _, scores, babble, _ = scored(evaluate(run, cache=cache))
            dedicated[subset(variant.modalities)] = scores[subset(variant.modalities)]
            noisy |= {s: max(value, noisy.get(s, value)) for s, value in babble.items()}
    return Scores(metric, one, dedicated, noisy, constant)


def show(console: Console, name: str, scores: Scores) -> None:
    title = f"{name}: {scores.metric}, points (constant answer {scores.constant:.1f})"
    table = Table("modalities", "one model for all", "trained for them", "difference", title=title)
    for s, (mean, sd) in scores.one.items():
        if s in scores.dedicated or len(s) in (1, len(max(scores.one, key=len))):
            own, spread = scores.dedicated.get(s, (np.nan, np.nan))
            cells = ("", "") if np.isnan(own) else (f"{own:.1f} ± {spread:.1f}", f"{mean - own:+.1f}")
            table.add_row(" + ".join(s), f"{mean:.1f} ± {sd:.1f}", *cells)
    console.print(table)
    for s, value in scores.noisy.items():
        console.print(f"  {' + '.join(s)} at {BABBLE} dB: {value:.1f}")


def rows(name: str, scores: Scores) -> list[dict[str, Any]]:
    """What is asked of every set, and of this one."""
    audio, image, text = (scores.dedicated.get((m,), (np.nan, 0.0))[0] for m in ("audio", "image", "text"))
    own = {
        "utd_mhad": [("fused, %", scores.fused, ">=", 98.0)],
        "stress": [("area under ROC, hundredths", scores.fused, ">=", 84.0)],
        "av_digits": [
            ("fused, %", scores.fused, ">=", 99.0),
            ("picture alone, %: 70 at least", image, ">=", 70.0),
            ("picture alone, %: 80 at most", image, "<=", 80.0),
        ],
        "mosi": [("MAE of a model for text alone less that of all, hundredths", scores.fused - text, ">=", 0.0)],
        "grid_letter": [
            ("fused less sound alone, clean, points", scores.fused - audio, ">=", -0.5),
            (
                f"fused less sound alone at {BABBLE} dB, points",
                scores.noisy.get(("audio", "video"), np.nan) - scores.noisy.get(("audio",), np.nan),
                ">=",
                20.0,
            ),
        ],
    }[name]
    every = [("fused less the best single modality, points", scores.fused - scores.best_single, ">=", -0.5)]
    if scores.dedicated:
        every.append(("most that a model trained for a subset is better by, points", scores.worst_subset, "<=", 1.0))
    # without models of subsets there is nothing to say of them
    return [target(f"{name}: {what}", value, op, goal) for what, value, op, goal in own + every if not np.isnan(value)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sets", nargs="*", help=f"of {', '.join(SETS)} (default: all)")
    parser.add_argument("--out", type=Path, default=Path("runs/default"))
    parser.add_argument("--cache", default=".plait-cache")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--seeds", nargs="*", type=int, help="of the models of subsets (default: the recipe's)")
    parser.add_argument("--kinds", nargs="*", default=[ALONE, WITHOUT], choices=[ALONE, WITHOUT], help="of subsets")
    args = parser.parse_args()
    needs.check([SETS[name] for name in args.sets or SETS])
    console, found = Console(), []
    for name in args.sets or SETS:
        scores = examine(name, args.out, args.cache, jobs=args.jobs, seeds=args.seeds or (), kinds=args.kinds)
        show(console, name, scores)
        found += rows(name, scores)
    finish(found)


if __name__ == "__main__":
    main()
