"""Few items: is the default ever under a cheap baseline? PLAIT_DATA=... python benchmarks/small.py

Needs: at least one of mosi, utd_mhad, stress_predict, fsdd, grid_s1, esc10 in PLAIT_DATA; scikit-learn (extra `bench`).
Takes: two to five minutes of one core a draw, of which there are 36: hours.

Six sets (one that is not there is left out, and told), three sizes and ``--draws`` of each.

So many training items are drawn of a set's training part, and scored on its own test part. The default is a recipe
that says what the data are and nothing of models; where nothing is held back for validation, as here, a quarter of the
groups is held out once (`plait.training.held_out`). Beside it:

- statistics of each feature column (mean, deviation, slope, step, quantiles) of all modalities, side by side, with
  logistic regression (strength by cross-validation over groups) or, of values, ridge regression;
- MiniRocket's random convolutions of all modalities, side by side, with ridge regression.

A draw counts as won where the default is not worse than the better of both beyond chance: the upper end of a paired
95 % interval (bootstrap over test groups) of default less baseline is above 0.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import warnings
from pathlib import Path
from typing import Any

import needs
import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from targets import finish, target

from plait import load_recipe
from plait.core.errors import PlaitError
from plait.encoders.fixed import Fixed
from plait.evaluation.examined import score_subsets
from plait.examples.data import ItemData
from plait.examples.items import Fold
from plait.recipe import Recipe, parse_recipe, quick_recipe
from plait.store.store import Store
from plait.tasks import Task
from plait.training.build import build_model
from plait.training.experiment import Experiment, open_corpus
from plait.training.fit import train_fold
from plait.training.held_out import hold_out
from plait.training.run import Replicate

RECIPES = Path(__file__).parents[1] / "recipes"
SETS = {
    "mosi": "mosi",
    "utd_mhad": "utd_mhad",
    "stress": "stress_predict",
    "fsdd": "fsdd",
    "grid_letter": "grid_s1",
    "esc10": "esc10",
}
"""Names of the sets, and the data of each."""

MADE = {
    "fsdd": r"""
corpus:
  folder: ${DATA}/fsdd/recordings
  import:
    match: '(?P<id>(?P<digit>\d)_(?P<speaker>\w+)_\d+)\.(?P<stream>wav)'
    group: '{id}'
    labels_from_meta: [digit]
task: {name: classify, target: digit}
split: {hash: id, test: 0.3}
""",
    "esc10": r"""
corpus:
  folder: ${DATA}/esc10
  import:
    match: '\d+ - (?P<kind>[\w ]+)/(?P<id>(?P<fold>\d)-\d+-\w+)\.(?P<stream>ogg)'
    group: '{fold}'
    labels_from_meta: [kind, fold]
task: {name: classify, target: kind}
split: {folds: 4, by: fold}
""",
}
SIZES = (100, 200, 400)
Floats = NDArray[np.float64]


class World:
    """A set, prepared once."""

    def __init__(self, name: str, data: Path, out: Path, cache: Path) -> None:
        self.name, self.store, self.place = name, Store(cache), out / name
        self.place.mkdir(parents=True, exist_ok=True)
        self.recipe: Recipe = (
            parse_recipe(MADE[name].replace("${DATA}", str(data)))
            if name in MADE
            else load_recipe(RECIPES / f"{name}.yaml")
        )
        self.experiment = Experiment.of(self.recipe, open_corpus(self.recipe, self.place))
        self.features = self.experiment.prepare(self.store, pack=True)

    def fold(self, items: int, draw: int) -> Fold:
        """Training items drawn of a fold, and its test part; classes that were not drawn are not asked."""
        whole = self.experiment.folds[draw % len(self.experiment.folds)]
        order = np.random.default_rng((items, draw)).permutation(len(whole.train))[:items]
        train = [whole.train[i] for i in np.sort(order)]
        seen = {str(i.target) for i in train}
        numbers = self.experiment.task["name"] == "regress"
        return Fold(train, [], [i for i in whole.test if numbers or str(i.target) in seen], whole.name)

    def default(self, fold: Fold, seed: int) -> tuple[Task, Floats, float]:
        """The task, the default's scores of the test items, and how much of the answer is the quick model's."""
        replicate, values = Replicate(seed, fold.name), self.experiment.task["name"] == "regress"
        models = []
        for part in (hold_out(fold, values=values), fold):
            with tempfile.TemporaryDirectory() as place:
                found = train_fold(
                    self.experiment, part, self.features, replicate, self.store, Path(place), True, ranking=values
                )
            models.append(found.model)
        held, model = models
        model.set_factors(held.factors())
        subset = tuple(model.modalities)
        return (
            model.task,
            score_subsets(model, self.data(fold.test, model.task), [subset])[subset],
            float(model.wide_weight[-1]),
        )

    def data(self, items: list[Any], task: Task) -> ItemData:
        return ItemData(items, self.features, task.asked(items), self.experiment.modalities)

    def described(self, fold: Fold) -> dict[str, tuple[Floats, Floats]]:
        """Statistics and random convolutions of training and test items, modalities side by side."""
        plain = self.experiment
        self.experiment.recipe = quick_recipe(self.recipe)
        torch.manual_seed(0)
        model, train = build_model(plain, fold, self.features)
        self.experiment.recipe = self.recipe
        parts: dict[str, list[tuple[Floats, Floats]]] = {"statistics": [], "convolutions": []}
        for m, encoder in zip(model.modalities, model.backbone.encoders):
            both = [self._of(model, m, encoder, data) for data in (train, self.data(fold.test, model.task))]
            own = np.split(both[0], [encoder.sizes[0]], 1), np.split(both[1], [encoder.sizes[0]], 1)
            single = len(encoder.sizes) == 1
            parts["convolutions"].append((own[0][0], own[1][0]))
            parts["statistics"].append((own[0][0 if single else 1], own[1][0 if single else 1]))
        return {k: tuple(np.concatenate(side, 1) for side in zip(*v)) for k, v in parts.items()}  # type: ignore[misc]

    def _of(self, model: Any, m: str, encoder: Fixed, data: ItemData) -> Floats:
        def batches(items: list[int]) -> Any:
            for i in range(0, len(items), 64):
                yield model.backbone.prepare(m, data.rows[m].pad(items[i : i + 64], model.dims[m]))

        there = np.flatnonzero(data.present(m)).tolist()
        if bool((encoder.centre == 0).all()):
            encoder.fit(list(batches(there)))
        found = np.zeros((len(data), sum(encoder.sizes)))
        with torch.inference_mode():
            found[there] = torch.cat([encoder.described(t) for t in batches(there)]).numpy()
        return found


def baselines(world: World, fold: Fold, task: Task) -> dict[str, Floats]:
    from sklearn.linear_model import LogisticRegressionCV, RidgeClassifierCV, RidgeCV
    from sklearn.model_selection import GroupKFold, KFold
    from sklearn.preprocessing import StandardScaler

    described, alphas = world.described(fold), np.logspace(-3, 6, 19)
    truth = task.encode([i.target for i in fold.train]).numpy()
    groups = np.array([i.group for i in fold.train])
    parts = min(4, len(set(groups)))
    cut = GroupKFold(parts) if parts > 1 else KFold(4, shuffle=True, random_state=0)
    folds = list(cut.split(groups, groups=groups))
    found = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of classes that a fold lacks, and of steps at their end
        for name, (train, test) in described.items():
            scaler = StandardScaler().fit(train)
            train, test = scaler.transform(train), scaler.transform(test)
            if task.is_numeric:
                found[name] = RidgeCV(alphas).fit(train, truth).predict(test).reshape(len(test), -1)
            elif name == "statistics":
                one = LogisticRegressionCV(Cs=np.logspace(-3, 0, 4), cv=folds, max_iter=300).fit(train, truth)
                found[name] = _spread(one.predict_proba(test), one.classes_, task.n_outputs)
            else:
                ridge = RidgeClassifierCV(alphas).fit(train, truth)
                said = ridge.decision_function(test)
                said = np.stack([-said, said], 1) if said.ndim == 1 else said
                found[name] = torch.from_numpy(_spread(said, ridge.classes_, task.n_outputs, -10.0)).softmax(1).numpy()
    return found


def _spread(said: Floats, classes: NDArray[np.int64], width: int, rest: float = 0.0) -> Floats:
    whole = np.full((len(said), width), rest)
    whole[:, classes] = said
    return whole


def one(world: World, items: int, draw: int) -> dict[str, Any]:
    """A row of the table."""
    fold = world.fold(items, draw)
    task, scores, share = world.default(fold, draw)
    truth = task.encode([i.target for i in fold.test]).numpy()
    sign = 1 if task.higher_is_better else -1

    def figure(said: Floats, at: Any = slice(None)) -> float:
        return sign * float(task.metrics(said[at], truth[at])[task.main_metric])

    said = {"default": scores, **baselines(world, fold, task)}
    best = max((n for n in said if n != "default"), key=lambda n: figure(said[n]))
    groups = np.array([i.group for i in fold.test])
    names, rng, gaps = np.unique(groups), np.random.default_rng(0), []
    units = [np.flatnonzero(groups == g) for g in names] if len(names) >= 10 else list(np.arange(len(groups))[:, None])
    for _ in range(400):
        at = np.concatenate([units[i] for i in rng.integers(0, len(units), len(units))])
        if task.is_numeric or len(set(truth[at])) > 1:
            gaps.append(figure(said["default"], at) - figure(said[best], at))
    return {
        "set": world.name,
        "items": len(fold.train),
        "draw": draw,
        **{name: sign * figure(value) for name, value in said.items()},
        "best": best,
        "gap": figure(said["default"]) - figure(said[best]),
        "upper": float(np.quantile(gaps, 0.975)),
        "share": share,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=list(SETS))
    parser.add_argument("--sizes", nargs="+", type=int, default=list(SIZES))
    parser.add_argument("--draws", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("runs/small"))
    parser.add_argument("--cache", type=Path, default=Path(".plait-cache"))
    args = parser.parse_args()
    folder = needs.check([SETS[name] for name in args.sets], ["sklearn"], fewest=1)
    torch.set_num_threads(1)
    console, rows = Console(), []
    for name in args.sets:
        if needs.lacking(SETS[name], folder):
            continue
        try:
            world = World(name, folder, args.out, args.cache)
        except PlaitError as error:
            console.print(f"{name}: left out, as it cannot be opened: {error}")
            continue
        for items in args.sizes:
            for draw in range(args.draws):
                row = one(world, items, draw)
                rows.append(row)
                (args.out / f"{name}_{items}_{draw}.json").write_text(json.dumps(row))
                console.print(json.dumps(row), soft_wrap=True, highlight=False)
    table = Table("set", "items", "draw", "default", "statistics", "convolutions", "gap", "upper", "share")
    for row in rows:
        cells = (f"{row[k]:.3f}" for k in ("default", "statistics", "convolutions", "gap", "upper", "share"))
        table.add_row(row["set"], str(row["items"]), str(row["draw"]), *cells)
    console.print(table)
    won = float(np.mean([row["upper"] >= 0 for row in rows])) if rows else 0.0
    finish(
        [target("share of draws in which the default is not under the better baseline beyond chance", won, ">=", 0.9)]
    )


if __name__ == "__main__":
    main()
