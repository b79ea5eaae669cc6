"""Held-out items decide how far each part of a forecast is trusted, and move its quantiles to their levels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from plait.examples.data import Batch, ItemData, loader
from plait.models.ensemble import Encoded
from plait.models.model import Model
from plait.tasks.forecast import CENTRE, KNOWN, SCALE, VALUE, Forecast
from plait.tokens import Instants

__all__ = ["fit_bands"]

Floats = NDArray[np.float64]
Held = Sequence[tuple[Model, ItemData]]

FEWEST = 20
"""With fewer held-out values than that a quantile stays where it was learnt."""

SHARES = [(a / 2, b / 2) for a in range(3) for b in range(3 - a)]
"""Shares to choose from. They are few: so are the groups that choose."""


@torch.no_grad()
def fit_bands(held: Held) -> None:
    """Set the `Trust` of models of `Forecast` by items that they were not trained on. Other tasks are left alone.

    First the shares, for each subset of the modalities and each target: of the answer of all streams and of that of the
    target's own stream, the rest being the reference's. They are those of least pinball loss: stacked regression
    (Breiman 1996, "Stacked regressions") with few weights, none below 0. So streams that do not help are not heard.

    Then conformalised quantile regression (Romano, Patterson and Candes 2019), each level by itself (their theorem 2):
    a quantile of level q is moved by the empirical quantile of the errors around it, at ``floor(q (n + 1)) / n`` below
    the median and ``ceil(q (n + 1)) / n`` above it. Items of one group (a person) are alike, so with few groups that
    quantile is known badly: it is shrunk by ``move^2 / (move^2 + variance)``, with its jackknife variance over groups.

    Args:
        held: models, each with items held out from it. All of them together decide, as in cross-conformal prediction
            (Vovk 2015), and all models get the same values.
    """
    tasks = [m.task for m, _ in held if isinstance(m.task, Forecast)]
    if len(tasks) < len(held) or not tasks or not tasks[0].conformal:
        return
    for task in tasks:
        task.trust.moves.zero_()
    shares, errors = _best_shares(held), list[Floats]()
    for task in tasks:
        task.trust.shares.copy_(shares)
    for model, task, batch in _batches(held):
        encoded = model.kept(model.encode(batch.inputs), batch.at)
        outputs = [(_answer(model, encoded, there, batch.at), there) for there in task.trust.subsets]
        errors.append(np.stack([_errors(task, output, batch.targets, there) for output, there in outputs]))
    _, groups = np.unique([item.group for _, data in held for item in data.items], return_inverse=True)
    moves = np.stack([_moves(own, tasks[0].quantiles, groups) for own in np.concatenate(errors, 1)])
    for task in tasks:
        task.trust.moves.copy_(torch.from_numpy(moves))


def _batches(held: Held) -> Iterator[tuple[Model, Forecast, Batch]]:
    for model, data in held:
        model.eval()
        for batch in loader(data, {m: model.dims[m] for m in data.modalities}, batch=256):
            if isinstance(model.task, Forecast):
                yield model, model.task, batch


def _answer(model: Model, encoded: Encoded, there: Sequence[bool], at: Instants | None) -> Tensor:
    """The output of the whole model from a subset of the modalities."""
    return model.forward_subset(encoded, [m for m, on in zip(model.modalities, there) if on], at)[""]


def _best_shares(held: Held) -> Tensor:
    """The shares of least pinball loss, [subsets, targets, 2]; of equal ones the first, which hear the fewest heads."""
    total: Floats = np.zeros(())
    for model, task, batch in _batches(held):
        encoded, rows = model.kept(model.encode(batch.inputs), batch.at), []
        for there in task.trust.subsets:
            ends = []
            for shares in ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0)):
                task.trust.shares.copy_(torch.tensor(shares))
                ends.append(_answer(model, encoded, there, batch.at))
            # The output is linear in the shares, so that these three tell all.
            none, every, own = ends
            mixed = [none + a * (every - none) + b * (own - none) for a, b in SHARES]
            rows.append([np.nansum(task.losses(task.scores(out), batch.targets.numpy()), 0) for out in mixed])
        total = total + np.array(rows)
    return torch.tensor(SHARES)[torch.from_numpy(total.argmin(1))]


def _errors(task: Forecast, output: Tensor, target: Tensor, there: Sequence[bool]) -> Floats:
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
