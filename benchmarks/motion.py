"""Which encoders see a motion that no single frame shows? Generated clips of random dots, six motions.

Needs: nothing beyond plait.
Takes: hours; with --only and --seeds 1 minutes an encoder.

The dots lie anywhere on a plane far larger than the picture (a Poisson process, which shifting and turning leave as it
is): so frames of all classes have one and the same distribution, and only how one follows another tells the class.
Prints accuracy on held-out clips (mean and spread over seeds), parameters and processor time of a fit.

    python benchmarks/motion.py [--seeds 3] [--only two_stream,i3d]
"""

from __future__ import annotations

import argparse
import math
import time
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from targets import finish, target

from plait.models.model import Model
from plait.tasks.classify import Classify
from plait.tokens import Tokens

FRAMES, SIZE, RATE, LIFE = 12, 16, 12.0, 4
MOTIONS = ("left", "right", "up", "down", "clockwise", "anticlockwise")
SHAPE = [SIZE, SIZE]
ENCODERS: dict[str, Any] = {
    "cnn": {"name": "cnn", "shape": SHAPE},
    "cnn + gru": [{"name": "cnn", "shape": SHAPE}, "gru"],
    "cnn of 3 frames + gru": [{"name": "cnn", "shape": SHAPE, "stack": 3}, "gru"],
    "two_stream": {"name": "two_stream", "shape": SHAPE},
    "i3d": {"name": "i3d", "shape": SHAPE},
    "c3d": {"name": "c3d", "shape": SHAPE},
    "vit": {"name": "vit", "shape": SHAPE, "patch": 4, "tube": 2},
}
WHAT = {
    "cnn": "each frame by itself, pooled",
    "cnn + gru": "each frame, then recurrent",
    "cnn of 3 frames + gru": "three at once, then recurrent",
    "two_stream": "frames and optical flow",
    "i3d": "inception in 3-D",
    "c3d": "plain 3-D",
    "vit": "patches, tubelets of 2 frames",
}


def clip(motion: str, rng: np.random.Generator) -> NDArray[np.float32]:
    """Dots, dark and bright, that all make one motion of about a pixel a frame, [FRAMES, SIZE, SIZE].

    Each lives `LIFE` frames and is born again elsewhere, so that the frames together show no smear either.
    """
    half, steps = SIZE / 2 + 3 + LIFE, np.arange(FRAMES)[:, None]
    count = rng.poisson(0.12 * (2 * half) ** 2)
    life, age = np.divmod(steps + rng.integers(0, LIFE, count), LIFE)
    x, y = rng.uniform(-half, half, (2, int(life.max(initial=0)) + 1, count))[:, life, np.arange(count)]
    sign, along_path = rng.choice([-1.0, 1.0], count), age * rng.uniform(0.7, 1.3)
    if "clockwise" in motion:
        angle = along_path * (0.15 if motion == "clockwise" else -0.15)
        x, y = x * np.cos(angle) - y * np.sin(angle), x * np.sin(angle) + y * np.cos(angle)
    else:
        right, down = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}[motion]
        x, y = x + along_path * right, y + along_path * down
    pixels = np.arange(SIZE) - (SIZE - 1) / 2
    across, along = (np.exp(-((pixels - at[..., None]) ** 2) / (2 * 0.8**2)) for at in (x, y))
    film = np.einsum("d,tdy,tdx->tyx", sign, along, across)
    return (film + 0.1 * rng.standard_normal(film.shape)).astype(np.float32)


class Clips(NamedTuple):
    """Clips as tokens, and which motion each shows."""

    tokens: Tokens
    motions: list[str]

    def part(self, rows: Any) -> Tokens:
        return Tokens(*(x[rows] for x in self.tokens))


def clips(count: int, seed: int) -> Clips:
    """``count`` clips, the motions in turn."""
    rng = np.random.default_rng(seed)
    motions = [MOTIONS[i % len(MOTIONS)] for i in range(count)]
    films = torch.from_numpy(np.stack([clip(m, rng) for m in motions])).flatten(2)
    times = (torch.arange(FRAMES) / RATE).expand(count, FRAMES)
    return Clips(Tokens(films, times, torch.ones(count, FRAMES, dtype=torch.bool)), motions)


def fit(encoder: Any, train: Clips, *, seed: int, epochs: int, batch: int = 32) -> Model:
    """A model of one modality, its tokens pooled over time, trained by AdamW at one rate for all encoders."""
    torch.manual_seed(seed)
    model = Model({"film": SIZE * SIZE}, Classify(train.motions), encoders={"film": encoder}, fusion="late", dim=64)
    model.backbone.set_scale("film", np.zeros(SIZE * SIZE), np.full(SIZE * SIZE, float(train.tokens.values.std())))
    goal = model.task.encode(train.motions)
    steps = epochs * math.ceil(len(goal) / batch)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps)
    for _ in range(epochs):
        for rows in torch.randperm(len(goal)).split(batch):
            seen = {"film": train.part(rows)}
            loss = sum(model.task.step([model.view(model.encode(seen))], goal[rows]).values())
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
    return model.eval()


def accuracy(model: Model, held_out: Clips) -> float:
    """Share of clips whose motion is named."""
    rows = torch.arange(len(held_out.motions)).split(64)
    with torch.inference_mode():
        output = torch.cat([model({"film": held_out.part(r)})[""] for r in rows])
    return float((output.argmax(-1) == model.task.encode(held_out.motions)).double().mean())


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", default=",".join(ENCODERS))
    parser.add_argument("--clips", type=int, default=900)
    parser.add_argument("--epochs", type=int, default=6)
    args = parser.parse_args()
    torch.set_num_threads(1)
    found: dict[str, dict[str, Any]] = {}
    for name in args.only.split(","):
        scores, seconds = [], []
        for seed in range(args.seeds):
            train, held_out = clips(args.clips, 2 * seed), clips(600, 2 * seed + 1)
            begin = time.process_time()
            model = fit(ENCODERS[name], train, seed=seed, epochs=args.epochs)
            seconds.append(time.process_time() - begin)
            scores.append(100 * accuracy(model, held_out))
        weights = sum(p.numel() for p in model.backbone.encoders.parameters())
        found[name] = {"accuracy": scores, "parameters": weights, "seconds": float(np.median(seconds))}
        print(f"{name}: {', '.join(f'{s:.1f}' for s in scores)} %", flush=True)
    _report(found)


def _report(found: dict[str, dict[str, Any]]) -> None:
    chance = 100 / len(MOTIONS)
    table = Table(title=f"{len(MOTIONS)} motions, {FRAMES} frames of {SIZE} x {SIZE}; chance is {chance:.1f} %")
    for column in ("encoder", "sees", "accuracy, %", "parameters", "processor seconds a fit"):
        table.add_column(column)
    for name, row in found.items():
        mean, spread = np.mean(row["accuracy"]), np.std(row["accuracy"])
        numbers = f"{mean:.1f} ± {spread:.1f}", f"{row['parameters']:,}", f"{row['seconds']:.0f}"
        table.add_row(name, WHAT[name], *numbers)
    Console().print(table)
    goals = [("two_stream", ">=", 95.0), ("i3d", ">=", 95.0), ("cnn", "<=", chance + 5)]
    finish(
        [
            target(f"{name}: accuracy, %", float(np.mean(found[name]["accuracy"])), op, goal)
            for name, op, goal in goals
            if name in found
        ],
        motion={name: {**row, "accuracy": [round(s, 2) for s in row["accuracy"]]} for name, row in found.items()},
    )


if __name__ == "__main__":
    main()
