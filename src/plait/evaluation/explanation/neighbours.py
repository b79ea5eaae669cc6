"""Which training items are nearest to an item in the model's fused embedding, and whether that is near at all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from plait.evaluation.examined import Examination
from plait.evaluation.explanation.schema import NearestRows, NearRow
from plait.evaluation.intervals import Floats
from plait.examples.data import Batch, ItemData, loader
from plait.examples.items import Item
from plait.models.model import Model
from plait.store.store import CACHE, Store
from plait.training.run import Run

__all__ = ["Near", "TrainingItems", "fused_embedding"]

FAR = 0.95
"""An item is far from the training items if it is farther than this share of the test items."""


class Near(NamedTuple):
    """The nearest training items of an item.

    Attributes:
        items: ids of their items, the nearest first.
        labels: their targets, as texts.
        distances: in standard deviations of the training items along each dimension, root of the mean square.
        typical: median distance of a test item to its nearest training item; None: there are no test items.
        far: distance that 95 % of the test items stay below; None: as for ``typical``.
    """

    items: tuple[str, ...]
    labels: tuple[str, ...]
    distances: tuple[float, ...]
    typical: float | None
    far: float | None

    @property
    def is_near(self) -> bool:
        """Whether the nearest is no farther than ``far``; True if that is not known."""
        return self.far is None or self.distances[0] <= self.far

    def __str__(self) -> str:
        if not self.is_near:
            return (
                f"no near example: the nearest, {self.items[0]} ({self.labels[0]}), is {self.distances[0]:.2f} away; "
                f"of test items 95 % are nearer than {self.far:.2f}"
            )
        told = [f"{i} ({label}) {x:.2f}" for i, label, x in zip(self.items, self.labels, self.distances)]
        typical = "" if self.typical is None else f"; a test item's nearest is typically {self.typical:.2f} away"
        return f"nearest in training: {', '.join(told)}{typical}"

    def to_json(self) -> NearestRows:
        """One object, ``near`` with the nearest first; ``is_near``: whether the nearest is not ``far``."""
        rows: list[NearRow] = [
            {"item": i, "label": label, "distance": round(x, 6)}
            for i, label, x in zip(self.items, self.labels, self.distances)
        ]
        return {"near": rows, "typical": self.typical, "far": self.far, "is_near": self.is_near}


def fused_embedding(model: Model, batch: Batch) -> Tensor:
    """[batch, dim]: the mean of the fused tokens; of a model without them, the modalities' mean tokens side by side.

    Zeros stand for what is missing.
    """
    with torch.no_grad():
        encoded = model.backbone.encode(batch.inputs)
        if model.ensemble.joint is not None:
            tokens = [model.backbone.fuse(encoded)]
        else:
            tokens = [encoded[m] for m in model.modalities]
        each = [t.clean().values.sum(1) / t.mask.sum(1, keepdim=True).clamp(min=1) for t in tokens]
    return torch.cat(each, 1)


class TrainingItems:
    """The training items of a run's model in its fused embedding, and how far its test items are from them.

    Args:
        run: with a finished replicate, whose corpus is as it was.
        cache: where prepared features are kept; those of the training items are prepared if they are not there.

    Raises:
        DataError: the corpus cannot be read, or has changed.
    """

    def __init__(self, run: Run, cache: str = CACHE) -> None:
        found = Examination(run, cache, None)
        replicate, experiment = found.replicates[0], found.experiment
        fold = next(f for f in experiment.folds if f.name == replicate.fold)
        self.model, self.items = run.model(replicate), fold.train
        wanted = {item.recording for item in (*fold.train, *fold.test)}
        features = experiment.prepare(Store(cache), wanted)

        def embedded(items: Sequence[Item]) -> Floats:
            data = ItemData(items, features, self.model.task.asked(items, known=False), experiment.modalities)
            return _embedded(self.model, data)

        raw = embedded(fold.train)
        self._mean, self._spread = raw.mean(0), np.where(raw.std(0) > 1e-9, raw.std(0), 1.0)
        self._rows = self._scaled(raw)
        # Other items than those of training: these are 0 away from themselves.
        apart = [self._distances(row).min() for row in self._scaled(embedded(fold.test))]
        self.typical = float(np.median(apart)) if apart else None
        self.far = float(np.quantile(apart, FAR)) if apart else None

    def _scaled(self, rows: Floats) -> Floats:
        found: Floats = (rows - self._mean) / self._spread
        return found

    def _distances(self, row: Floats) -> Floats:
        found: Floats = np.sqrt(np.square(self._rows - row).mean(1))
        return found

    def near(self, batch: Batch, count: int) -> list[Near]:
        """The nearest training items of each item of a batch.

        Args:
            batch: features, as the model takes them.
            count: how many.
        """
        rows = self._scaled(fused_embedding(self.model, batch).double().numpy())
        return [self._near(self._distances(row), count) for row in rows]

    def _near(self, distances: Floats, count: int) -> Near:
        order: NDArray[np.intp] = np.argsort(distances, kind="stable")[:count]
        chosen = [self.items[i] for i in order]
        apart = tuple(float(distances[i]) for i in order)
        return Near(tuple(c.id for c in chosen), tuple(str(c.target) for c in chosen), apart, self.typical, self.far)


def _embedded(model: Model, data: ItemData) -> Floats:
    model.eval()
    rows = [fused_embedding(model, batch) for batch in loader(data, model.dims, batch=64)]
    found: Floats = torch.cat(rows).double().numpy() if rows else np.zeros((0, model.dim))
    return found
