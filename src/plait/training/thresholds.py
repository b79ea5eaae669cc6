"""Held-out items decide how wide conformal sets and intervals are (`plait.models.conformal`)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from plait.examples.data import ItemData, loader
from plait.models.conformal import Calibrated, Floats, calibrated, nonconformity, one_each
from plait.models.model import Model
from plait.tasks.horizons import subsets_of

__all__ = ["fit_thresholds"]


@torch.no_grad()
def fit_thresholds(model: Model, held: ItemData, *, indirect: bool = False) -> None:
    """Set ``model.conformal`` by items that the model was not trained on, for each subset of its modalities.

    A subset is calibrated by the items that have all of it, answered from it alone; so the promise is of streams that
    are missing by chance. Call it last: thresholds depend on all other factors. The same items have chosen the epoch
    and the temperatures; these are few numbers, but the promise is that much weaker (docs/trust.md has what was
    measured). Tasks without one class or one value per item are left alone (`plait.training.bands` has those of
    forecasts).

    Args:
        model: trained and calibrated.
        held: items with targets.
        indirect: whether the thresholds are for other models, trained on these items too.
    """
    model.eval()
    model.conformal = ()
    task, target = model.task, held.targets.numpy()
    answers = task.is_numeric or bool(task.state().get("classes"))
    if not answers or held.asked.at is not None or target.ndim != 1 or not len(held):
        return
    names = [m for m in model.modalities if m in held.modalities]
    subsets = [[m for m, on in zip(names, row) if on] for row in subsets_of(len(names))]
    scores = _scores(model, held, subsets)
    if not one_each(scores[0], target, values=task.is_numeric):
        return
    groups, there = np.array([item.group or item.id for item in held.items]), {m: held.present(m) for m in names}
    found = list[Calibrated]()
    for subset, own in zip(subsets, scores):
        has = np.all([there[m] for m in subset], 0)
        found.append(calibrated(subset, nonconformity(own[has], target[has]), groups[has], indirect=indirect))
    model.conformal = tuple(found)


def _scores(model: Model, held: ItemData, subsets: Sequence[Sequence[str]]) -> list[Floats]:
    """Of all items from each subset, [subsets][items, ...]."""
    rows: list[list[Floats]] = [[] for _ in subsets]
    for batch in loader(held, {m: model.dims[m] for m in held.modalities}, batch=64):
        encoded = model.kept(model.encode(batch.inputs), batch.at)
        for own, subset in zip(rows, subsets):
            own.append(model.task.scores(model.answer(encoded, subset, batch.at)))
    return [np.concatenate(own) for own in rows]
