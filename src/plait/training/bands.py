"""Conformal bands: move the quantiles of a forecast to their levels on held-out items."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from plait.examples.data import ItemData, loader
from plait.models.model import Model
from plait.tasks.forecast import CENTRE, KNOWN, SCALE, VALUE, Forecast

__all__ = ["fit_bands"]

Floats = NDArray[np.float64]

FEWEST = 20
"""With fewer held-out values than that a quantile stays where it was learnt."""


@torch.no_grad()
def fit_bands(model: Model, data: ItemData) -> None:
    """Conformalise the quantiles of a model of `Forecast` on items that it was not trained on.

    Conformalised quantile regression (Romano, Patterson and Candes 2019), each level by itself (their theorem 2): a
    quantile of level q is moved by the empirical quantile of the errors around it, at ``floor(q (n + 1)) / n`` below
    the median and ``ceil(q (n + 1)) / n`` above it. Items of one group (a person) are alike, so with few groups that
    quantile is known badly: it is shrunk by ``move^2 / (move^2 + variance)``, with its jackknife variance over groups.
    Other tasks are left alone.

    Args:
        model: its task's bands are replaced.
        data: held-out items.
    """
    task = model.task
    if not isinstance(task, Forecast) or not task.conformal:
        return
    bands = task.get_buffer("bands").zero_()
    found: list[list[Floats]] = [[] for _ in task.known_subsets]
    _, groups = np.unique([item.group for item in data.items], return_inverse=True)
    model.eval()
    for batch in loader(data, {m: model.dims[m] for m in data.modalities}, batch=256):
        encoded = model.encode(batch.inputs)
        for i, there in enumerate(task.known_subsets):
            subset = [m for m, on in zip(model.modalities, there) if on]
            output = model.forward_subset(encoded, subset, batch.at)[""]
            found[i].append(_errors(task, output, batch.targets, there))
    for i, errors in enumerate(found):
        bands[i] = torch.from_numpy(_moves(np.concatenate(errors), task.quantiles, groups)).to(bands)


def _errors(task: Forecast, output: torch.Tensor, target: torch.Tensor, there: list[bool]) -> Floats:
    """Truth less each quantile in the unit of its bands, [items, horizons, targets, levels]; NaN where unknown."""
    told = target.double().numpy()
    own = (told[..., VALUE] - told[..., CENTRE]) / told[..., SCALE]
    apart = np.where(told[..., KNOWN] > 0, own, np.nan)[..., None] - task.levels(task.scores(output))
    seen = np.array([i >= 0 and there[i] for i in task.own_places])
    unit = np.where(seen, 1.0, told[..., SCALE] / task.history.spread)
    found: Floats = apart * unit[..., None]
    return found


def _moves(errors: Floats, levels: list[float], groups: NDArray[np.int64]) -> Floats:
    """By how much each quantile is moved, [horizons, targets, levels]."""
    whole = _quantiles(errors, levels)
    names = np.unique(groups)
    if len(names) < 2:
        return whole
    without = np.stack([_quantiles(errors[groups != g], levels) for g in names])
    variance = (len(names) - 1) / len(names) * np.square(without - whole).sum(0)
    found: Floats = whole * np.square(whole) / np.maximum(np.square(whole) + variance, 1e-12)
    return found


def _quantiles(errors: Floats, levels: list[float]) -> Floats:
    out = np.zeros(errors.shape[1:])
    for h, s in np.ndindex(*errors.shape[1:3]):
        own = errors[:, h, s]
        own = own[np.isfinite(own).all(1)]
        for k, level in enumerate(levels) if len(own) >= FEWEST else ():
            rank = np.floor(level * (len(own) + 1)) if level < 0.5 else np.ceil(level * (len(own) + 1))
            out[h, s, k] = np.sort(own[:, k])[int(min(max(rank, 1), len(own))) - 1]
    return out
