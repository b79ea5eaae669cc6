"""Which seconds of an item answer a query, and whether the answer depends on them (see `plait.evaluation.deletion`)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from plait.evaluation.effects import Effect, within
from plait.examples.data import ItemData, loader
from plait.models.model import Model
from plait.tasks.retrieve import Retrieve
from plait.tokens import Tokens

__all__ = ["evidence_of", "query_effects"]

LENGTH = 0.2
"""Of the evidence, as a share of the item."""


def evidence_of(
    model: Model, task: Retrieve, encoded: Mapping[str, Tokens], query: Float[Tensor, "batch width"]
) -> Float[Tensor, " batch"]:
    """The instant of each item whose token, alone, is most like the query; NaN where it has fewer than two tokens.

    Args:
        model: of the task.
        encoded: the items' tokens, from `Model.encode`.
        query: embeddings of length 1.
    """
    times, alike = [], []
    for m in task.gallery:
        if m in encoded and encoded[m].mask.shape[1]:
            tokens, head = encoded[m].clean(), model.ensemble.heads[model.backbone.index(m)]
            alone = Tokens(*(part.flatten(0, 1)[:, None] for part in tokens))
            found = F.normalize(head(alone), dim=-1).unflatten(0, tokens.mask.shape)
            times.append(tokens.times)
            alike.append(torch.einsum("btw,bw->bt", found, query).masked_fill(~tokens.mask, -torch.inf))
    if not times:
        return query.new_full((len(query),), torch.nan)
    scores, at = torch.cat(alike, 1), torch.cat(times, 1)
    several = scores.isfinite().sum(1) > 1
    best = at.gather(1, scores.argmax(1, keepdim=True))[:, 0]
    return torch.where(several, best, torch.nan)


def query_effects(model: Model, data: ItemData, rng: np.random.Generator) -> list[Effect]:
    """How far the similarity of each item to its own query moves: without its evidence, and without as much elsewhere.

    The evidence is a fifth of the item around `evidence_of`; the other part, as long and beside it, is drawn.
    """
    task, found = model.task, list[Effect]()
    if not isinstance(task, Retrieve):
        return []
    for batch in loader(data, {m: model.dims[m] for m in data.modalities}, batch=64):
        encoded = model.encode(batch.inputs)
        query, rows = F.normalize(model.answer(encoded).unflatten(1, (2, -1)), dim=-1).unbind(1)
        at = evidence_of(model, task, encoded, query).double().numpy()
        spans = np.array([data.items[int(i)].stop - data.items[int(i)].start for i in batch.items])
        start, other = _parts(at, spans, rng)
        moved = []
        for begin in (start, other):
            left = {m: _without(t, begin, LENGTH * spans) if m in task.gallery else t for m, t in batch.inputs.items()}
            again = F.normalize(model.answer(model.encode(left)).unflatten(1, (2, -1)), dim=-1)[:, 1]
            moved.append(((rows - again) * query).sum(1).abs().double().numpy())
        found += [
            Effect(data.items[int(i)].group, float(a), float(b))
            for i, a, b, told in zip(batch.items, *moved, np.isfinite(at))
            if told
        ]
    return found


def _parts(at: np.ndarray, spans: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Where the evidence begins, and where the other part does."""
    long = LENGTH * spans
    start = np.clip(np.nan_to_num(at) - long / 2, 0, spans - long)
    before, after = np.maximum(start - long, 0), np.maximum(spans - start - 2 * long, 0)
    where = rng.random(len(at)) * (before + after)
    return start, np.where(where < before, where, start + long + where - before)


def _without(tokens: Tokens, start: np.ndarray, long: np.ndarray) -> Tokens:
    first, last = (torch.from_numpy(x).to(tokens.times) for x in (start, start + long))
    return tokens._replace(mask=tokens.mask & ~within(tokens.times, first, last))
