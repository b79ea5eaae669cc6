"""`plait tune`."""

from __future__ import annotations

import argparse
from pathlib import Path

from plait.cli.shared import cache_argument, cluster_argument, load, progress_bar, recipe_arguments, say

HELP = "search the recipe's fusion, width, streams and training, by experiment"
ORDER = 66
EXAMPLES = (
    "plait tune mood.yaml --over fusion model.dim=32,64,128 train.lr=1e-4..1e-2",
    "plait tune mood.yaml --over fusion streams=subsets --objectives metric latency streams --trials 60",
    "plait tune mood.yaml --over model.dim=16,32,64,128 streams=subsets --sampler weight_sharing",
)


def arguments(p: argparse.ArgumentParser) -> None:
    recipe_arguments(p)
    p.add_argument("--over", nargs="+", required=True, metavar="KEY[=VALUES]", help="keys=A,B or keys=LOW..HIGH")
    p.add_argument("--objectives", nargs="+", default=["metric"], metavar="NAME", help="metric latency size streams")
    p.add_argument("--trials", type=int, default=40, metavar="N", help="different recipes at most (default: 40)")
    p.add_argument(
        "--sampler", default="tpe", metavar="NAME", help="tpe, nsga2, random, grid or weight_sharing (default: tpe)"
    )
    p.add_argument("--rungs", type=int, default=3, metavar="N", help="of successive halving; 1: none (default: 3)")
    p.add_argument("--eta", type=int, default=3, metavar="N", help="of so many trials one is trained on (default: 3)")
    p.add_argument("--seed", type=int, default=0, metavar="N", help="of the sampler (default: 0)")
    p.add_argument("--out", help="folder of the search (default: runs/NAME-tune)")
    cache_argument(p)
    cluster_argument(p)


def run(args: argparse.Namespace) -> int:
    """Search recipes on validation items, recommend the simplest within one standard error of the best, and test it.

    No recording of the test part is opened before the choice is made. The same command goes on with a search that was
    cut off.
    """
    from plait.tuning.tune import Search, tune
    from plait.tuning.view import draw_front, lines_of

    recipe, _ = load(args)
    out = Path(args.out) if args.out else Path("runs") / f"{recipe.name}-tune"
    search = Search(
        args.over, args.objectives, args.trials, args.sampler, seed=args.seed, rungs=args.rungs, eta=args.eta
    )
    with progress_bar(args, "tune") as progress:
        result = tune(recipe, out, search, cache=args.cache, jobs=args.jobs, cluster=args.cluster, progress=progress)
    draw_front(result, out / "front.svg")
    say(args, {**result, "front_picture": str(out / "front.svg")}, lines_of(result))
    return 0
