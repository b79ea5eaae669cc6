"""`plait fit`."""

from __future__ import annotations

import argparse
from pathlib import Path

from plait.cli.shared import load, progress_bar, run_arguments, say
from plait.core.errors import ConfigError

HELP = "train a recipe"
ORDER = 60
EXAMPLES = ("plait fit mood.yaml", "plait fit mood.yaml train.epochs=5 fusion=late --out runs/quick")


def arguments(p: argparse.ArgumentParser) -> None:
    run_arguments(p)
    p.add_argument(
        "--quick",
        action="store_true",
        help="the quick model: random convolutions, statistics, a ridge regression (to runs/NAME-quick)",
    )
    p.add_argument("--overwrite", action="store_true", help="start anew if the folder holds a run of another recipe")


def run(args: argparse.Namespace) -> int:
    """Train a recipe: every seed and fold. The same command resumes a run that was interrupted."""
    from plait.training.fit import fit

    recipe, out = load(args)
    if args.quick and not args.out:
        out = out.with_name(f"{out.name}-quick")
    # Overwriting deletes what the run wrote, its recipe.yaml included.
    if args.overwrite and Path(args.recipe).resolve().is_relative_to(out.resolve()):
        raise ConfigError(f"{out}: the recipe {args.recipe} lies inside; nothing is overwritten. Choose another --out.")
    with progress_bar(args, "prepare") as progress:
        run = fit(
            recipe,
            out,
            cache=args.cache,
            jobs=args.jobs,
            overwrite=args.overwrite,
            quiet=args.json,
            quick=args.quick,
            progress=progress,
        )
    replicates = {m.name: run.done(m) for m in run.replicates}
    facts = {name: {"seconds": d.seconds, "parameters": d.parameters} for name, d in replicates.items()}
    lines = [f"{name}: {f['parameters']:,} parameters, {f['seconds']:.0f} s" for name, f in facts.items()]
    answers = run.model(run.replicates[0]).task.scored
    then = f"next: plait evaluate {out}" if answers else f"next: another recipe with model: {{from: {out}}}"
    say(
        args,
        {"run": str(out), "replicates": facts, "notes": run.info.notes},
        [*run.info.notes, *lines, f"wrote {out}", then],
    )
    return 0
