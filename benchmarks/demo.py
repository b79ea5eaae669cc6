"""What `plait demo` promises: time, memory, clocks recovered, what fusing brings: python benchmarks/demo.py

Needs: nothing beyond plait.
Takes: two to four minutes of two cores.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import threading
import time
from pathlib import Path

from targets import finish, target

from plait.demo.demo import demo


class Memory(threading.Thread):
    """The most memory that this process and its children held at one time, GB (resident, sampled)."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.most, self.done = 0.0, threading.Event()

    def run(self) -> None:
        while not self.done.wait(0.2):
            self.most = max(self.most, sum(map(resident, family(os.getpid()))) / 1e9)


def family(pid: int) -> list[int]:
    """A process and all that descend from it."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        children = []
    return [pid, *(p for child in children for p in family(int(child)))]


def resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0  # it has just ended


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        memory, started = Memory(), time.perf_counter()
        memory.start()
        found = demo(folder, seed=args.seed, jobs=args.jobs)
        seconds = time.perf_counter() - started
        memory.done.set()
        disk = sum(p.stat().st_size for p in Path(folder).rglob("*") if p.is_file()) / 1e9
    gain = 100 * found["evaluation"]["gain_over_best_single"]
    finish(
        [
            target("demo, minutes", seconds / 60, "<=", 4),
            target("demo, GB of memory at most, workers included", memory.most, "<=", 2),
            target("demo, GB on disk", disk, "<=", 2),
            target("recordings with every clock within 10 ms everywhere", found["sync"]["share_within"], ">=", 0.95),
            target("clocks wrong and not flagged", found["sync"]["wrong_unflagged"], "==", 0),
            target("fused over the best single modality, points", gain, ">=", 10),
        ],
        seed=args.seed,
    )


if __name__ == "__main__":
    main()
