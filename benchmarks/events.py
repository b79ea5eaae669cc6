"""Events over time, against cheap models: PLAIT_DATA=... python benchmarks/events.py

Needs: at least one of utd_mhad, esc10, stress_predict in PLAIT_DATA; scikit-learn.
Takes: some two hours of one core.

- ``actions``: which action, when? Clips of UTD-MHAD (skeleton, inertial) joined to sequences of six, with one to two
  seconds of rest before, between and after; subjects 1, 3, 5, 7 train, 2, 4, 6, 8 test. In rests the last pose moves to
  the next one, and both sensors have the noise of a still person.
- ``scenes``: which sound, when? Clips of seven classes of ESC-10 in scenes of twenty seconds, over a background of the
  other three (rain, sea waves, fire) at 0 dB; clips and backgrounds of folds 1 to 3 in training scenes, of fold 4 in
  test scenes. A camera shows a shape for four of the classes while they sound.
- ``stress``: under stress, every second? Stress-Predict, folds by person, nothing that was recorded later.

Beside each, a logistic regression on means and deviations of the same features around each instant, with the median
filter of the recipe's model.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import needs
import numpy as np
import soxr
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from targets import finish, target

from plait import evaluate, fit, load_recipe
from plait.corpus.corpus import CorpusWriter
from plait.evaluation.schema import Evaluation
from plait.examples.items import Fold, Item
from plait.readers import open_streams
from plait.recipe import Recipe, parse_recipe
from plait.store.store import Store
from plait.streams.recording import Annotation
from plait.streams.stream import Stream
from plait.tasks.postprocessing import PostProcessing
from plait.tasks.tag import Tag
from plait.tasks.timed import padded
from plait.training.experiment import Experiment, Features, open_corpus

RECIPES = Path(__file__).parents[1] / "recipes"
DATA = {"actions": "utd_mhad", "scenes": "esc10", "stress": "stress_predict"}
RATE, SECONDS = 16_000, 20
Floats = NDArray[np.float64]

PAST = [(seconds, 1e-3) for seconds in (15.0, 45.0, 135.0, 405.0)]
"""Windows of the cheap model of stress."""

AROUND = [(0.15, 0.15), (0.5, 0.5), (1.5, 1.5)]
"""Windows of the cheap model of actions and sounds."""

SHAPES = {"Dog bark": 3, "Baby cry": 4, "Helicopter": 6, "Rooster": 40}
"""Corners of the shape that the camera shows."""

BACKGROUNDS = ("Rain", "Sea waves", "Fire crackling")


def make_actions(folder: Path, data: Path, *, again: int = 4) -> None:
    """A corpus of sequences; each training clip is in ``again`` of them, each test clip in one."""
    if (folder / "manifest.jsonl").exists():
        return
    recipe = load_recipe(RECIPES / "utd_mhad.yaml")
    clips: dict[str, list[Clip]] = {}
    for one in open_corpus(recipe, folder.parent / "clips"):
        pose, sensor = (np.asarray(one.streams[name].read(), np.float64) for name in ("skeleton", "inertial"))
        clips.setdefault(one.group, []).append((f"action {one.labels['action']}", pose, sensor))
    rng = np.random.default_rng(0)
    with CorpusWriter(folder) as out:
        for person, own in sorted(clips.items()):
            train = int(person) % 2 == 1
            for turn in range(again if train else 1):
                order = rng.permutation(len(own))
                for n, start in enumerate(range(0, len(own), 6)):
                    streams, notes = joined(rng, [own[i] for i in order[start : start + 6]])
                    name = f"s{person}-{turn}-{n:02}"
                    out.add(name, streams, annotations=notes, group=person, split="train" if train else "test")


Clip = tuple[str, Floats, Floats]
"""Class, skeleton [frames, joints, 3] at 30 Hz, and inertial sensor over the same time."""


def joined(rng: np.random.Generator, clips: Sequence[Clip]) -> tuple[dict[str, Stream], list[Annotation]]:
    """Clips one after another with rests between, their streams on their own clocks."""
    poses, sensors, times, notes = [], [], [], []
    now = 0.0
    for i in range(len(clips) + 1):
        before, after = clips[max(i - 1, 0)], clips[min(i, len(clips) - 1)]
        rest = int(rng.integers(30, 60))
        share = np.linspace(0, 1, rest)[:, None, None]
        low, high = before[1][-1 if i else 0], after[1][0 if i < len(clips) else -1]
        poses.append((1 - share) * low + share * high + rng.normal(0, 0.003, (rest, *low.shape)))
        # The sensor's gravity turns from one clip's to the next; the gyroscope [deg/s] is still.
        turn = np.linspace(0, 1, 2 * rest)[:, None]
        still = (1 - turn) * before[2][-1 if i else 0] + turn * after[2][0 if i < len(clips) else -1]
        still[:, 3:] = 0
        sensors.append(still + rng.normal(0, 1, still.shape) * np.array([0.02] * 3 + [2.0] * 3))
        times.append(now + np.arange(2 * rest) / 60)
        now += rest / 30
        if i < len(clips):
            kind, pose, sensor = clips[i]
            long = len(pose) / 30
            poses.append(pose)
            sensors.append(sensor)
            times.append(now + np.arange(len(sensor)) / len(sensor) * long)
            notes.append(Annotation(now, now + long, kind, "action"))
            now += long
    skeleton = Stream.of(np.concatenate(poses).astype(np.float32), rate=30, kind="pose")
    inertial = Stream.of(np.concatenate(sensors).astype(np.float32), times=np.concatenate(times))
    return {"skeleton": skeleton, "inertial": inertial}, notes


ACTIONS = """
corpus: {manifest}
task: {{name: tag, target: action, rate: 10, background: rest, metric: mean_average_precision}}
split: {{by: manifest}}
streams:
  skeleton: {{feature: {{name: pose, velocities: true}}}}
  inertial: {{feature: {{name: series, differences: true}}, normalization_groups: 3}}
augment:
  random_gain: {{skeleton: 0.2, inertial: 0.2}}
  rotate: {{skeleton: {{axis: y, degrees: 30}}, inertial: {{axis: any, degrees: 20}}}}
train: {{epochs: 40}}
"""


def loud_part(sound: Floats) -> Floats:
    """A clip without what is 20 dB below its loudest tenth of a second at both ends; at most four seconds."""
    step = RATE // 10
    power = np.array([np.square(sound[i : i + step]).mean() for i in range(0, len(sound) - step, step)])
    loud = np.flatnonzero(power > power.max() * 1e-2)
    return sound[loud[0] * step : min((loud[-1] + 1) * step, loud[0] * step + 4 * RATE)]


def scene(
    rng: np.random.Generator, clips: Sequence[tuple[str, Floats]], behind: Sequence[Floats]
) -> tuple[Floats, list[Annotation]]:
    """Three to five clips, one after another, over a background as loud as they are; and when each is heard."""
    noise = behind[int(rng.integers(len(behind)))]
    sound = np.tile(noise, -(-SECONDS * RATE // len(noise)))[: SECONDS * RATE]
    sound = 0.1 * sound / sound.std()
    chosen = [clips[int(i)] for i in rng.choice(len(clips), int(rng.integers(3, 6)), replace=False)]
    free = len(sound) - sum(len(clip) for _, clip in chosen)
    gaps = (rng.dirichlet(np.ones(len(chosen) + 1)) * free).astype(int)
    notes, at = [], 0
    for (kind, clip), gap in zip(chosen, gaps):
        at += int(gap)
        sound[at : at + len(clip)] += 0.1 * clip / clip.std()
        notes.append(Annotation(at / RATE, (at + len(clip)) / RATE, kind, "sound"))
        at += len(clip)
    return sound, notes


def camera(rng: np.random.Generator, notes: Sequence[Annotation]) -> NDArray[np.uint8]:
    """Ten noisy pictures per second; a coloured shape while a class sounds that has one, [n, 48, 48, 3]."""
    pictures = rng.normal(110, 25, (SECONDS * 10, 48, 48, 3)).clip(0, 255).astype(np.uint8)
    for note in notes:
        if note.label in SHAPES:
            corners, colour = SHAPES[str(note.label)], [int(c) for c in rng.integers(0, 256, 3)]
            angle = rng.uniform(0, 2 * np.pi) + np.arange(corners) * 2 * np.pi / corners
            place = rng.uniform(16, 32, 2) + 12 * np.stack([np.cos(angle), np.sin(angle)], 1)
            for i in range(round(note.start * 10), round(note.stop * 10)):
                pictures[i] = cv2.fillPoly(np.ascontiguousarray(pictures[i]), [place.astype(np.int32)], colour)
    return pictures


def make_scenes(folder: Path, data: Path, *, train: int = 240, test: int = 80) -> None:
    """A corpus of scenes; no recording of ESC-10 is in both parts."""
    if (folder / "manifest.jsonl").exists():
        return
    clips: dict[bool, list[tuple[str, Floats]]] = {True: [], False: []}
    behind: dict[bool, list[Floats]] = {True: [], False: []}
    for path in sorted(data.glob("*/*.ogg")):
        (stream,) = open_streams(path).values()
        heard = np.asarray(stream.read(), np.float64).reshape(len(stream), -1).mean(1)
        sound = soxr.resample(heard, float(stream.clock.rate), RATE)
        held_out, kind = path.name[0] == "4", path.parent.name[6:]
        if kind in BACKGROUNDS:
            behind[held_out].append(sound)
        else:
            clips[held_out].append((kind, loud_part(sound)))
    rng = np.random.default_rng(0)
    with CorpusWriter(folder) as out:
        for i in range(train + test):
            sound, notes = scene(rng, clips[i >= train], behind[i >= train])
            streams = {
                "sound": Stream.of(sound[:, None].astype(np.float32), rate=RATE, kind="waveform"),
                "camera": Stream.of(camera(rng, notes), rate=10),
            }
            out.add(f"scene{i:03}", streams, annotations=notes, split="test" if i >= train else "train")


SCENES = """
corpus: {manifest}
task: {{name: tag, target: sound, rate: 10, background: none, metric: event_f1}}
split: {{by: manifest}}
"""


def around(features: Features, item: Item, modality: str, at: Floats, reach: float, back: float) -> Floats:
    """Mean and deviation of rows from ``reach`` before to ``back`` after each instant, [steps, 2 * dim]; 0 of none."""
    values, clock = features.get(item.recording, modality)
    part = clock.window(item.start + at[0] - reach, item.start + at[-1] + back)
    rows, times = values[part].astype(np.float64), clock[part].times
    known = np.isfinite(rows)
    rows = np.where(known, rows, 0.0)
    sums = np.stack([known, rows, rows**2]).cumsum(1)
    sums = np.concatenate([np.zeros((3, 1, values.shape[1])), sums], 1)
    low, high = (np.searchsorted(times, item.start + at + shift) for shift in (-reach, back))
    count, total, squares = sums[:, high] - sums[:, low]
    mean = total / np.maximum(count, 1)
    return np.concatenate([mean, np.sqrt(np.maximum(squares / np.maximum(count, 1) - mean**2, 0))], 1)


def described(
    task: Tag,
    items: Sequence[Item],
    features: Features,
    modalities: Sequence[str],
    reaches: Sequence[tuple[float, float]],
) -> tuple[Floats, NDArray[np.int64], NDArray[np.bool_]]:
    """Rows of all instants of items, their targets, and which are asked, [items, steps, ...]."""
    asked = task.asked(items)
    assert asked.at is not None
    times, mask = asked.at.times.numpy().astype(np.float64), asked.at.mask.numpy()
    rows = [
        np.concatenate([around(features, i, m, at[on], *reach) for m in modalities for reach in reaches], 1)
        for i, at, on in zip(items, times, mask)
    ]
    return padded(rows, 0.0, np.float64), asked.targets.numpy(), mask


def regression(
    fold: Fold,
    recipe: Recipe,
    features: Features,
    modalities: Sequence[str],
    reaches: Sequence[tuple[float, float]],
    c: float = 1.0,
    width: int = 1,
) -> dict[str, float]:
    """Metrics of a logistic regression, an instant at a time; ``c`` as in scikit-learn, ``width`` of the filter."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    options = {k: v for k, v in recipe.task.items() if k in ("target", "rate", "background", "causal", "metric")}
    task = Tag([i.target for i in fold.train], **options)
    rows, target, mask = described(task, fold.train, features, modalities, reaches)
    test, truth, _ = described(task, fold.test, features, modalities, reaches)
    known = mask & (target >= 0)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=200))
    model.fit(rows[known], target[known])
    logits = np.log(model.predict_proba(test.reshape(-1, test.shape[-1])) + 1e-9).reshape(*test.shape[:2], -1)
    at = task.asked_at(fold.test)
    assert at is not None
    return task.metrics(task.scores(PostProcessing((), width, task.causal)(torch.from_numpy(logits), at)), truth)


def of_actions(args: argparse.Namespace, console: Console) -> list[dict[str, Any]]:
    make_actions(args.out / "actions", args.data / "utd_mhad")
    found = of_events(args, console, "actions", ACTIONS)
    subsets = {" + ".join(s["modalities"]): s["metrics"]["mean_average_precision"]["mean"] for s in found["subsets"]}
    for name, value in subsets.items():
        console.print(f"actions, {name}: mean average precision {value:.3f}")
    best = found["subsets"][-1]["metrics"]["mean_average_precision"]["mean"]
    return [target("actions: mean average precision at overlap .5, both streams", best, ">=", 0.85)]


def of_scenes(args: argparse.Namespace, console: Console) -> list[dict[str, Any]]:
    make_scenes(args.out / "scenes", args.data / "esc10")
    found = of_events(args, console, "scenes", SCENES)
    alone = {s["modalities"][0]: s for s in found["subsets"] if len(s["modalities"]) == 1}
    gain = next(c for c in found["contributions"] if c["modality"] == "camera")
    console.print(f"scenes, what the camera adds: {gain}")
    heard = alone["sound"]["metrics"]["event_f1"]["mean"]
    low = gain["interval"]["low"]
    return [
        target("scenes: event F1, sound alone", heard, ">=", 0.8),
        target("scenes: event F1 that the camera adds, lower end of 95 %", low, ">=", 0.0),
    ]


def of_events(args: argparse.Namespace, console: Console, name: str, text: str) -> Evaluation:
    """The evaluation of a recipe, after a table of it beside the cheap model."""
    recipe = parse_recipe(text.format(manifest=args.out / name / "manifest.jsonl"))
    recipe.train.seeds = args.seeds
    found = evaluate(fit(recipe, args.out / f"{name}-run", cache=args.cache, quiet=True), cache=args.cache)
    experiment = Experiment.of(recipe, open_corpus(recipe, args.out))
    features = experiment.prepare(Store(args.cache))
    cheap = regression(experiment.folds[0], recipe, features, experiment.modalities, AROUND, 0.01, 5)
    table(console, name, means(found), cheap)
    return found


def of_stress(args: argparse.Namespace, console: Console) -> list[dict[str, Any]]:
    recipe = load_recipe(RECIPES / "stress_seconds.yaml")
    recipe.train.seeds = args.seeds
    found = means(evaluate(fit(recipe, args.out / "stress-run", cache=args.cache, quiet=True), cache=args.cache))
    experiment = Experiment.of(recipe, open_corpus(recipe, args.out))
    features = experiment.prepare(Store(args.cache))
    cheap = [regression(fold, recipe, features, experiment.modalities, PAST, 1e-3) for fold in experiment.folds]
    table(
        console,
        "Stress-Predict, every second, nothing later",
        found,
        {k: float(np.mean([c[k] for c in cheap])) for k in cheap[0]},
    )
    return [target("stress: area under ROC, a second at a time, causal", found["roc_auc"], ">=", 0.88)]


def means(found: Evaluation) -> dict[str, float]:
    """Metrics of all modalities together, mean over seeds."""
    return {metric: own["mean"] for metric, own in found["subsets"][-1]["metrics"].items()}


def table(console: Console, title: str, ours: dict[str, float], cheap: dict[str, float]) -> None:
    shown = Table("metric", "plait", "logistic regression", title=title)
    for name in ours:
        shown.add_row(name, f"{ours[name]:.3f}", f"{cheap.get(name, np.nan):.3f}")
    console.print(shown)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", default=list(DATA), help=f"of {', '.join(DATA)}")
    parser.add_argument("--out", type=Path, default=Path("runs/events"))
    parser.add_argument("--cache", default=".plait-cache")
    parser.add_argument("--seeds", nargs="*", type=int, default=[0])
    args = parser.parse_args()
    args.data = needs.check([DATA[name] for name in args.parts], ["sklearn"], fewest=1)
    console, found = Console(), []
    for name, work in (("actions", of_actions), ("scenes", of_scenes), ("stress", of_stress)):
        if name in args.parts:
            found += work(args, console)
    finish(found)


if __name__ == "__main__":
    main()
