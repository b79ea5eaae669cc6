"""The benchmarks that take minutes at most, one after another, and one table of all their targets.

Needs: nothing beyond plait but the extra `bench`. Optional: grid_s1, fsdd, stress_predict, utd_mhad in PLAIT_DATA.
Takes: about five minutes of two cores; with data some two more.

python benchmarks/quick_ones.py          # or: make bench

A benchmark that lacks what it needs is left out, and told; one that does not finish is a row of the table, and the exit
code is 1. A target that is not met is a row that says so, here as in each benchmark.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import needs
from targets import finish, target

FOLDER = Path(__file__).parent

QUICK = (
    "cca.py",
    "fuzz_misuse.py --minutes 0.25",
    "sound.py --codec pcm_s16le flac --rate 16000 48000",
    "align.py --seconds 300 1200 --repeats 3",
    "intervals.py",
    "demo.py",
    "sync.py --quick",
)
"""What is run: a script, and its options."""

LONGEST = 1200
"""Seconds after which one is ended."""


def targets_of(benchmark: str, folder: Path = FOLDER) -> list[dict[str, Any]] | None:
    """The targets of one, each named after it; none if it lacks what it needs.

    Raises:
        RuntimeError: it did not finish; with the end of what it said.
    """
    script, *options = benchmark.split()
    python = [sys.executable, str(folder / script), *options]
    try:
        done = subprocess.run(python, capture_output=True, text=True, timeout=LONGEST)
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"not done after {LONGEST} s") from None
    if done.returncode == needs.LACKING:
        print(done.stderr.rstrip(), flush=True)
        return None
    if done.returncode:
        raise RuntimeError(f"exit code {done.returncode}: {done.stderr[-2000:].rstrip()}")
    try:
        found = json.loads(done.stdout.splitlines()[-1])["targets"]
    except (IndexError, ValueError, KeyError, TypeError):
        raise RuntimeError(f"its last line is no JSON object with targets: {done.stdout[-200:]!r}") from None
    return [{**each, "what": f"{script}: {each['what']}"} for each in found]


def collect(benchmarks: tuple[str, ...], folder: Path = FOLDER) -> bool:
    """Run them all, and print one table and one JSON line; whether all finished."""
    found, whole = [], True
    for number, benchmark in enumerate(benchmarks, 1):
        print(f"{number}/{len(benchmarks)} {benchmark} ...", end=" ", flush=True)
        began = time.monotonic()
        try:
            rows = targets_of(benchmark, folder)
        except RuntimeError as error:
            print(f"did not finish: {error}", flush=True)
            found.append(target(f"{benchmark}: did not finish", 1, "==", 0))
            whole = False
            continue
        if rows is None:
            print(f"{benchmark}: left out", flush=True)
            continue
        met = sum(row["met"] for row in rows)
        print(f"{time.monotonic() - began:.0f} s, {met} of {len(rows)} targets met", flush=True)
        found += rows
    finish(found)
    return whole


if __name__ == "__main__":
    sys.exit(0 if collect(QUICK) else 1)
