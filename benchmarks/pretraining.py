"""Pre-training without labels, then a tenth of them: PLAIT_DATA=... python benchmarks/pretraining.py

Needs: utd_mhad in PLAIT_DATA.
Takes: hours.

UTD-MHAD, official split (recipes/utd_mhad.yaml): all clips of the four training people are seen without labels
(recipes/utd_pretrain.yaml), then a tenth of them is labelled, drawn class by class, one a class at least, and the
model is fine-tuned; the same draws train the same model from scratch, in batches of the same size.

``--tune`` is how the schedules below were chosen: everything within the training people, of whom one is held out. The
scratch run has a grid of its own and is given its own best. ``--held-out`` says who; one person is 108 clips, and
different draws of labels are some 5 points apart. Test people are scored once, with what was chosen.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import needs
import numpy as np
from rich.console import Console
from rich.table import Table
from targets import finish, target

from plait import evaluate, fit, load_recipe
from plait.corpus.corpus import Corpus
from plait.importing.folder import import_folder
from plait.recipe import Recipe

RECIPES = Path(__file__).parents[1] / "recipes"
TRAIN, TEST = [1, 3, 5, 7], [2, 4, 6, 8]
SHARE = 0.1
BATCH = ["train.batch=16"]
LONG, SHORT = "train.epochs=150", "train.epochs=80"
SCRATCH = [LONG, "train.lr=0.004"]
TUNED = [SHORT, "train.lr=0.01", "task.dropout=0.2"]
GRID = {
    "pre-trained": [TUNED, [SHORT, "train.lr=0.003", "task.dropout=0.2"], [SHORT, "train.lr=0.03", "task.dropout=0.2"]],
    "scratch": [SCRATCH, [LONG, "train.lr=0.002"], [LONG, "train.lr=0.002", "task.dropout=0.2"]],
}


class Bench:
    """The corpus, imported once, and where runs and features are kept."""

    def __init__(self, out: Path, cache: str) -> None:
        self.out, self.cache = out, cache
        plan = load_recipe(RECIPES / "utd_few_labels.yaml").corpus
        manifest = out / "manifest.jsonl"
        if not manifest.exists():
            import_folder(plan.folder, out=manifest, options=plan.options)
        self.corpus = Corpus(manifest, allow_outside=True)

    def labelled(self, people: Sequence[int], draw: int) -> list[str]:
        """A tenth of the clips of some people, class by class, one a class at least; ids."""
        rng = np.random.default_rng(draw)
        clips = [e for e in self.corpus.entries if int(e.meta["subject"]) in people]
        classes = sorted({int(e.labels["action"]) for e in clips})
        of_class = {
            c: [str(i) for i in rng.permutation([e.id for e in clips if e.labels["action"] == c])] for c in classes
        }
        first = [ids.pop() for ids in of_class.values()]
        rest = round(SHARE * len(clips)) - len(first)
        more = rng.choice(classes, size=max(rest, 0), replace=False)
        return sorted(first + [of_class[int(c)].pop() for c in more])

    def recipe(self, name: str, split: dict[str, Any], overrides: Sequence[str]) -> Recipe:
        recipe = load_recipe(RECIPES / f"{name}.yaml", list(overrides))
        recipe.corpus, recipe.allow_outside, recipe.split = str(self.corpus.path), True, split
        return recipe

    def pretrain(self, people: Sequence[int], overrides: Sequence[str]) -> Path:
        """A run on all clips of some people, without labels."""
        recipe = self.recipe("utd_pretrain", {"by": "subject", "train": list(people)}, overrides)
        folder = self.out / f"pretrain-{''.join(map(str, people))}"
        fit(recipe, folder, cache=self.cache, quiet=True)
        return folder

    def accuracy(
        self, name: str, train: list[str], people: Sequence[int], overrides: Sequence[str], start: Path | None
    ):
        """Per cent of the clips of some people, after training on a few labelled clips."""
        test = [e.id for e in self.corpus.entries if int(e.meta["subject"]) in people]
        more = ["train.seeds=[0]", "evaluate.missing=[0.0]"]
        recipe = self.recipe("utd_few_labels", {"by": "id", "train": train, "test": test}, [*BATCH, *more, *overrides])
        width = load_recipe(RECIPES / "utd_pretrain.yaml").model
        recipe.model = width if start is None else {"from": str(start), "freeze": True}
        result = evaluate(fit(recipe, self.out / name, cache=self.cache, quiet=True), cache=self.cache)
        return 100 * float(result["subsets"][-1]["metrics"]["accuracy"]["mean"])


def tune(bench: Bench, overrides: Sequence[str], draws: Sequence[int], arms: Sequence[str], held_out: int) -> None:
    """Score every schedule on a training person who was held out, of pre-training too."""
    people = [p for p in TRAIN if p != held_out]
    start = bench.pretrain(people, overrides) if "pre-trained" in arms else None
    for arm in arms:
        for i, options in enumerate(GRID[arm]):
            place = None if arm == "scratch" else start
            names = [f"tune-{held_out}-{arm}-{i}-{d}" for d in draws]
            found = [
                bench.accuracy(n, bench.labelled(people, d), [held_out], options, place) for n, d in zip(names, draws)
            ]
            print(f"{arm} {' '.join(options)}: {np.mean(found):.1f} {np.round(found, 1).tolist()}", flush=True)


def compare(bench: Bench, overrides: Sequence[str], draws: Sequence[int]) -> list[dict[str, Any]]:
    """The test people, once: for each draw of labels from scratch and pre-trained."""
    start = bench.pretrain(TRAIN, overrides)
    table = Table("labels drawn", "labelled clips", "from scratch, %", "pre-trained, %", title="a tenth of the labels")
    rows = []
    for draw in draws:
        chosen = bench.labelled(TRAIN, draw)
        found = [
            bench.accuracy(f"{name}-{draw}", chosen, TEST, options, place)
            for name, options, place in (("scratch", SCRATCH, None), ("tuned", TUNED, start))
        ]
        rows.append(found)
        print(draw, len(chosen), np.round(found, 2).tolist(), flush=True)
        table.add_row(str(draw), str(len(chosen)), *(f"{x:.1f}" for x in found))
    scratch, tuned = np.array(rows).T
    table.add_row("mean", "", *(f"{x.mean():.1f} ± {x.std(ddof=1):.1f}" for x in (scratch, tuned)))
    Console().print(table)
    return [
        target(
            "UTD-MHAD, a tenth of the labels: pre-trained less scratch, points", (tuned - scratch).mean(), ">=", 8.0
        ),
        target("the least gain of any draw, points", (tuned - scratch).min(), ">=", 0.0),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "overrides", nargs="*", metavar="KEY=VALUE", help="of the pre-training, such as train.epochs=20"
    )
    parser.add_argument("--out", type=Path, default=Path("runs/pretraining"))
    parser.add_argument("--cache", default=".plait-cache")
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--tune", nargs="*", choices=list(GRID), help="choose schedules within the training people")
    parser.add_argument("--held-out", type=int, choices=TRAIN, default=7, help="on whom schedules are scored")
    args = parser.parse_args()
    needs.check(["utd_mhad"])
    bench, draws = Bench(args.out, args.cache), range(args.draws)
    if args.tune is not None:
        tune(bench, args.overrides, draws, args.tune or list(GRID), args.held_out)
        return
    finish(compare(bench, args.overrides, draws))


if __name__ == "__main__":
    main()
