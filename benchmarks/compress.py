"""What smaller runs lose, from every subset of their modalities: python benchmarks/compress.py [SET ...]

Needs: utd_mhad, grid_s1, stress_predict in PLAIT_DATA (of the sets that are asked for; none for ``made``).
Takes: minutes for a set whose run is trained (--run SET=FOLDER), an hour of one core for stress; else its training
too; for ``made`` with --taught 5 minutes. --taught adds the forms that train, among them narrower tokens twice, after
equally many steps: from scratch (dim) and pruned from the original's (width).

Sets are those of `default.py`, split as in `why_sets.py`. Each form is compared with the original on the items that
would decide whether it is written (validation, or training items where the split has none) and on the test part; forms
and targets are fixed beforehand, none is chosen by the test part. Columns: the weights' file in per cent of the
original's; the mean change of the main metric over all subsets of modalities; the subset that changes most for the
worse; and the lowest end of any subset's interval (`plait.compression.changes.lowest`).
"""

from __future__ import annotations

import argparse
import tempfile
import time
import zlib
from pathlib import Path
from typing import Any

import needs
import numpy as np
from default import RECIPES
from rich.console import Console
from rich.table import Table
from targets import check_parts, finish, target
from tune import recipe_of
from why_sets import SPLITS

from plait import fit, load_recipe
from plait.compression.changes import Answered, Change, deciding_part, lowest, worst_of
from plait.compression.compress import Plan, made
from plait.core.parts import Spec
from plait.evaluation.summary import plain
from plait.training.run import Run

SETS = {"utd_mhad": "utd_mhad", "grid_letter": "grid_s1", "stress": "stress_predict"}
"""Where the data of each lie."""

MADE = "made"
"""A further set, of noise and waves (`tune.recipe_of`)."""

SHORT = 60
"""Steps of training after which pruning is compared with a fresh model, besides those of the recipe."""

FORMS: dict[str, list[Spec]] = {
    "fp16": ["fp16"],
    "int8": ["int8"],
    "int4, whole channels": [{"name": "int4", "group": 10_000}],
    "int4, groups of 64": [{"name": "int4", "group": 64}],
    "int4, groups of 32": ["int4"],
    "sparse 0.5 at once, int8": [{"name": "sparse", "share": 0.5, "steps": 0}, "int8"],
}

TAUGHT: dict[str, list[Spec]] = {
    "sparse 0.5, int8": ["sparse=0.5", "int8"],
    "sparse 0.8, int8": ["sparse=0.8", "int8"],
    "dim 64, int8": ["dim=64", "int8"],
    "width 0.5, int8": ["width=0.5", "int8"],
    f"dim 64, {SHORT} steps, int8": [{"name": "dim", "width": 64, "steps": SHORT}, "int8"],
    f"width 0.5, {SHORT} steps, int8": [{"name": "width", "share": 0.5, "steps": SHORT}, "int8"],
}
"""The recipes' tokens have 128 channels."""

QUARTER, EIGHTH = "int8", "int4, groups of 32"
"""The forms whose targets are a quarter of the size and an eighth."""


def trained(name: str, out: Path, cache: str) -> Run:
    if name == MADE:
        return fit(recipe_of(name, out, 350), out / name, cache=cache, quiet=True)
    recipe = load_recipe(RECIPES / f"{name}.yaml")
    recipe.evaluate.missing, recipe.evaluate.noise = [], {}
    recipe.split = SPLITS.get(name, recipe.split)
    return fit(recipe, out / name, cache=cache, quiet=True)


def row_of(form: str, to: list[Spec], run: Run, decides: Answered, test: Answered, cache: str) -> dict[str, Any]:
    began = time.process_time()
    with (
        tempfile.TemporaryDirectory() as folder,
        made(run, Plan.of(to), decides, cache, beside=Path(folder) / "x") as found,
    ):
        models = [found[0].model(one) for one in decides.replicates]
        ratio = found[1]["after"] / found[1]["before"]
    seconds = time.process_time() - began
    decided, tested = decides.changes(models), test.changes(models)
    return {"form": form, "ratio": ratio, "decided": decided, "test": tested, "seconds": seconds}


def deflated(run: Run, decides: Answered) -> float:
    """The original's files by zlib alone, whose codes are exact."""
    files = [(run.folder / one.name / "model.safetensors").read_bytes() for one in decides.replicates]
    return sum(len(zlib.compress(data, 9)) for data in files) / sum(map(len, files))


def mean(rows: list[Change]) -> float:
    return float(np.mean([row["change"] for row in rows]))


def told(name: str, rows: list[dict[str, Any]], decides: Answered, plain: float) -> None:
    table = Table(title=f"{name}: {decides.task.main_metric}, points; decided on {decides.items} {decides.part} items")
    for column in ("form", "size", "deciding: lower end", "test: mean", "worst", "lower end", "seconds"):
        table.add_column(column)
    table.add_row("exact, deflated", f"{100 * plain:.1f} %", "", "", "", "", "")
    for row in rows:
        worst = min(row["test"], key=lambda one: one["change"])
        ends = [f"{lowest(worst_of(row[part])):+.2f}" for part in ("decided", "test")]
        least = f"{worst['change']:+.2f} {'+'.join(worst['modalities'])}"
        size, seconds = f"{100 * row['ratio']:.1f} %", f"{row['seconds']:.0f}"
        table.add_row(row["form"], size, ends[0], f"{mean(row['test']):+.2f}", least, ends[1], seconds)
    Console(width=140).print(table)


def targets_of(name: str, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    by = {row["form"]: row for row in rows}
    if name == MADE:  # so small that names and shapes of tensors are a good part of its file
        return pruning(name, by)
    small, smaller = by[QUARTER], by[EIGHTH]
    return [
        target(f"{name}: {QUARTER}, share of the size", small["ratio"], "<=", 0.25),
        target(f"{name}: {QUARTER}, mean change over subsets, off 0", abs(mean(small["test"])), "<=", 0.5),
        target(f"{name}: {QUARTER}, worst subset", min(row["change"] for row in small["test"]), ">=", -0.5),
        target(f"{name}: {EIGHTH}, share of the size", smaller["ratio"], "<=", 0.125),
        target(f"{name}: {EIGHTH}, worst subset", min(row["change"] for row in smaller["test"]), ">=", -1.0),
        target(f"{name}: {EIGHTH}, worst lower end", lowest(worst_of(smaller["test"])), ">=", -1.0),
        *pruning(name, by),
    ]


def pruning(name: str, by: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Half of the channels against as narrow a fresh model, after equally many steps; none where there are neither."""
    pairs = [(f"width 0.5{steps}, int8", f"dim 64{steps}, int8") for steps in ("", f", {SHORT} steps")]
    return [
        target(f"{name}: {pruned}, mean over {fresh}", mean(by[pruned]["test"]) - mean(by[fresh]["test"]), ">=", 0)
        for pruned, fresh in pairs
        if pruned in by
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="*", metavar="SET", help=", ".join([*SETS, MADE]))
    parser.add_argument("--run", action="append", default=[], metavar="SET=FOLDER", help="a trained run of a set")
    parser.add_argument("--out", default="runs/compress", help="where runs are trained")
    parser.add_argument("--cache", default=".plait-cache")
    parser.add_argument("--taught", action="store_true", help="also the forms that train")
    parser.add_argument("--forms", nargs="*", metavar="FORM", help="only these of the forms, without targets")
    args = parser.parse_args()
    held = dict(one.split("=", 1) for one in args.run)
    args.sets = args.sets or list(held) or list(SETS)
    check_parts(parser, args.sets, [*SETS, MADE])
    needs.check([SETS[name] for name in args.sets if name != MADE])
    forms = FORMS | (TAUGHT if args.taught else {})
    forms = {name: to for name, to in forms.items() if not args.forms or name in args.forms}
    found, kept = [], {}
    for name in args.sets:
        run = Run(held[name], allow_outside=True) if name in held else trained(name, Path(args.out), args.cache)
        decides = Answered(run, args.cache, deciding_part(run))
        test = Answered(run, args.cache, "test")
        rows = [row_of(form, to, run, decides, test, args.cache) for form, to in forms.items()]
        told(name, rows, decides, deflated(run, decides))
        found += [] if args.forms else targets_of(name, rows)
        kept[name] = rows
    finish(found, rows=plain(kept))


if __name__ == "__main__":
    main()
