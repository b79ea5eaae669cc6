"""Speech to words: PLAIT_DATA=... python benchmarks/speech.py [words|digits|causal ...]

Needs: at least one of grid_s1, fsdd in PLAIT_DATA.
Takes: some ninety minutes of one core; a model that is trained already is not trained again.

- ``words``: GRID, one speaker, 745 sentences split by a hash (recipes/grid_transcribe.yaml), one checkpoint for every
  subset of lips and sound, no grammar given. Word error rate of each subset, clean and in babble; the same with a
  bigram learnt from the training sentences (on GRID nearly the grammar itself); how well the trust in each stream is
  calibrated; what a word loses where its time is hidden, and where as much elsewhere is; the price of chunks; speed.
- ``digits``: strings of three to seven digits, made of clips of one speaker of FSDD; the official split.
- ``causal``: GRID again, each word from what was recorded until half a second after it.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import needs
import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from targets import finish, target

from plait import evaluate, fit, load_recipe
from plait.corpus.corpus import CorpusWriter
from plait.decoders.ngram import NGram
from plait.evaluation.deletion import deletion_of, effects_of
from plait.evaluation.schema import Evaluation
from plait.examples.data import ItemData, Swapped
from plait.metrics.edits import word_edits
from plait.models.model import Model
from plait.readers import open_streams
from plait.recipe import Recipe, StreamPlan, parse_recipe
from plait.store.store import Store
from plait.streams.recording import Annotation
from plait.streams.stream import Stream
from plait.tasks.answers import Text
from plait.tasks.transcribe import Transcribe
from plait.tokens import Instants, Tokens
from plait.training.experiment import Experiment, Features, open_corpus
from plait.training.noisy import NoisyFeatures
from plait.training.run import Run
from plait.training.temperatures import fit_postprocessing

RECIPES = Path(__file__).parents[1] / "recipes"
LOOK_AHEAD, CHUNK, WINDOW = 0.58, 0.2, 0.0125
"""Seconds; half of the window of the sound's features reaches beyond their times."""

LEVELS = (20, 10, 5, 0, -5, -10)
Floats = NDArray[np.float64]
Rows = list[dict[str, Any]]


class Tested:
    """A trained model, and the held-out and test items of its fold."""

    def __init__(self, run: Run, args: argparse.Namespace, seed: int = 0) -> None:
        """``seed``: its number among the run's seeds."""
        recipe, self.store = run.recipe, Store(args.cache)
        self.experiment = Experiment.of(recipe, open_corpus(recipe, run.folder))
        (self.fold,) = self.experiment.folds
        self.features: Features = self.experiment.prepare(self.store)
        self.model: Model = run.model(run.finished[seed])
        self.names = self.experiment.modalities
        self.targets = self.task.asked(self.fold.test).targets.numpy()
        self._kept: dict[tuple[float | None, tuple[str, ...]], tuple[torch.Tensor, Instants]] = {}

    @property
    def task(self) -> Transcribe:
        assert isinstance(self.model.task, Transcribe)
        return self.model.task

    def data(self, side: str = "test", level: float | None = None, modality: str = "audio") -> ItemData:
        """Items of a side; ``level``: dB of babble on the sound."""
        items, source = getattr(self.fold, side), self.features
        if level is None:
            return ItemData(items, source, self.task.asked(items), self.names)
        pool = tuple(dict.fromkeys(i.recording for i in items))
        noisy = NoisyFeatures(self.experiment, self.store, modality, "babble", (level, level), pool, seed=0)
        return ItemData(items, Swapped(source, modality, noisy), self.task.asked(items), self.names)

    @torch.inference_mode()
    def outputs(self, level: float | None, subset: Sequence[str]) -> tuple[torch.Tensor, Instants]:
        """The outputs for the test items from a subset, and their instants; computed once."""
        key = level, tuple(subset)
        if key not in self._kept:
            data = self.data(level=level)
            batch = data.batch(range(len(data)), self.model.dims)
            assert batch.at is not None
            encoded = self.model.encode(batch.inputs)
            for one in subsets(self.names):
                self._kept[level, tuple(one)] = self.model.forward_subset(encoded, one, batch.at)[""], batch.at
        return self._kept[key]

    def wer(self, level: float | None, subset: Sequence[str]) -> float:
        output, _ = self.outputs(level, subset)
        return self.task.main(self.task.scores(output), self.targets)


def subsets(names: Sequence[str]) -> list[list[str]]:
    return [*([name] for name in names), list(names)]


def with_bigram(tested: Tested) -> None:
    """Give the model a language model of the training sentences; its weight is chosen on the held-out ones."""
    task = tested.task
    rows = task.encode([i.target for i in tested.fold.train])[..., 0].tolist()
    task.decoder.language = NGram.of([[t - 1 for t in row if t > 0] for row in rows], len(task.tokens), 2)
    fit_postprocessing(tested.model, tested.data("valid"))


@contextmanager
def by_ctc_alone(*seeds: Tested) -> Iterator[None]:
    """Without the decoder by attention, which needs the whole sentence, and knows which words follow which."""
    chosen = [one.task.postprocessing["weights"] for one in seeds]
    for one, (weight, bonus, _) in zip(seeds, chosen):
        one.task.postprocessing = {"weights": [weight, bonus, 0.0]}
    yield
    for one, weights in zip(seeds, chosen):
        one.task.postprocessing = {"weights": weights}


Wers = dict[tuple[str, float | None], float]


def wers(seeds: Sequence[Tested], console: Console, title: str) -> Wers:
    """Word error rates by subset and level of babble (None: clean), in percent; means over the seeds."""
    names = seeds[0].names
    keys = [(" + ".join(s), level, s) for level in (None, *LEVELS) for s in subsets(names)]
    every = {(name, level): [100 * one.wer(level, s) for one in seeds] for name, level, s in keys}
    shown = Table("modalities", "clean", *(f"{level} dB" for level in LEVELS), title=f"{title}: word error rate, %")
    for subset in map(" + ".join, subsets(names)):
        rows = [every[subset, level] for level in (None, *LEVELS)]
        shown.add_row(subset, *(f"{np.mean(row):.1f} ± {np.std(row):.1f}" for row in rows))
    console.print(shown)
    both = interval(seeds)
    console.print(f"both, clean: {both[0]:.2f} to {both[1]:.2f} % (95 %, bootstrap over sentences, mean of the seeds)")
    return {key: float(np.mean(row)) for key, row in every.items()}


def interval(seeds: Sequence[Tested]) -> tuple[float, float]:
    """Of the word error rate from all streams, clean, in percent."""
    wrong, words = [], []
    for one in seeds:
        pairs = one.task.texts(one.task.scores(one.outputs(None, one.names)[0]), one.targets)
        wrong.append([sum(a != b for a, b in word_edits(true, said)) for true, said in pairs])
        words = [len(true.split()) for true, _ in pairs]
    errors, length, rng = np.mean(wrong, 0), np.array(words), np.random.default_rng(0)
    drawn = rng.integers(0, len(length), (2000, len(length)))
    low, high = np.quantile(100 * errors[drawn].sum(1) / length[drawn].sum(1), [0.025, 0.975])
    return float(low), float(high)


def harm(found: Wers, names: Sequence[str]) -> float:
    """How much worse both are than the better one alone, at the worst level."""
    both = " + ".join(names)
    return max(found[both, level] - min(found[n, level] for n in names) for level in (None, *LEVELS))


def trust(tested: Tested, console: Console) -> Rows:
    """The trust in a stream is the mean probability of the words that it alone would answer."""
    sure, right = [], []
    texts = [true for true, _ in tested.task.texts(np.full((len(tested.targets), 1), -1.0), tested.targets)]
    for level in (None, *LEVELS):
        for name in tested.names:
            said = [a for a in tested.task.decode(*tested.outputs(level, [name])) if isinstance(a, Text)]
            sure.append([a.confidence for a in said])
            pairs = [word_edits(true, a.text) for true, a in zip(texts, said)]
            wrong = [sum(a != b for a, b in pair) / len(true.split()) for true, pair in zip(texts, pairs)]
            right.append([max(1 - w, 0.0) for w in wrong])
    told, true = np.array(sure), np.array(right)
    bins = np.clip((10 * told).astype(int), 0, 9)
    inside = [bins == b for b in range(10)]
    error = sum(abs(told[i].mean() - true[i].mean()) * i.mean() for i in inside if i.any())
    first, second = (x.reshape(-1, len(tested.names), x.shape[1]).argmax(1) for x in (told, true))
    differ = np.ptp(true.reshape(-1, len(tested.names), true.shape[1]), axis=1) > 0
    console.print(
        f"trust: {len(told.ravel())} answers of one stream; expected calibration error {100 * error:.1f} points; the "
        f"more trusted stream is the better one in {100 * (first == second)[differ].mean():.1f} % where they differ"
    )
    return [
        target("trust in a stream against its share of right words: calibration error, points", 100 * error, "<=", 10)
    ]


def deletion(tested: Tested, console: Console) -> Rows:
    """The deletion test of the report: a word without its own time in both streams, and without as much elsewhere."""
    found = deletion_of(effects_of(tested.model, tested.data()))
    low = None if found is None else found["interval"]["low"]
    console.print(f"deletion: {found}")
    return [target("deletion ratio of the evidence of a word, lower end of the interval", low or 0.0, ">", 1.0)]


@torch.inference_mode()
def speed(tested: Tested, console: Console) -> Rows:
    """Seconds of speech per second of one core: encoding both streams, and the beam search."""
    data = tested.data()
    batch = data.batch(range(len(data)), tested.model.dims)
    assert batch.at is not None
    started = time.process_time()
    output = tested.model(batch.inputs, batch.at)[""]
    encoded = time.process_time()
    tested.task.decode(output, batch.at)
    done = time.process_time()
    seconds = sum(i.stop - i.start for i in tested.fold.test)
    console.print(
        f"speed: {seconds / (done - started):.0f} times real time (network {seconds / (encoded - started):.0f}, search "
        f"with beam {tested.task.beam} {seconds / (done - encoded):.0f})"
    )
    return [
        target("speech seconds per second of one core, both streams, beam 10", seconds / (done - started), ">=", 20)
    ]


@torch.inference_mode()
def chunked(tested: Tested, console: Console) -> Rows:
    """The same checkpoint, fed chunk by chunk: each instant is answered once, from what was recorded until `LOOK_AHEAD`
    after it at most. What comes later is neither seen nor in the means that normalise a recording."""
    data = tested.data()
    batch = data.batch(range(len(data)), tested.model.dims)
    assert batch.at is not None
    plans, found, clean = tested.experiment.recipe.streams, {}, {}
    for subset in subsets(tested.names):
        clean[" + ".join(subset)] = 100 * tested.wer(None, subset)
        output = torch.zeros_like(tested.outputs(None, subset)[0])
        for end in np.arange(LOOK_AHEAD, float(batch.at.times.max()) + LOOK_AHEAD + CHUNK, CHUNK):
            known = {m: _until(t, float(end), centred=_centred(plans.get(m))) for m, t in batch.inputs.items()}
            now = tested.model.forward_subset(tested.model.encode(known), subset, batch.at)[""]
            since = batch.at.times - (end - LOOK_AHEAD)
            output = torch.where(((since >= 0) & (since < CHUNK))[..., None], now, output)
        output = tested.model.ensemble.silenced(output, batch.at)
        found[" + ".join(subset)] = 100 * tested.task.main(tested.task.scores(output), tested.targets)
    console.print(
        f"in chunks of {CHUNK:g} s, words known {LOOK_AHEAD - CHUNK:g} to {LOOK_AHEAD:g} s after they are said, word "
        "error rate, %: "
        + ", ".join(f"{name} {value:.1f} (+ {value - clean[name]:.1f})" for name, value in found.items())
    )
    both = " + ".join(tested.names)
    return [
        target("in chunks, look-ahead in seconds, with the window of the features", LOOK_AHEAD + WINDOW, "<=", 0.6),
        target("in chunks, both, clean: points above the whole recording", found[both] - clean[both], "<=", 3.0),
    ]


def _centred(plan: StreamPlan | None) -> bool:
    return plan is not None and plan.normalization == "centre"


def _until(tokens: Tokens, end: float, *, centred: bool) -> Tokens:
    """What was recorded until ``end``; a mean over the whole recording becomes one over this part."""
    seen = tokens._replace(mask=tokens.mask & (tokens.times <= end))
    if not centred:
        return seen
    part = seen.clean()
    mean = part.values.sum(1, keepdim=True) / part.mask.sum(1).clamp(min=1)[:, None, None]
    return seen.with_values(tokens.values - mean)


def minutes(run: Run) -> float:
    return float(np.mean([run.done(r).seconds for r in run.finished])) / 60


def of_words(args: argparse.Namespace, console: Console) -> Rows:
    recipe = load_recipe(RECIPES / "grid_transcribe.yaml")
    recipe.train.seeds = args.seeds
    run = fit(recipe, args.out / "words", cache=args.cache, quiet=True)
    seeds = [Tested(run, args, i) for i in range(len(run.finished))]
    tested = seeds[0]
    lips, sound = tested.names
    both = " + ".join(tested.names)
    for one in seeds:
        console.print(f"weights of language model, bonus, attention: {one.task.postprocessing['weights']}")
    plain = wers(seeds, console, f"GRID s1, {len(seeds)} seeds, no language model")
    with by_ctc_alone(*seeds):
        wers(seeds, console, "the same, CTC alone")
        causal = chunked(tested, console)
    found = [
        target("GRID, both, clean: word error rate, %", plain[both, None], "<=", 1.5),
        target("GRID, lips alone: word error rate, %", plain[lips, None], "<=", 10.0),
        target("GRID, both over sound alone, -5 dB babble", plain[both, -5] / plain[sound, -5], "<=", 0.5),
        target(
            "GRID, both less the better one alone, worst of clean to -10 dB, points",
            harm(plain, tested.names),
            "<=",
            0.5,
        ),
        target("minutes of training (one core)", minutes(run), "<=", 120.0),
        *trust(tested, console),
        *deletion(tested, console),
        *causal,
        *speed(tested, console),
    ]
    for one in seeds:
        with_bigram(one)
    more = wers(seeds, console, "the same with a bigram of the training sentences")
    found.append(target("GRID, lips alone with a bigram of the training sentences, %", more[lips, None], "<=", 8.0))
    found.append(target("GRID, both with a bigram, clean, %", more[both, None], "<=", 1.5))
    worst = harm(more, tested.names)
    found.append(target("GRID with a bigram, both less the better one alone, worst level, points", worst, "<=", 0.5))
    return found


def causal_recipe(seeds: list[int]) -> Recipe:
    """The recipe of `words` with causal parts, and half a second of delay."""
    recipe = load_recipe(RECIPES / "grid_transcribe.yaml")
    assert isinstance(recipe.task, dict)
    recipe.task |= {"causal": True, "delay": 0.5, "attention": 0.0}
    for plan in recipe.streams.values():
        assert plan is not None
        assert isinstance(plan.encoder, list)
        conv, gru = (dict(part) for part in plan.encoder if isinstance(part, dict))
        plan.encoder = [{**conv, "causal": True}, {**gru, "bidirectional": False}]
        plan.normalization = "running" if plan.normalization != "none" else "none"
    recipe.fusion, recipe.train.seeds = "locf", seeds
    return recipe


def of_causal(args: argparse.Namespace, console: Console) -> Rows:
    run = fit(causal_recipe(args.seeds), args.out / "causal", cache=args.cache, quiet=True)
    tested = Tested(run, args)
    found = wers([tested], console, f"GRID s1, each word {tested.task.delay:g} s after it")
    both = found[" + ".join(tested.names), None]
    return [
        target("causal: seconds of look-ahead", tested.task.delay, "<=", 0.6),
        target("causal: both, clean, word error rate, %", both, "<=", 10.0),
    ]


DIGITS = """
corpus: {manifest}
task: {{name: transcribe, target: digits}}
split: {{by: manifest}}
streams:
  sound: {{feature: log_mel, encoder: [{{name: conv, strides: [2, 2]}}, {{name: gru, layers: 2, dropout: 0.3}}]}}
augment: {{crop_resize: 0, time_mask: {{sound: 0.1}}}}
train: {{epochs: 16}}
"""


def make_digits(folder: Path, data: Path, *, train: int = 800, valid: int = 80, test: int = 200) -> None:
    """Strings of three to seven digits of one speaker; no clip is in two parts. Official split: clips 0 to 4 test."""
    if (folder / "manifest.jsonl").exists():
        return
    clips: dict[tuple[str, str, str], list[Floats]] = {}
    for path in sorted(data.glob("recordings/*.wav")):
        digit, speaker, number = path.stem.split("_")
        side = "test" if int(number) < 5 else "valid" if int(number) < 10 else "train"
        (stream,) = open_streams(path).values()
        clips.setdefault((side, speaker, digit), []).append(np.asarray(stream.read(), np.float64).reshape(-1))
    rng, speakers = np.random.default_rng(0), sorted({speaker for _, speaker, _ in clips})
    with CorpusWriter(folder) as out:
        for side, count in (("train", train), ("valid", valid), ("test", test)):
            for i in range(count):
                speaker, at, parts, notes = str(rng.choice(speakers)), 0, [], []
                for digit in rng.integers(0, 10, int(rng.integers(3, 8))):
                    own = clips[side, speaker, str(digit)]
                    clip = own[int(rng.integers(len(own)))]
                    notes.append(Annotation(at / 8000, (at + len(clip)) / 8000, str(digit), "digits"))
                    parts.append(clip)
                    at += len(clip)
                sound = np.concatenate(parts)[:, None].astype(np.float32)
                stream = Stream.of(sound, rate=8000, kind="waveform")
                out.add(f"{side}{i:03}", {"sound": stream}, annotations=notes, split=side)


def of_digits(args: argparse.Namespace, console: Console) -> Rows:
    make_digits(args.out / "digits", args.data / "fsdd")
    recipe = parse_recipe(DIGITS.format(manifest=args.out / "digits" / "manifest.jsonl"))
    recipe.train.seeds = args.seeds
    result: Evaluation = evaluate(fit(recipe, args.out / "digits-run", cache=args.cache, quiet=True), cache=args.cache)
    metrics = result["subsets"][-1]["metrics"]
    shown = Table("metric", "%", title="FSDD, strings of three to seven digits")
    for name, row in metrics.items():
        shown.add_row(name, f"{100 * (row['mean'] or 0):.2f}")
    console.print(shown)
    return [target("FSDD, strings of digits: word error rate, %", 100 * (metrics["wer"]["mean"] or 0), "<=", 2.0)]


PARTS = {"words": (of_words, "grid_s1"), "digits": (of_digits, "fsdd"), "causal": (of_causal, "grid_s1")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", default=list(PARTS), help=f"of {', '.join(PARTS)}")
    parser.add_argument("--out", type=Path, default=Path("runs/speech"))
    parser.add_argument("--cache", default=".plait-cache")
    parser.add_argument("--seeds", nargs="*", type=int, default=[0])
    args = parser.parse_args()
    args.data = needs.check(sorted({PARTS[name][1] for name in args.parts}), fewest=1)
    console = Console()
    found: Rows = []
    for name in args.parts:
        if (args.data / PARTS[name][1]).exists():
            found += PARTS[name][0](args, console)
    finish(found)


if __name__ == "__main__":
    main()
