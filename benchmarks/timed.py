"""Answers over time, against cheap ones: PLAIT_DATA=... python benchmarks/timed.py

Needs: at least one of esc10, stress_predict, grid_s1 in PLAIT_DATA; scikit-learn.
Takes: some forty minutes of one core.

- ``scenes``: which sounds when? Clips of ESC-10 put at known times into scenes of twenty seconds, several at once, over
  noise; those of folds 1 to 3 in the training scenes, of fold 4 in the test scenes. Beside `tag`, a logistic regression
  of each class on the mean and deviation of the same features within each answer's time and its neighbours'.
- ``stress``: under stress, every second? Stress-Predict, folds by person, nothing that was recorded later. Beside it, a
  logistic regression on means and deviations of the same features over four windows of the past.
- ``words``: GRID, one speaker: word error rate of lips, sound and both; nothing else is asked but that both together
  are no worse than the better one.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import needs
import numpy as np
import soxr
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from targets import finish, target

from plait import evaluate, fit, load_recipe
from plait.corpus.corpus import CorpusWriter
from plait.examples.items import Fold, Item
from plait.readers import open_streams
from plait.recipe import Recipe, parse_recipe
from plait.store.store import Store
from plait.streams.recording import Annotation
from plait.streams.stream import Stream
from plait.tasks.tag import Tag
from plait.training.experiment import Experiment, Features, open_corpus

RECIPES = Path(__file__).parents[1] / "recipes"
DATA = {"scenes": "esc10", "stress": "stress_predict", "words": "grid_s1"}
RATE, SECONDS = 16_000, 20
Floats = NDArray[np.float64]

PAST = [(seconds, 1e-3) for seconds in (15.0, 45.0, 135.0, 405.0)]
"""Windows of the cheap model of stress."""


def loud_part(sound: Floats) -> Floats:
    """A clip without what is 30 dB below its loudest tenth of a second at both ends; at most four seconds."""
    step = RATE // 10
    power = np.array([np.square(sound[i : i + step]).mean() for i in range(0, len(sound) - step, step)])
    loud = np.flatnonzero(power > power.max() * 1e-3)
    return sound[loud[0] * step : min((loud[-1] + 1) * step, loud[0] * step + 4 * RATE)]


def scene(rng: np.random.Generator, clips: Sequence[tuple[str, Floats]]) -> tuple[Floats, list[Annotation]]:
    """Three to five clips at random times over noise, and when each is heard."""
    sound = rng.normal(size=SECONDS * RATE).cumsum()
    sound -= np.convolve(sound, np.ones(400) / 400, "same")  # no hum below 40 Hz
    sound *= 0.01 / sound.std()
    notes = []
    for i in rng.choice(len(clips), int(rng.integers(3, 6)), replace=False):
        kind, clip = clips[int(i)]
        at = int(rng.integers(0, len(sound) - len(clip)))
        sound[at : at + len(clip)] += clip * rng.uniform(0.05, 0.15) / clip.std()
        notes.append(Annotation(at / RATE, (at + len(clip)) / RATE, kind, "sound"))
    return sound, notes


def make_scenes(folder: Path, data: Path, *, train: int = 240, test: int = 80) -> None:
    """A corpus of scenes; of no recording is anything in both parts."""
    if (folder / "manifest.jsonl").exists():
        return
    clips: dict[bool, list[tuple[str, Floats]]] = {True: [], False: []}
    for path in sorted(data.glob("*/*.ogg")):
        (stream,) = open_streams(path).values()
        heard = np.asarray(stream.read(), np.float64).reshape(len(stream), -1).mean(1)
        sound = soxr.resample(heard, float(stream.clock.rate), RATE)
        clips[path.name[0] == "4"].append((path.parent.name[6:], loud_part(sound)))
    rng = np.random.default_rng(0)
    with CorpusWriter(folder) as out:
        for i in range(train + test):
            sound, notes = scene(rng, clips[i >= train])
            stream = Stream.of(sound[:, None].astype(np.float32), rate=RATE, kind="waveform")
            out.add(f"scene{i:03}", {"sound": stream}, annotations=notes, split="test" if i >= train else "train")


SCENES = """
corpus: {manifest}
task: {{name: tag, target: sound, rate: 5, several: true, metric: segmental_f1}}
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
    rows = np.stack(
        [
            np.concatenate([around(features, i, m, at, *reach) for m in modalities for reach in reaches], 1)
            for i, at in zip(items, times)
        ]
    )
    return rows, asked.targets.numpy(), mask


def regression(
    fold: Fold,
    recipe: Recipe,
    features: Features,
    modalities: Sequence[str],
    reaches: Sequence[tuple[float, float]],
    c: float = 1.0,
) -> dict[str, float]:
    """Metrics of a logistic regression of each class, an instant at a time; ``c`` as in scikit-learn."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    options = {k: v for k, v in recipe.task.items() if k in ("target", "rate", "several", "causal", "metric")}
    task = Tag([i.target for i in fold.train], **options)
    rows, target, mask = described(task, fold.train, features, modalities, reaches)
    test, truth, _ = described(task, fold.test, features, modalities, reaches)
    scores = np.zeros((*test.shape[:2], task.n_outputs))
    for k in range(task.n_outputs if task.several else 1):
        held = target[..., k] if task.several else target
        known = mask & (held >= 0)
        model = make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=1000))
        model.fit(rows[known], held[known] > 0)
        chance = model.predict_proba(test.reshape(-1, test.shape[-1]))[:, 1].reshape(test.shape[:2])
        scores[..., k] = chance
        if not task.several:
            scores = np.stack([1 - chance, chance], -1)
    return task.metrics(scores, truth)


def of_scenes(args: argparse.Namespace, console: Console) -> list[dict[str, Any]]:
    make_scenes(args.out / "scenes", args.data / "esc10")
    recipe = parse_recipe(SCENES.format(manifest=args.out / "scenes" / "manifest.jsonl"))
    recipe.train.seeds = args.seeds
    found = evaluated(recipe, args, "scenes-run")
    experiment = Experiment.of(recipe, open_corpus(recipe, args.out))
    cheap = regression(
        experiment.folds[0], recipe, experiment.prepare(Store(args.cache)), ["sound"], [(0.1, 0.1), (0.5, 0.5)]
    )
    table(console, "scenes of ESC-10 sounds, fold 4", found, cheap)
    gap = found["segmental_f1"] - cheap["segmental_f1"]
    return [target("scenes: segment F1 less that of a logistic regression, frame by frame", gap, ">=", 0.0)]


def of_stress(args: argparse.Namespace, console: Console) -> list[dict[str, Any]]:
    recipe = load_recipe(RECIPES / "stress_seconds.yaml")
    recipe.train.seeds = args.seeds
    found = evaluated(recipe, args, "stress-run")
    experiment = Experiment.of(recipe, open_corpus(recipe, args.out))
    features = experiment.prepare(Store(args.cache))
    cheap = [regression(fold, recipe, features, experiment.modalities, PAST, 1e-3) for fold in experiment.folds]
    table(
        console,
        "Stress-Predict, every second, nothing later",
        found,
        {k: float(np.mean([c[k] for c in cheap])) for k in cheap[0]},
    )
    return [target("stress: area under ROC, a second at a time, causal", found["roc_auc"], ">=", 0.86)]


def of_words(args: argparse.Namespace, console: Console) -> list[dict[str, Any]]:
    recipe = load_recipe(RECIPES / "grid_transcribe.yaml")
    recipe.train.seeds = args.seeds
    result = evaluate(fit(recipe, args.out / "words", cache=args.cache, quiet=True), cache=args.cache)
    rows = {" + ".join(s["modalities"]): s["metrics"]["wer"]["mean"] for s in result["subsets"]}
    noisy = {(" + ".join(r["subset"]), r["level"]): r["value"] for r in result["robustness"]["noise"]}
    shown = Table("modalities", "WER", "at -5 dB", title="GRID s1, words")
    for name, value in rows.items():
        shown.add_row(name, f"{value:.3f}", f"{noisy[name, -5]:.3f}" if (name, -5) in noisy else "")
    console.print(shown)
    *single, both = rows.values()
    return [target("words: WER of both less that of the better one alone", both - min(single), "<=", 0.005)]


def evaluated(recipe: Recipe, args: argparse.Namespace, name: str) -> dict[str, float]:
    """Metrics of all modalities together, mean over seeds."""
    run = fit(recipe, args.out / name, cache=args.cache, quiet=True)
    result = evaluate(run, cache=args.cache)
    return {metric: own["mean"] for metric, own in result["subsets"][-1]["metrics"].items()}


def table(console: Console, title: str, ours: dict[str, float], cheap: dict[str, float]) -> None:
    shown = Table("metric", "plait", "logistic regression", title=title)
    for name in ours:
        shown.add_row(name, f"{ours[name]:.3f}", f"{cheap.get(name, np.nan):.3f}")
    console.print(shown)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", default=list(DATA), help=f"of {', '.join(DATA)}")
    parser.add_argument("--out", type=Path, default=Path("runs/timed"))
    parser.add_argument("--cache", default=".plait-cache")
    parser.add_argument("--seeds", nargs="*", type=int, default=[0])
    args = parser.parse_args()
    args.data = needs.check([DATA[name] for name in args.parts], ["sklearn"], fewest=1)
    console, found = Console(), []
    for name, work in (("scenes", of_scenes), ("stress", of_stress), ("words", of_words)):
        if name in args.parts:
            found += work(args, console)
    finish(found)


if __name__ == "__main__":
    main()
