"""How a training step's memory and time grow with the length of the streams.

Needs: nothing beyond plait; not Windows.
Takes: minutes.

Three streams of 32 features, 8 items, the default encoders for that length, and each of some fusions: forward,
backward, step of AdamW. Peak memory and processor time of a fresh process each, by steps a stream.

    python benchmarks/long.py                 # 1,250 to 20,000 steps
    python benchmarks/long.py --longest 5000  # shorter
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from targets import finish, target

from plait.models.backbone import default_encoder
from plait.models.model import Model
from plait.tasks.classify import Classify
from plait.tokens import Tokens

STREAMS, FEATURES, BATCH, RATE = ("one", "two", "three"), 32, 8, 100.0
FUSIONS = ("concat", "shared", "crossmodal", "bottleneck", "latents")
RAW = "latents, streams not shortened"
"""Perceiver-style latents read every step: one linear layer a stream instead of the default encoders."""

SHORT = 100
"""Steps of the run that stands for what a process needs anyway."""


def run_one(fusion: str, steps: int) -> dict[str, float]:
    """One training step's processor time, the process's peak memory in GiB, and whether it swapped."""
    torch.manual_seed(0)
    encoder = "linear" if fusion == RAW else default_encoder(steps)
    model = Model(
        dict.fromkeys(STREAMS, FEATURES),
        Classify(["a", "b"]),
        encoders=dict.fromkeys(STREAMS, encoder),
        fusion=fusion.partition(",")[0],
    ).train()
    optimizer, goal = torch.optim.AdamW(model.parameters(), lr=1e-3), torch.arange(BATCH) % 2
    times = (torch.arange(steps) / RATE).expand(BATCH, -1)
    batch = {m: Tokens(torch.randn(BATCH, steps, FEATURES), times, times >= 0) for m in STREAMS}
    seconds = []
    for _ in range(2):  # the first one warms up
        began = time.process_time()
        loss = sum(model.task.step([model.view(model.encode(batch))], goal).values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        seconds.append(time.process_time() - began)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {"seconds": seconds[-1], "peak_gib": peak, "swapped_mib": swapped()}


def swapped() -> float:
    """MiB of this process that were moved out of memory; 0 where the system does not say."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmSwap")), 0.0)


def in_process(fusion: str, steps: int) -> dict[str, float]:
    command = [sys.executable, __file__, "--one", fusion, "--longest", str(steps)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ.copy())
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def bend(rows: dict[int, dict[str, float]], what: str) -> float:
    """What a step more costs over the last doubling, over what it costs over the doubling before.

    1 is linear, 2 quadratic. What does not grow with the length (the libraries, the weights, freed memory that serves
    again) cancels out.
    """
    quarter, half, longest = sorted(rows)[-3:]
    costs = [(rows[b][what] - rows[a][what]) / (b - a) for a, b in ((quarter, half), (half, longest))]
    return costs[1] / costs[0]


def show(found: dict[str, dict[int, dict[str, float]]], what: str, title: str) -> None:
    table = Table(title=title)
    table.add_column("fusion")
    for steps in found[FUSIONS[0]]:
        table.add_column(f"{steps:,}", justify="right")
    for fusion, rows in found.items():
        table.add_row(fusion, *(f"{rows[n][what]:.2f}" if n in rows else "" for n in found[FUSIONS[0]]))
    Console(width=120).print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--longest", type=int, default=20_000, help="steps a stream; the others are 1/2 to 1/16 of it")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(run_one(args.one, args.longest)))
        return
    lengths = [args.longest // k for k in (16, 8, 4, 2, 1)]
    # the default at every length, and at one that stands for what a process needs anyway
    found = {FUSIONS[0]: {n: in_process(FUSIONS[0], n) for n in [SHORT, *lengths]}}
    found |= {fusion: {n: in_process(fusion, n) for n in lengths[::2]} for fusion in (*FUSIONS[1:], RAW)}
    show(found, "peak_gib", "peak memory of a training step, GiB, by steps a stream (3 streams x 32, 8 items)")
    show(found, "seconds", "processor time of a training step, seconds")
    default = found[FUSIONS[0]]
    targets = [
        target("default: memory a step, last doubling / the one before", bend(default, "peak_gib"), "<=", 1.1),
        target(
            f"default: MiB swapped at {args.longest:,} steps a stream", default[args.longest]["swapped_mib"], "<=", 0
        ),
    ]
    finish(targets, rows={f: {str(n): r for n, r in rows.items()} for f, rows in found.items()})


if __name__ == "__main__":
    main()
