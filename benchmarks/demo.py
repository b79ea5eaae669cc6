"""What `plait demo` promises: time, memory, clocks recovered, what fusing brings: python benchmarks/demo.py"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path

from targets import finish, target

from plait.demo import demo


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        found = demo(folder, seed=args.seed, jobs=args.jobs)
        seconds = time.perf_counter() - started
        disk = sum(p.stat().st_size for p in Path(folder).rglob("*") if p.is_file()) / 1e9
    usage = [resource.getrusage(who).ru_maxrss / 1e6 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    memory = usage[0] + args.jobs * usage[1]  # the largest child, as often as there are workers
    gain = 100 * found["evaluation"]["gain_over_best_single"]
    finish(
        [
            target("demo, minutes", seconds / 60, "<=", 4),
            target("demo, GB of memory at most (this process and its workers)", memory, "<=", 2),
            target("demo, GB on disk", disk, "<=", 2),
            target("recordings with every clock within 10 ms everywhere", found["sync"]["share_within"], ">=", 0.95),
            target("clocks wrong and not flagged", found["sync"]["wrong_unflagged"], "==", 0),
            target("fused over the best single modality, points", gain, ">=", 10),
        ],
        seed=args.seed,
    )


if __name__ == "__main__":
    main()
