"""Captions, against texts that are copied: PLAIT_DATA=... python benchmarks/captions.py

Needs: flickr8k and utd_mhad in PLAIT_DATA for two of the parts; the extra offline-models.
Takes: about an hour of one core.

- ``flickr``: 800 pictures of Flickr8k with five captions each, 600 for training, 100 for validation, 100 for the
  test, in five splits by picture. Beside it the most typical training caption, a caption of the nearest picture, the
  consensus of the captions of 20 neighbours (Devlin et al. 2015; what copying can do), and a person (one caption
  against the other four). All by the same features, words and metrics.
- ``films``: generated videos of two shapes, one of which moves, with a tone or without. Is the text right to the word?
  And does the decoder look at the shape that it names, while it says its colour and kind?
- ``sequences``: two or three actions of UTD-MHAD one after another (skeleton and inertial sensor), in words; other
  people in the test.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import needs
import numpy as np
import torch
from caption_cases import COLOURS, SHAPES, Box, make_films, make_sequences
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from targets import check_parts, finish, target

from plait import fit, load_recipe
from plait.evaluation.deletion import deletion_of, effects_of
from plait.examples.data import ItemData
from plait.examples.items import Item
from plait.importing.folder import import_folder
from plait.metrics.bleu import bleu
from plait.metrics.cider import Rarity, cider_each, similarity
from plait.metrics.rouge_l import RougeL
from plait.models.model import Model
from plait.recipe import Recipe, parse_recipe
from plait.store.store import Store
from plait.tasks.caption import Caption
from plait.tasks.consensus import most_typical
from plait.tasks.evidence import Caption as Answer
from plait.training.experiment import Experiment, open_corpus
from plait.training.run import Run

RECIPES = Path(__file__).parents[1] / "recipes"
Floats = NDArray[np.float64]
SPLITS, NEIGHBOURS = 5, 20

FILMS = """
corpus: {manifest}
task: {{name: caption, target: caption, decoder: recurrent, least: 1, width: 64, smoothing: 0, dropout: 0,
  word_dropout: 0, metric: any_match}}
split: {{by: manifest}}
streams:
  video:
    feature: {{name: frames, height: 32, width: 40, grey: false, differences: true}}
    encoder: {{name: regions, shape: [32, 40, 3], patch: 8, layers: 2, kernel: 1, dropout: 0}}
  sound: {{feature: {{name: log_mel, mels: 20, window: 0.1, hop: 0.1}}, encoder: {{name: conv, strides: [2, 2]}}}}
augment: {{crop_resize: 0, gaussian_noise: 0, modality_dropout: 0.1}}
fusion: late
model: {{dim: 64}}
train: {{epochs: 25, batch: 32, lr: 0.003, temperature_scaling: false, seeds: {seeds}}}
"""

SEQUENCES = """
corpus: {manifest}
task: {{name: caption, target: caption, least: 1, ctc: 0.3, metric: any_match}}
split: {{by: manifest}}
streams:
  skeleton: {{feature: {{name: pose, velocities: true}}, encoder: [{{name: conv, strides: [2, 2, 2]}}, gru]}}
  inertial:
    feature: {{name: series, differences: true}}
    normalization_groups: 3
    encoder: [{{name: conv, strides: [4, 2, 2]}}, gru]
augment:
  random_gain: {{skeleton: 0.2, inertial: 0.2}}
  rotate: {{skeleton: {{axis: y, degrees: 30}}, inertial: {{axis: any, degrees: 20}}}}
  modality_dropout: 0.3
fusion: {{name: concat, time_bins: 64}}
train: {{epochs: 25, batch: 16, lr: 0.002, temperature_scaling: false, seeds: {seeds}}}
"""


class Tested:
    """A trained model, and the items of its fold."""

    def __init__(self, run: Run, cache: str, seed: int = 0) -> None:
        """``seed``: its number among the run's seeds."""
        self.experiment = Experiment.of(run.recipe, open_corpus(run.recipe, run.folder))
        (self.fold,) = self.experiment.folds
        self.features = self.experiment.prepare(Store(cache))
        self.model: Model = run.model(run.finished[seed])

    @property
    def task(self) -> Caption:
        assert isinstance(self.model.task, Caption)
        return self.model.task

    def data(self, side: str = "test") -> ItemData:
        items = getattr(self.fold, side)
        return ItemData(items, self.features, self.task.asked(items), self.experiment.modalities)

    @torch.inference_mode()
    def answers(self, side: str = "test", subset: Sequence[str] | None = None) -> list[Answer]:
        data = self.data(side)
        batch = data.batch(range(len(data)), self.model.dims)
        found = self.task.decode(self.model.forward_subset(self.model.encode(batch.inputs), subset)[""])
        return [answer for answer in found if isinstance(answer, Answer)]

    def references(self, items: Sequence[Item]) -> list[list[str]]:
        return [self.task.words.texts(row) for row in self.task.encode([i.target for i in items]).numpy()]

    def exact(self, subset: Sequence[str] | None = None) -> float:
        """Share of the test items whose text is right to the word."""
        pairs = zip(self.references(self.fold.test), self.answers(subset=subset))
        return float(np.mean([answer.text in texts for texts, answer in pairs]))


class Scored(NamedTuple):
    """Answers of one way to caption, of one split: items, references and texts."""

    items: list[str]
    references: list[list[str]]
    texts: list[str]

    def row(self) -> list[float]:
        """CIDEr, BLEU-1, BLEU-4 and ROUGE-L."""
        pair = self.references, self.texts
        return [float(self.each().mean()), 100 * bleu(*pair, 1), 100 * bleu(*pair, 4), 100 * RougeL()(*pair)]

    def each(self) -> Floats:
        return cider_each(self.references, self.texts)


def directions(tested: Tested) -> dict[str, Floats]:
    """The features of every item, less the training mean, on 150 principal directions, of length 1."""
    fold, names = tested.fold, tested.experiment.modalities
    items = [*fold.train, *fold.test, *fold.valid]
    rows = [[tested.features.get(i.recording, m) for m in names] for i in items]
    table = np.array([np.concatenate([own[0][0] for own in row if own is not None]) for row in rows], np.float64)
    train = table[: len(fold.train)]
    table = (table - train.mean(0)) / (train.std(0) + 1e-6)
    _, _, axes = np.linalg.svd(table[: len(fold.train)], full_matrices=False)
    table = table @ axes[:150].T
    return dict(zip((i.id for i in items), table / np.linalg.norm(table, axis=1, keepdims=True)))


def copied(tested: Tested, side: str) -> dict[str, Scored]:
    """What copying from the training captions gives, and a person."""
    items, train = getattr(tested.fold, side), tested.fold.train
    true, known = tested.references(items), tested.references(train)
    rarity, at, ids = Rarity(known), directions(tested), [i.id for i in items]
    base = np.array([at[i.id] for i in train])
    near = {i.id: np.argsort(-(base @ at[i.id]))[:NEIGHBOURS] for i in items}
    typical = most_typical([text for own in known for text in own], rarity)
    vectors = [[rarity.vector(text) for text in own[:3]] for own in known]

    def consensus(item: Item) -> str:
        weights = np.maximum(base[near[item.id]] @ at[item.id], 0)
        best = (-1.0, "")
        for i in near[item.id]:
            for text, vector in zip(known[i], vectors[i]):
                pairs = [(w, vectors[j]) for w, j in zip(weights, near[item.id]) if j != i]
                said = sum(w * max(similarity(vector, other) for other in own) for w, own in pairs)
                best = max(best, (said / sum(w for w, _ in pairs), text))
        return best[1]

    return {
        "the most typical caption": Scored(ids, true, [typical] * len(items)),
        "the nearest picture's": Scored(ids, true, [known[near[i.id][0]][0] for i in items]),
        f"consensus of {NEIGHBOURS} neighbours": Scored(ids, true, [consensus(i) for i in items]),
        "a person": Scored(ids, [texts[1:] for texts in true], [texts[0] for texts in true]),
    }


def split_recipe(recipe: Recipe, folder: Path, seed: int) -> Recipe:
    """The recipe with one of the five splits, on the imported pictures."""
    corpus = open_corpus(recipe, folder)
    ids = sorted(corpus.ids)
    order = [ids[i] for i in np.random.RandomState(seed).permutation(len(ids))]
    sides = {"test": order[:100], "valid": order[100:200], "train": order[200:800]}
    return recipe.model_copy(update={"split": {"by": "id", **sides}})


def flickr(args: argparse.Namespace, console: Console) -> list[dict[str, Any]]:
    manifest = args.out / "flickr8k" / "manifest.jsonl"
    if not manifest.exists():
        import_folder(args.data / "flickr8k", out=manifest)
    plan = load_recipe(RECIPES / "flickr_captions.yaml").model_dump(exclude_defaults=True)
    recipe = Recipe.model_validate({**plan, "corpus": str(manifest), "allow_outside": True})
    found: dict[str, list[Scored]] = {}
    novel: list[float] = []
    for seed in args.splits:
        run = fit(split_recipe(recipe, args.out, seed), args.out / f"flickr-{seed}", cache=args.cache, quiet=True)
        tested = Tested(run, args.cache)
        items = getattr(tested.fold, args.side)
        texts = [answer.text for answer in tested.answers(args.side)]
        novel += [text not in tested.task.judge.seen for text in texts]
        own = Scored([i.id for i in items], tested.references(items), texts)
        for name, scored in {"plait": own, **copied(tested, args.side)}.items():
            found.setdefault(name, []).append(scored)
        console.print(f"split {seed}: CIDEr {own.row()[0]:.3f}, BLEU-4 {own.row()[2]:.1f}")
    return told_flickr(found, novel, console)


def told_flickr(found: dict[str, list[Scored]], novel: Sequence[float], console: Console) -> list[dict[str, Any]]:
    shown = Table("", "CIDEr", "BLEU-1", "BLEU-4", "ROUGE-L", title="Flickr8k, 600 pictures for training")
    rows = {name: np.array([one.row() for one in every]) for name, every in found.items()}
    for name, row in rows.items():
        mean, spread = row.mean(0), row.std(0)
        cells = [f"{mean[0]:.3f} ± {spread[0]:.3f}", *(f"{m:.1f} ± {s:.1f}" for m, s in zip(mean[1:], spread[1:]))]
        shown.add_row(name, *cells)
    console.print(shown)
    rival = next(name for name in found if name.startswith("consensus"))
    low, high = interval(found["plait"], lambda ours, theirs: ours - theirs, found[rival])
    own_low, own_high = interval(found["plait"])
    mean = rows["plait"].mean(0)
    console.print(
        f"CIDEr 95 % {own_low:.3f} to {own_high:.3f}; above the consensus by {mean[0] - rows[rival].mean(0)[0]:.3f} "
        f"({low:.3f} to {high:.3f}), over pictures; not in the training text: {100 * np.mean(novel):.0f} %"
    )
    return [
        target("Flickr8k: CIDEr", mean[0], ">=", 0.36),
        target("Flickr8k: BLEU-4", mean[2], ">=", 11),
        target("Flickr8k: CIDEr above the consensus of neighbours, lower end", low, ">", 0),
        target("Flickr8k: captions not in the training text", float(np.mean(novel)), ">=", 0.7),
    ]


def interval(
    one: Sequence[Scored],
    by: Callable[[Floats, Floats], Floats] = lambda ours, _: ours,
    other: Sequence[Scored] | None = None,
) -> tuple[float, float]:
    """95 % interval of a mean over the items of all splits, by the bootstrap over pictures."""
    pairs = list(zip(one, other or one))
    values = np.concatenate([by(a.each(), b.each()) for a, b in pairs])
    names, place = np.unique([i for a, _ in pairs for i in a.items], return_inverse=True)
    sums, counts = np.bincount(place, values), np.bincount(place)
    rng = np.random.default_rng(0)
    drawn = rng.integers(len(names), size=(4000, len(names)))
    low, high = np.percentile(sums[drawn].sum(1) / counts[drawn].sum(1), [2.5, 97.5])
    return float(low), float(high)


def overlap(box: Box, other: Box) -> bool:
    """Whether two boxes overlap."""
    (x, y, w, h), (a, b, c, d) = box, other
    return x < a + c and a < x + w and y < b + d and b < y + h


def looked(tested: Tested, boxes: dict[str, list[Box]]) -> tuple[float, int]:
    """Of the words for colour and shape in exact answers, the share that looked at the named shape; and how many."""
    items, right = tested.fold.test, []
    for item, texts, answer in zip(items, tested.references(items), tested.answers()):
        if answer.text not in texts:
            continue
        where = boxes[item.recording]
        for (start, stop, word, _), box in zip(answer.words, answer.boxes):
            if word in (*COLOURS, *SHAPES):
                middle = min(int((start + stop) / 2 * len(where) / (item.stop - item.start)), len(where) - 1)
                right.append(box is not None and overlap(box, where[middle]))
    return (float(np.mean(right)) if right else 0.0), len(right)


def films(args: argparse.Namespace, console: Console) -> list[dict[str, Any]]:
    boxes = make_films(args.out / "films", [("train", 1500), ("valid", 100), ("test", 200)])
    recipe = parse_recipe(FILMS.format(manifest=args.out / "films/manifest.jsonl", seeds=list(args.seeds)))
    run = fit(recipe, args.out / "films-run", cache=args.cache, quiet=True)
    every = [Tested(run, args.cache, i) for i in range(len(run.finished))]
    exact, (share, count) = [one.exact() for one in every], looked(every[0], boxes)
    console.print(
        f"films: exact {told(exact)}; from the video alone {told([one.exact(['video']) for one in every])}, from sound "
        f"alone {told([one.exact(['sound']) for one in every])}; {count} words for colour and shape, of which "
        f"{100 * share:.1f} % looked at the shape"
    )
    return [
        target("films: exact", float(np.mean(exact)), ">=", 0.95),
        target("films: attention on the named object", share, ">=", 0.9),
    ]


def told(values: Sequence[float]) -> str:
    return f"{100 * np.mean(values):.1f} ± {100 * np.std(values):.1f} %"


def sequences(args: argparse.Namespace, console: Console) -> list[dict[str, Any]]:
    make_sequences(args.out / "sequences", args.data)
    recipe = parse_recipe(SEQUENCES.format(manifest=args.out / "sequences/manifest.jsonl", seeds=list(args.seeds)))
    run = fit(recipe, args.out / "sequences-run", cache=args.cache, quiet=True)
    every = [Tested(run, args.cache, i) for i in range(len(run.finished))]
    exact = [one.exact() for one in every]
    alone = {m: told([one.exact([m]) for one in every]) for m in every[0].model.modalities}
    deletion = deletion_of(effects_of(every[0].model, every[0].data()))
    console.print(f"sequences: exact {told(exact)}; alone {alone}; deletion {deletion}")
    return [target("sequences of actions: exact", float(np.mean(exact)), ">=", 0.9)]


PARTS: dict[str, Callable[[argparse.Namespace, Console], list[dict[str, Any]]]] = {
    "flickr": flickr,
    "films": films,
    "sequences": sequences,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", default=list(PARTS), help=f"of {', '.join(PARTS)}")
    parser.add_argument("--out", type=Path, default=Path("runs/captions"))
    parser.add_argument("--cache", default="cache")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--splits", type=int, nargs="+", default=list(range(SPLITS)))
    parser.add_argument("--side", choices=["valid", "test"], default="test")
    args = parser.parse_args()
    check_parts(parser, args.parts, PARTS)
    wanted = {"flickr": "flickr8k", "sequences": "utd_mhad"}
    args.data = needs.check([wanted[name] for name in args.parts if name in wanted])
    console, found = Console(), list[dict[str, Any]]()
    for name in args.parts:
        found += PARTS[name](args, console)
    finish(found)


if __name__ == "__main__":
    main()
