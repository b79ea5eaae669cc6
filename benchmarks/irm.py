"""Invariant risk minimisation against the risk alone, where a spurious stream turns: python benchmarks/irm.py

Needs: nothing beyond plait.
Takes: some ten minutes on a free core.

A world in the manner of coloured digits (Arjovsky et al. 2019, section 5.1), of two sensors. What ``shape`` shows is
the class in 75 % of the recordings; the sign of ``tint`` agrees with the class in 90 % of one training environment, in
80 % of the other, and in 10 % of that of the test. Three models of two thirds of the training recordings, the others
choose the epoch: ERM, IRM (both of both streams), and the oracle, ERM without ``tint``. Who uses the shape alone is
right in 75 % everywhere; who uses the tint alone in 10 % of the test.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
from targets import finish, target

from plait.corpus.corpus import CorpusWriter
from plait.evaluation.evaluate import evaluate
from plait.recipe import parse_recipe
from plait.streams.stream import Stream
from plait.training.fit import fit

AGREES = {"east": 0.9, "west": 0.8, "north": 0.1}
EACH, SHAPE = 150, 0.75
WAYS = {"erm": {}, "irm": {"irm": {"environments": "site", "weight": 100}}, "oracle": {}}


def make(folder: Path, seed: int) -> None:
    """The corpus of a seed; the environment ``north`` is its test."""
    rng = np.random.default_rng(seed)
    with CorpusWriter(folder) as out:
        for site, agrees in AGREES.items():
            for i in range(EACH):
                yes = rng.random() < 0.5
                shape, tint = (yes == (rng.random() < share) for share in (SHAPE, agrees))
                streams = {
                    name: Stream.of(rng.normal(0.5 if on else -0.5, 0.5, (20, 2)), rate=10)
                    for name, on in (("shape", shape), ("tint", tint))
                }
                split = "test" if site == "north" else "valid" if i % 3 == 0 else "train"
                labels = {"class": "yes" if yes else "no"}
                out.add(f"{site}{i}", streams, labels=labels, meta={"site": site}, group=f"{site}{i}", split=split)


def accuracy(folder: Path, way: str, seed: int) -> float:
    """In the environment of the test."""
    train = {"epochs": 30, "seeds": [seed], "wide": False, **WAYS[way]}
    streams = {"shape": {}} if way == "oracle" else {"shape": {}, "tint": {}}
    recipe = {
        "corpus": str(folder / "manifest.jsonl"),
        "task": {"name": "classify", "target": "class"},
        "streams": streams,
        "model": {"dim": 16},
        "split": {"by": "manifest"},
        "train": train,
    }
    run = fit(parse_recipe(json.dumps(recipe)), folder / way, cache=folder / "cache", quiet=True)
    every = evaluate(run, cache=folder / "cache")["subsets"][-1]
    return float(every["metrics"]["accuracy"]["mean"] or 0.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    found: dict[str, list[float]] = {way: [] for way in WAYS}
    for seed in range(parser.parse_args().seeds):
        with tempfile.TemporaryDirectory() as folder:
            make(Path(folder), seed)
            for way, own in found.items():
                own.append(accuracy(Path(folder), way, seed))
                print(f"seed {seed} {way}: {own[-1]:.3f}", flush=True)
    for way, own in found.items():
        print(f"{way}: {np.mean(own):.3f} ± {np.std(own, ddof=1):.3f}")
    # The oracle shows that the world can be answered; IRM does what it is for where it comes near to that.
    near = np.subtract(found["oracle"], found["irm"]) <= 0.05
    targets = [target("oracle without the spurious stream", float(np.mean(found["oracle"])), ">=", 0.7)]
    targets += [target("share of the seeds in which IRM is within 5 points of it", near.mean(), ">=", 1.0)]
    finish(targets, accuracy=found)


if __name__ == "__main__":
    main()
