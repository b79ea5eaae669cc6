"""Whether a relation depends on its two objects (see `plait.evaluation.deletion`)."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from plait.evaluation.effects import Effect, moved
from plait.examples.data import Batch, ItemData, loader
from plait.models.model import Model
from plait.tokens import Tokens

__all__ = ["object_effects"]


def object_effects(model: Model, data: ItemData, rng: np.random.Generator) -> list[Effect]:
    """For a pair of each item that has another one without its objects: the effect of both on the answer."""
    batches = loader(data, {m: model.dims[m] for m in data.modalities}, batch=64)
    return [effect for batch in batches for effect in _of_batch(model, batch, data, rng)]


def _of_batch(model: Model, batch: Batch, data: ItemData, rng: np.random.Generator) -> list[Effect]:
    at = batch.at
    if at is None or at.pairs is None:
        return []
    which, asked = at.pairs.which.numpy(), at.mask.numpy()
    chosen = [_two_pairs(rng, own[: int(there.sum())]) for own, there in zip(which, asked)]
    whole = model(batch.inputs, at)[""]
    own = torch.tensor([0 if two is None else two[0] for two in chosen])
    step = torch.arange(at.mask.shape[1]) == own[:, None]
    found = []
    for k in (0, 1):
        pair = torch.tensor([0 if two is None else two[k] for two in chosen])
        gone = at.pairs.rows[torch.arange(len(pair)), pair].flatten(1)
        left = {m: _without_rows(t, gone) for m, t in batch.inputs.items()}
        found.append(moved(model, model(left, at)[""], whole, step))
    return [
        Effect(data.items[int(i)].group, float(a), float(b))
        for i, a, b, two in zip(batch.items, *found, chosen)
        if two is not None
    ]


def _two_pairs(rng: np.random.Generator, which: NDArray[np.int64]) -> tuple[int, int] | None:
    """Two pairs at random without an object in common; None if there are none.

    >>> _two_pairs(np.random.default_rng(0), np.array([[0, 1], [1, 2], [2, 3]])) in ((0, 2), (2, 0))
    True
    """
    if len(which) < 2:
        return None
    apart = (which[:, None, :, None] != which[None, :, None, :]).all((2, 3))
    found = np.argwhere(apart)
    return None if not len(found) else tuple(found[rng.integers(len(found))].tolist())


def _without_rows(tokens: Tokens, rows: Tensor) -> Tokens:
    """Without the tokens of some rows, [batch, wanted]; -1: none."""
    size = tokens.mask.shape[1]
    place = torch.where((rows >= 0) & (rows < size), rows, size)
    gone = torch.zeros(len(rows), size + 1, dtype=torch.bool).scatter(1, place, True)[:, :size]
    return tokens._replace(mask=tokens.mask & ~gone)
