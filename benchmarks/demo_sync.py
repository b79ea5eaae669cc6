"""Planted against recovered clocks, over several made-up worlds: world -> import -> sync, on real files.

Needs: nothing beyond plait.
Takes: minutes.

python benchmarks/demo_sync.py [--seeds 0 1 2] [--recordings 60] [--seconds 60] [--workers 2] [--rows]
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

from targets import finish, target

from plait.clocks import synchronise
from plait.clocks.truth import Recovered, against_truth, recovery
from plait.corpus.corpus import Corpus
from plait.demo.synth import make_world
from plait.importing.folder import import_folder

TOLERANCE_MS = 10.0


def one_world(folder: Path, seed: int, args: argparse.Namespace) -> tuple[list[Recovered], dict[str, float]]:
    """Rows of one world, and the seconds that each step took."""
    clock = [time.perf_counter()]
    truth = make_world(folder, recordings=args.recordings, seconds=args.seconds, seed=seed, workers=args.workers)
    clock.append(time.perf_counter())
    import_folder(folder, overwrite=True)
    corpus = Corpus(folder / "manifest.jsonl")
    clock.append(time.perf_counter())
    report = synchronise(corpus, workers=args.workers)
    clock.append(time.perf_counter())
    took = {step: b - a for step, a, b in zip(("world", "import", "sync"), clock, clock[1:])}
    return against_truth(corpus, report, truth), took


def show(rows: list[Recovered]) -> None:
    print("recording device  planted s      ppm   recovered s      ppm   worst ms")
    for r in rows:
        flag = f"  FLAGGED: {r.reason}" if r.flagged else ""
        print(
            f"{r.recording:<9} {r.device:<6} {r.planted_offset:+9.4f} {r.planted_drift_ppm:+8.1f}"
            f"     {r.offset:+9.4f} {r.drift_ppm:+8.1f} {r.worst_ms:10.2f}{flag}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--recordings", type=int, default=60)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rows", action="store_true", help="print every device of every world, not the first only")
    args = parser.parse_args()
    shares, wrong, worlds = [], 0, []
    for i, seed in enumerate(args.seeds):
        with tempfile.TemporaryDirectory() as folder:
            rows, took = one_world(Path(folder), seed, args)
        if args.rows or i == 0:
            show(rows)
        result = recovery(rows, args.recordings, TOLERANCE_MS)
        shares.append(result["share_within"])
        wrong += result["wrong_unflagged"]
        worlds.append({"seed": seed, **result, "seconds": {k: round(v, 1) for k, v in took.items()}})
        print(f"seed {seed}: {json.dumps(worlds[-1])}", flush=True)
    finish(
        [
            target("recordings with every clock within 10 ms everywhere, worst seed, share", min(shares), ">=", 0.95),
            target("clocks off by more than 10 ms and not flagged, all seeds", wrong, "==", 0),
        ]
    )


if __name__ == "__main__":
    main()
