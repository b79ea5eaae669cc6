"""Search by weight sharing: one model is trained, and every recipe of the space is scored on slices of its weights.

One-shot search: Bender, Kindermans, Zoph, Vasudevan & Le 2018, "Understanding and simplifying one-shot architecture
search", ICML. How weights are shared is in `plait.models.slicing`, how they are trained in `plait.training.sandwich`;
subsets of the streams are answered by the same model, which modality dropout trains for them.

A score says how good a recipe's slice is, and not how good the recipe is when trained alone. The two need not rank
recipes alike (Yu, Sciuto, Jaggi, Musat & Salzmann 2020, "Evaluating the search phase of neural architecture search",
ICLR), so the recommended recipe is trained anew.
"""

from __future__ import annotations

import csv
import itertools
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from plait.compression import Lesson
from plait.compression.lessons import settle
from plait.core.atomic import read_text, write_text
from plait.core.errors import ConfigError, DataError, PlaitError, raise_all
from plait.core.progress import Progress
from plait.evaluation.examined import output_of, training_targets
from plait.evaluation.replicates import ReplicateOutput
from plait.evaluation.summary import plain
from plait.examples.data import ItemData, loader
from plait.examples.items import Fold
from plait.models.model import Model
from plait.models.slicing import Slices, recalibrate
from plait.recipe import Recipe, dump_recipe, quick_recipe
from plait.training.build import build_model, item_data
from plait.training.experiment import Experiment, Features
from plait.training.fit import train_fold
from plait.training.run import Replicate
from plait.training.sandwich import Sandwich
from plait.tuning.choice import Found, Measured, figures
from plait.tuning.space import Choice, Point, Space, recipe_at
from plait.tuning.trial import Bench, bytes_of, latency

__all__ = ["NAME", "points_of", "shared"]

NAME = "weight_sharing"
"""Of this way to search, among the samplers."""

FILE = "shared.json"

Shape = str
"""A point without its streams, as JSON."""


def points_of(space: Space, recipe: Recipe, modalities: Sequence[str]) -> list[Point]:
    """Every point of a space whose recipes can share weights; of points with the same recipe the first.

    Args:
        space: by key.
        recipe: where the search begins.
        modalities: of the recipe on its corpus.

    Raises:
        ConfigError: keys that do not only change how large the model is, ranges, or a recipe that is not trained by
            gradient descent from scratch; all at once.
    """
    problems, drop = list[str](), recipe.augment.modality_dropout
    if recipe.train.solver == "ridge" or recipe.model.get("from") is not None:
        problems.append(
            f"train.solver, model.from: with sampler {NAME} one model is trained by gradient descent, and from "
            "scratch. Take another sampler."
        )
    for key, axis in space.items():
        if key not in ("model.dim", "streams") and key.rpartition(".")[2] != "layers":
            problems.append(
                f"over: {key}: recipes that differ in it cannot share weights. With sampler {NAME} search model.dim, "
                "layers of an encoder or of the fusion, and streams; for other keys take another sampler."
            )
        elif not isinstance(axis, Choice):
            problems.append(f"over: {key} has a range, but sampler {NAME} scores every value. Give {key}=A,B,C.")
        elif key == "streams" and not drop:
            problems.append(
                "augment.modality_dropout: is 0, so subsets of the streams would not be trained. Give it a number "
                f"above 0, such as 0.3, or take another sampler than {NAME}."
            )
    raise_all(ConfigError, problems)
    values = [[json.loads(value) for value in axis.values] for axis in space.values() if isinstance(axis, Choice)]
    points = [dict(zip(space, chosen)) for chosen in itertools.product(*values)]
    # Without a stream its encoder's layers make no difference.
    different = {dump_recipe(recipe_at(recipe, point, modalities)): point for point in reversed(points)}
    return [*reversed(different.values())]


def shared(bench: Bench, points: Sequence[Point], modalities: Sequence[str], progress: Progress | None = None) -> Found:
    """Train one model with the weights of all points, and measure each on them; or what was found before.

    Training goes on from its checkpoint, with the same numbers.

    Args:
        bench: of the search.
        points: from `points_of`.
        modalities: of the recipe on its corpus.
        progress: told of trainings, and of points.

    Raises:
        ConfigError: two recipes cannot share weights.
    """
    path = bench.folder / FILE
    if path.exists():
        return _kept(path)
    found = _Shared(bench, points, modalities).found(progress)
    write_text(path, json.dumps(plain(found.to_json())), durable=True)
    return found


def _kept(path: Path) -> Found:
    try:
        return Found(**json.loads(read_text(path)))
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: is damaged ({error}). Delete it, and the points are scored again.") from error


@dataclass(frozen=True)
class _Lessons:
    """A trained model with the weights of all shapes, for one fold, and a model of each shape to take slices."""

    fold: Fold
    model: Model
    shaped: Mapping[Shape, Model]
    train: ItemData
    valid: ItemData
    replicate: Replicate


class _Shared:
    def __init__(self, bench: Bench, points: Sequence[Point], modalities: Sequence[str]) -> None:
        self.bench, self.points, self.modalities = bench, dict(enumerate(points)), modalities
        self.shapes = {_shape(point): _without_streams(point) for point in points}
        self.largest = _largest([*self.shapes.values()])
        self.per_step = 1
        # Of all streams, which serve their subsets too.
        self.features: Features = bench.features(self._recipe(self.largest))

    def found(self, progress: Progress | None) -> Found:
        began, before = time.process_time(), self._trained_before()
        lessons = [self._taught(i, progress) for i in range(len(self.bench.folds))]
        found, problems = list[Measured](), dict[str, list[str]]()
        for shape in self.shapes:
            models = [self._narrowed(shape, own) for own in lessons]
            for number, point in self.points.items():
                if _shape(point) == shape:
                    if progress:
                        progress(number, len(self.points), f"point {number}")
                    try:
                        found.append(self._measured(number, point, models, lessons))
                    except PlaitError as error:
                        problems[str(number)] = [*error.problems]
        if progress:
            progress(len(self.points), len(self.points), "")
        seconds, failed = before + time.process_time() - began, len(problems)
        return Found(
            {str(n): point for n, point in self.points.items()},
            sorted(found, key=lambda one: one["trial"]),
            problems,
            {
                "seconds": seconds,
                "trials": len(self.points),
                "complete": len(found),
                "pruned": 0,
                "failed": failed,
                "trainings": float(self.per_step),
            },
        )

    def _recipe(self, point: Point) -> Recipe:
        return recipe_at(self.bench.recipe, point, self.modalities)

    def _experiment(self, point: Point) -> Experiment:
        return self.bench.experiment(self._recipe(point))

    def _place(self, fold: Fold) -> Path:
        return self.bench.folder / "shared" / Replicate(self.bench.recipe.train.seeds[0], fold.name).name

    def _trained_before(self) -> float:
        """Seconds of processor that a training spent which was cut off."""
        logs = [self._place(fold) / "log.csv" for fold in self.bench.folds]
        rows = [row for log in logs if log.exists() for row in csv.DictReader(read_text(log).splitlines())]
        return sum(float(row["processor_seconds"]) for row in rows)

    def _alone(self, experiment: Experiment, fold: Fold, like: Model) -> Model:
        """The structure of a recipe's own model, without the streams that it leaves out; ``like``: with all."""
        if experiment.modalities == like.modalities:
            return like
        model = build_model(experiment, fold, self.features)[0]
        if like.wide is not None:
            quick = replace(experiment, recipe=quick_recipe(experiment.recipe))
            model.widen(build_model(quick, fold, self.features)[0])
        return model.eval()

    def _taught(self, index: int, progress: Progress | None) -> _Lessons:
        """Train the largest shape together with all others."""
        fold, experiment = self.bench.folds[index], self._experiment(self.largest)
        if progress:
            progress(index, len(self.bench.folds), "one model with the weights of all")
        shaped = {
            shape: build_model(self._experiment(own), fold, self.features)[0] for shape, own in self.shapes.items()
        }
        smaller = [shaped[shape] for shape, own in self.shapes.items() if own != self.largest]
        # Before any training, as it refuses what cannot share.
        self.per_step = Sandwich(shaped[_shape(self.largest)], smaller).per_step if smaller else 1
        replicate = Replicate(self.bench.recipe.train.seeds[0], fold.name)
        given = experiment, fold, self.features, replicate, self.bench.store, self._place(fold), True
        trained = train_fold(*given, smaller=smaller)
        if trained.valid is None:
            raise ConfigError("a fold of a search has no validation items.")
        data = item_data(experiment, fold.train, self.features, trained.model.task)
        return _Lessons(fold, trained.model, shaped, data, trained.valid, replicate)

    def _narrowed(self, shape: Shape, own: _Lessons) -> Model:
        """The model of a shape, with its slice of the weights and all that items decide after training."""
        small = own.shaped[shape].to(next(own.model.parameters()).device)
        small.load_state_dict(Slices(own.model, small).of(own.model.state_dict()))
        batch = self.bench.recipe.train.batch
        recalibrate(small, loader(own.train, small.dims, batch=batch))
        if own.model.wide is not None:
            small.widen(own.model.wide)
        settle(small, Lesson(own.model, self.bench.recipe, own.train, own.valid, own.replicate.seed))
        return small.eval()

    def _measured(self, number: int, point: Point, models: Sequence[Model], lessons: Sequence[_Lessons]) -> Measured:
        began, experiment = time.process_time(), self._experiment(point)
        subset, outputs = tuple(experiment.modalities), list[ReplicateOutput]()
        for model, own in zip(models, lessons):
            train = training_targets(model.task, own.fold.train)
            outputs.append(output_of(model, own.fold.valid, own.valid, train, own.replicate, [subset]))
        fold = lessons[0].fold
        alone = self._alone(experiment, fold, models[0])
        valid = item_data(experiment, fold.valid, self.features, alone.task)
        return {
            **figures(models[0].task, outputs),
            "trial": number,
            "rung": 0,
            "latency": latency(alone, valid),
            "size": bytes_of(alone),
            "streams": len(alone.modalities),
            "seconds": time.process_time() - began,
        }


def _without_streams(point: Point) -> Point:
    return {key: value for key, value in point.items() if key != "streams"}


def _shape(point: Point) -> Shape:
    return json.dumps(_without_streams(point), sort_keys=True)


def _largest(shapes: Sequence[Point]) -> Mapping[str, object]:
    """The largest value of each key.

    Raises:
        ConfigError: values that are not whole numbers.
    """
    found = dict[str, object]()
    for key in shapes[0]:
        values = [shape[key] for shape in shapes]
        sizes = [value for value in values if isinstance(value, int) and not isinstance(value, bool)]
        if len(sizes) < len(values):
            raise ConfigError(f"over: {key}: got {values}; expected whole numbers to share weights by.")
        found[key] = max(sizes)
    return found
