"""One model for all questions: PLAIT_DATA=... python benchmarks/unified.py [world|gemma|grid|flickr ...]

Needs: at least one of grid_s1, flickr8k in PLAIT_DATA, and the extra ``language`` (but for ``world``).
Takes: ``world`` some twenty minutes of one core, the others hours; a trained model is not trained again.

- ``world``: generated clips with a question each (`benchmarks/unified_cases.py`): a film, a sound, a sensor, a text. A
  small language model is trained on written descriptions, then frozen; recipes/unified.yaml trains projectors, then
  adapters. Exact answers by kind of question, with each stream missing beside the best that is possible then; what is
  saved; the deletion test.
- ``gemma``: what the packaged language model costs here: memory, seconds of a training step and of an answer, with the
  whole word table and with the trimmed one.
- ``grid``: questions about clips of GRID (which colour, which digit), from lips and sound; the encoders are those of
  recipes/grid_transcribe.yaml, frozen.
- ``flickr``: captions of the Flickr8k part: CIDEr.
"""

from __future__ import annotations

import argparse
import csv
import os
import resource
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import needs
import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from targets import check_parts, finish, target
from unified_cases import BEST, KINDS, texts, write_world

from plait import fit, load_recipe
from plait.corpus.corpus import Corpus
from plait.corpus.manifest import AnnotationEntry, RecordingEntry, StreamEntry, write_manifest
from plait.evaluation.deletion import deletion_of, effects_of
from plait.evaluation.examined import score_subsets
from plait.examples.data import ItemData
from plait.features.pretrained import find_model
from plait.importing.folder import import_folder
from plait.metrics.bleu import bleu
from plait.metrics.cider import cider_each
from plait.recipe import Recipe, parse_recipe
from plait.store.store import Store
from plait.tasks.language import Adapters, Language, Prompt, Search, tokenizer_of
from plait.tasks.references import words_of
from plait.tasks.small_language import train_language
from plait.tasks.unify import Unify
from plait.training.experiment import Experiment, open_corpus
from plait.training.run import Run

RECIPES = Path(__file__).parents[1] / "recipes"
GOALS = {"caption": 0.95, "colour": 0.9, "order": 0.9, "count": 0.9, "sound": 0.9, "class": 0.95, "transcript": 0.9}
Rows = list[dict[str, Any]]


class Tested:
    """A trained model with the test items of its fold."""

    def __init__(self, run: Run, cache: str) -> None:
        self.run, recipe = run, run.recipe
        self.experiment = Experiment.of(recipe, open_corpus(recipe, run.folder))
        (self.fold,) = self.experiment.folds
        self.model = run.model(run.finished[0])
        assert isinstance(self.model.task, Unify)
        self.task: Unify = self.model.task
        self.names = tuple(self.experiment.modalities)
        self.features = self.experiment.prepare(Store(cache))

    def data(self, side: str = "test") -> ItemData:
        items = getattr(self.fold, side)
        return ItemData(items, self.features, self.task.asked(items), self.names)

    def answers(self, subsets: Sequence[tuple[str, ...]]) -> dict[tuple[str, ...], list[tuple[str, str]]]:
        """The true and the given answer of each test item, by subset of the modalities."""
        data = self.data()
        found = score_subsets(self.model, data, subsets)
        return {s: self.task.texts(scores, data.targets.numpy()) for s, scores in found.items()}

    def saved(self) -> float:
        """Megabytes of the model's weights as saved."""
        path = self.run.folder / self.run.finished[0].name / "model.safetensors"
        return path.stat().st_size / 1e6


def exact(pairs: Sequence[tuple[str, str]], kinds: Sequence[str]) -> dict[str, float]:
    """Share of exact answers by kind."""
    right = defaultdict(list)
    for (true, said), kind in zip(pairs, kinds, strict=True):
        right[kind].append(true.split() == said.split())
    return {kind: float(np.mean(own)) for kind, own in right.items()}


def fitted(recipe: Recipe, args: argparse.Namespace, name: str) -> Tested:
    return Tested(fit(recipe, Path(args.out) / name, cache=args.cache), args.cache)


def world(args: argparse.Namespace, console: Console) -> Rows:
    """The generated clips."""
    data = Path(os.environ["PLAIT_DATA"]).resolve() / "unified"
    if not (data / "world/manifest.jsonl").exists():
        write_world(data / "world", args.sizes)
    if not (data / "language").exists():
        # A higher rate learns all but which colour belongs to which shape.
        train_language(texts(96_000), data / "language", width=64, layers=2, heads=2, epochs=1, batch=64, lr=1e-3)
    own = str(data / "language")
    named = ["task.language", "streams.question.feature.model", "streams.question.encoder.model"]
    recipe = load_recipe(RECIPES / "unified.yaml", [*(f"{key}={own}" for key in named), *args.set])
    tested = fitted(recipe, args, "world")
    kind_of = {r.id: str(r.labels["kind"]) for r in tested.experiment.corpus}
    kinds = [kind_of[item.recording] for item in tested.fold.test]
    names = tested.names
    subsets = [names, *(tuple(m for m in names if m != gone) for gone in names)]
    found = {s: exact(pairs, kinds) for s, pairs in tested.answers(subsets).items()}
    _show(found, names, console)
    effects = effects_of(tested.model, tested.data())
    deletion = deletion_of(effects)
    console.print(f"saved: {tested.saved():.2f} MB; deletion: {deletion}")
    console.print(f"frozen weights unchanged: {tested.task.state()['sha256'] == tested.task.model.digest}")
    rows = [target(f"world: {k}, exact", found[names][k], ">=", goal) for k, goal in GOALS.items()]
    for gone, best in BEST.items():
        left = found[tuple(m for m in names if m != gone)]
        short = [best.get(k, 1.0) - left[k] for k in KINDS]
        rows.append(target(f"world: without {gone}, most below the best possible", max(short), "<=", 0.1))
    ratio = 0.0 if deletion is None or deletion["interval"]["low"] is None else deletion["interval"]["low"]
    return [*rows, target("world: deletion ratio, lower end", ratio, ">", 1.0)]


def _show(found: Mapping[tuple[str, ...], Mapping[str, float]], names: Sequence[str], console: Console) -> None:
    table = Table("streams", *KINDS, title="exact answers, test (best possible)")
    for subset, own in found.items():
        gone = [m for m in names if m not in subset]
        best = BEST.get(gone[0], {}) if gone else {}
        known = not gone or gone[0] in BEST
        cells = [f"{own[k]:.2f}" + (f" ({best.get(k, 1.0):.2f})" if known else "") for k in KINDS]
        table.add_row(f"without {gone[0]}" if gone else "all", *cells)
    console.print(table)


def gemma(args: argparse.Namespace, console: Console) -> Rows:
    """What the packaged language model costs."""
    folder = find_model("gemma3-270m", part="unify")
    tokenizer = tokenizer_of(folder, "unify")
    prompt = Prompt(torch.randn(16, 48, 640), torch.ones(16, 48) > 0)
    table = Table(
        "words", "s to load", "s a step", "s an answer of 16 tokens", "peak GB", title="gemma3-270m, batch 16"
    )
    for count in (2_000, 32_000):
        began = time.monotonic()
        words = sorted({tokenizer.eos_token_id, *range(1000, 1000 + count)})
        lm = Language("gemma3-270m", words, adapters=Adapters(8, 16.0, None))
        loaded = time.monotonic() - began
        answer = torch.randint(0, count, (16, 14))
        step, said = _seconds(lambda lm=lm, a=answer: lm.losses(prompt, a).mean().backward()), 0.0
        said = _seconds(lambda lm=lm: lm.answer(Prompt(prompt.values[:1], prompt.mask[:1]), 16, Search()))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        table.add_row(*(f"{x:.2f}" if isinstance(x, float) else f"{x:,}" for x in (count, loaded, step, said, peak)))
    console.print(table)
    return [target("gemma: peak memory, GB", peak, "<=", 6.0)]


def _seconds(act: Any) -> float:
    """Processor seconds of the second of two calls."""
    act()
    began = time.process_time()
    act()
    return time.process_time() - began


GRID_ASKED = {"which colour ?": slice(1, 2), "which digit ?": slice(4, 5), "what is said ?": slice(0, 6)}
"""Questions, and the place of the answer among the six words of a sentence."""


def grid_corpus(folder: Path) -> Path:
    """A recording per clip and question, of the clips' own files."""
    data = Path(os.environ["PLAIT_DATA"]).resolve() / "grid_s1"
    made = folder / "imported.jsonl"
    if not made.exists():
        import_folder(data, out=made)
    entries = []
    corpus = Corpus(made, allow_outside=True)
    for entry in corpus.entries:
        words = [str(w) for w in corpus[entry.id].streams["words"].read() if w not in ("sil", "sp")]
        for number, (question, place) in enumerate(GRID_ASKED.items()):
            if len(words) != 6:
                continue
            asked = StreamEntry(texts=[question], spans=[(0.0, 3.0)])
            streams = {**{m: s for m, s in entry.streams.items() if m in ("video", "audio")}, "question": asked}
            labels = {"answer": " ".join(words[place]), "kind": question, "said": " ".join(words)}
            entries.append(RecordingEntry(id=f"{entry.id}-{number}", streams=streams, labels=labels, group=entry.id))
    write_manifest(folder / "grid.jsonl", entries)
    return folder / "grid.jsonl"


GRID = """
corpus: {manifest}
task: {{name: unify, target: answer, language: {language}, context_length: 32, rank: 8, projecting: 0.34}}
streams:
  video:
    feature: {{name: dct, deltas: true}}
    normalization: centre
    encoder:
      - {{name: conv, strides: [1, 1], dim: 256}}
      - {{name: gru, layers: 2, dropout: 0.3, dim: 256}}
      - &fewer {{name: conv, strides: [2, 4], dim: 256}}
      - &seconds {{name: position, periods: [0.2, 12], dim: 256}}
      - projector
  audio:
    feature: log_mel
    encoder:
      - {{name: conv, strides: [2, 2], dim: 256}}
      - {{name: gru, layers: 2, dropout: 0.3, dim: 256}}
      - *fewer
      - *seconds
      - projector
  question:
    feature: {{name: hf_tokens, model: {language}, special: false}}
    encoder: {{name: words, model: {language}}}
fusion: sequence
model: {{dim: {dim}, from: {encoders}, freeze: true}}
allow_outside: true
augment: {{crop_resize: 0, gaussian_noise: 0.1, modality_dropout: {{video: 0.2, audio: 0.2}}}}
train: {{epochs: 8, batch: 16, lr: 0.002}}
evaluate: {{missing: [0.0]}}
"""


def grid_encoders(folder: Path, cache: str) -> Run:
    """Encoders of lips and sound: those of the recipe that transcribes the same clips."""
    recipe = load_recipe(RECIPES / "grid_transcribe.yaml", ["train.seeds=[0]"])
    return fit(recipe, folder / "encoders", cache=cache, quiet=True)


def grid(args: argparse.Namespace, console: Console) -> Rows:
    """Which colour, which digit: from lips and sound."""
    folder = Path(args.out).resolve() / "grid"
    folder.mkdir(parents=True, exist_ok=True)
    manifest = grid_corpus(folder)
    encoders = grid_encoders(folder, args.cache)
    (fold,) = encoders.info.folds
    language, dim = _language(args, folder, _grid_texts(manifest, fold.train))
    text = GRID.format(manifest=manifest, language=language, dim=dim, encoders=encoders.folder)
    recipe = parse_recipe(text, args.set)
    # The sides of the encoders: what they learnt from is in no test.
    recipe.split = {"by": "group", "train": fold.train, "valid": fold.valid, "test": fold.test}
    tested = fitted(recipe, args, "grid/run")
    kind_of = {r.id: str(r.labels["kind"]) for r in tested.experiment.corpus}
    kinds = [kind_of[item.recording] for item in tested.fold.test]
    names = tested.names
    subsets = [names, *(tuple(m for m in names if m != gone) for gone in names)]
    rows: Rows = []
    for subset, pairs in tested.answers(subsets).items():
        own = exact(pairs, kinds)
        console.print(" + ".join(subset), {k: round(v, 3) for k, v in own.items()})
        if subset == names:
            rows += [target(f"grid: {k} exact", own[k], ">=", 0.9) for k in ("which colour ?", "which digit ?")]
    return rows


def _grid_texts(manifest: Path, clips: Sequence[str]) -> list[str]:
    """What is said in clips, with a question and its answer."""
    entries = [e for e in Corpus(manifest, allow_outside=True).entries if e.group in set(clips)]
    return [f"{e.labels['said']} . {e.labels['kind']} {e.labels['answer']}" for e in entries]


def _language(args: argparse.Namespace, folder: Path, own: Sequence[str]) -> tuple[str, int]:
    """The packaged language model, or with ``--small`` one of these texts; and its width."""
    if not args.small:
        return "gemma3-270m", 640
    if not (folder / "language").exists():
        train_language(own, folder / "language", width=64, layers=2, heads=2, epochs=30, lr=1e-3)
    return str(folder / "language"), 64


FLICKR = """
corpus: {manifest}
task:
  name: unify
  unit: segment
  tier: caption
  language: {language}
  context_length: 8
  rank: 8
  projecting: 0.25
  smoothing: 0.1
  evidence: none
  neighbours: 100
  metric: wer
split: {{by: manifest}}
allow_outside: true
streams:
  picture:
    feature: {{name: efficientnet, networks: [lite0, lite1, lite2]}}
    encoder: {{name: projector, hidden: 256, prefix: 6, dropout: 0.3}}
fusion: sequence
model: {{dim: {dim}}}
augment: {{crop_resize: 0, gaussian_noise: 0.3, modality_dropout: 0}}
train: {{epochs: 4, batch: 32, lr: 0.002, average: 2}}
evaluate: {{missing: [0.0]}}
"""


def flickr_corpus(folder: Path, pictures: int, seed: int = 0) -> tuple[Path, dict[str, list[str]]]:
    """A recording per picture with its captions; three quarters for training, an eighth for each other side."""
    data = Path(os.environ["PLAIT_DATA"]).resolve() / "flickr8k"
    captions: dict[str, list[str]] = defaultdict(list)
    with open(data / "captions.txt", encoding="utf-8") as rows:
        for row in csv.DictReader(rows):
            captions[row["image"]].append(" ".join(row["caption"].lower().replace('"', "").split()).rstrip(" ."))
    names = sorted(name for name in captions if (data / "Images" / name).exists())
    entries = []
    for place, i in enumerate(np.random.default_rng(seed).permutation(len(names))[:pictures]):
        name = names[int(i)]
        told = enumerate(captions[name], 1)
        side = "train" if place < 3 * pictures // 4 else "valid" if place < 7 * pictures // 8 else "test"
        notes = [AnnotationEntry(start=0, stop=1, label=c, tier="caption", annotator=str(k)) for k, c in told]
        entries.append(
            RecordingEntry(
                id=name,
                streams={"picture": StreamEntry(path=str(data / "Images" / name), part="image")},
                # Of a picture there is one answer: the other captions are references only.
                annotations=notes if side == "train" else notes[:1],
                group=name,
                split=side,
            )
        )
    write_manifest(folder / "flickr.jsonl", entries)
    return folder / "flickr.jsonl", captions


def flickr(args: argparse.Namespace, console: Console) -> Rows:
    """Captions of pictures."""
    folder = Path(args.out).resolve() / "flickr"
    manifest, captions = flickr_corpus(folder, args.pictures)
    language, dim = _language(args, folder, [c for own in captions.values() for c in own])
    recipe = parse_recipe(FLICKR.format(manifest=manifest, language=language, dim=dim), args.set)
    began = time.monotonic()
    tested = fitted(recipe, args, "flickr/run")
    took = time.monotonic() - began
    searches = {}
    for search in SEARCHES:
        tested.task.beam, tested.task.neighbours = SEARCHES[search]
        searches[search] = described(tested, captions, "valid").cider
    tested.task.beam, tested.task.neighbours = SEARCHES[max(searches, key=lambda search: searches[search])]
    console.print("validation:", {search: round(value, 3) for search, value in searches.items()})
    found = described(tested, captions, "test")
    for name in list(found.said)[:8]:
        console.print(f"{name}: {found.said[name]}")
    training = {" ".join(words_of(c)) for i in tested.fold.train for c in captions[i.recording]}
    novel = float(np.mean([text not in training for text in found.said.values()]))
    bleu4 = 100 * bleu([*found.true.values()], [*found.said.values()], 4)
    console.print(f"{took:.0f} s of training; BLEU-4 {bleu4:.1f}; {novel:.0%} of the captions are in no training text")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return [
        target("flickr: CIDEr", found.cider, ">=", 0.4),
        target("flickr: minutes of training", took / 60, "<=", 60),
        target("flickr: peak memory, GB", peak, "<=", 6.0),
    ]


SEARCHES = {"greedy": (1, 0), "beam": (4, 0), "neighbours": (4, 100)}
"""Beam and training captions that are asked; 100 are those of 20 pictures."""


class Described(NamedTuple):
    """The true and the given texts of pictures, by name."""

    true: dict[str, list[str]]
    said: dict[str, str]

    @property
    def cider(self) -> float:
        return float(cider_each([*self.true.values()], [*self.said.values()]).mean())


def described(tested: Tested, captions: Mapping[str, Sequence[str]], side: str) -> Described:
    """The answer to each picture of a side."""
    items = {item.recording: item for item in getattr(tested.fold, side)}
    data = ItemData([*items.values()], tested.features, tested.task.asked([*items.values()]), tested.names)
    pairs = tested.task.texts(score_subsets(tested.model, data, [tested.names])[tested.names], data.targets.numpy())
    said = {name: " ".join(words_of(text)) for name, (_, text) in zip(items, pairs)}
    return Described({name: [" ".join(words_of(c)) for c in captions[name]] for name in items}, said)


PARTS = {"world": world, "gemma": gemma, "grid": grid, "flickr": flickr}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", default=["world"], help=f"of {', '.join(PARTS)}")
    parser.add_argument("--out", default="runs/unified")
    parser.add_argument("--cache", default=".plait-cache")
    parser.add_argument("--sizes", type=int, nargs=3, default=(10_500, 210, 420), help="clips of the generated world")
    parser.add_argument("--pictures", type=int, default=800, help="for flickr: how many pictures")
    parser.add_argument("--small", action="store_true", help="for grid and flickr: a small language model of the texts")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="overrides of the recipe")
    args = parser.parse_args()
    check_parts(parser, args.parts, PARTS)
    needs.check(("grid_s1", "flickr8k"), fewest=1)
    torch.set_num_threads(1)
    console, rows = Console(), []
    for part in args.parts:
        rows += PARTS[part](args, console)
    finish(rows)


if __name__ == "__main__":
    main()
