"""`plait prepare`."""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from plait.cli.shared import cluster_argument, load, progress_bar, run_arguments, say

HELP = "compute the features of a recipe"
ORDER = 50
EXAMPLES = ("plait prepare mood.yaml --jobs 2", "plait prepare mood.yaml --verify")


def arguments(p: argparse.ArgumentParser) -> None:
    run_arguments(p)
    cluster_argument(p)
    p.add_argument("--verify", action="store_true", help="read every input again, even if it seems unchanged")


def run(args: argparse.Namespace) -> int:
    """Compute the features of a recipe into the cache. It may be interrupted at any time: finished work stays."""
    from plait.store.store import Store
    from plait.training.experiment import Experiment, open_corpus

    recipe, out = load(args)
    experiment = Experiment.of(recipe, open_corpus(recipe, out))
    store = Store(args.cache, verify=args.verify)
    with progress_bar(args, "prepare") as progress:
        features = experiment.prepare(store, pack=True, jobs=args.jobs, cluster=args.cluster, progress=progress)
    counts = {m: p.report() for m, p in features.prepared.items()}
    lines = [
        f"{m}: {c['computed']} computed, {c['cached']} already there{_packed(c['packed_bytes'])}"
        for m, c in counts.items()
    ]
    notes = [
        f"  {m}: {n} {what}" for m, c in counts.items() for ones in c["notes"].values() for what, n in ones.items()
    ]
    stale = [f"  changed though its time stamp did not, and prepared anew: {path}" for path in store.stale]
    say(args, {"features": counts, "stale": store.stale}, lines + notes + stale)
    return 0


def _packed(sizes: Mapping[str, int]) -> str:
    size = sum(sizes.values())
    return f", packed in {size / 1e6:.1f} MB" if size else ""
