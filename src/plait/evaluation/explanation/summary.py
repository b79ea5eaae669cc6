"""Whether attributions are true of a run's model, over its test items and replicates."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch

from plait.evaluation.explanation.attribution import METHODS
from plait.evaluation.explanation.faithfulness import areas, deletion_area, order_of, randomised
from plait.evaluation.explanation.parts import Answer, Parts, claims_of
from plait.evaluation.intervals import mean_interval
from plait.evaluation.rows import row_of
from plait.evaluation.schema import Faithfulness
from plait.examples.data import ItemData
from plait.models.model import Model
from plait.tasks.claims import Claim

__all__ = ["BINS", "Tried", "faithfulness_of", "tried_of"]

BINS, RANDOM, MOST, BATCH = 20, 3, 40, 40
"""Parts of each stream's time; random orders to compare with; items of a run, drawn at random; of these at once."""

LARGE, FEW = 20_000_000, 8
"""Weights of a task, such as those of a language model, with which so many items must do, and occlusion alone."""

USED = ("integrated_gradients", "occlusion")
"""Methods that are tried: sampled Shapley values take ten times as long as the others together."""


class Tried(NamedTuple):
    """One method on one item: what is left of its answer, mean over steps of hiding and of showing its parts.

    Attributes:
        method: its name.
        group: of the item.
        deletion, insertion: in the order of the method.
        random_deletion, random_insertion: mean over random orders.
        foreign: deletion in the order of the same method on a model with random weights.
    """

    method: str
    group: str
    deletion: float
    insertion: float
    random_deletion: float
    random_insertion: float
    foreign: float


def tried_of(model: Model, data: ItemData, *, seed: int = 0, replicates: int = 1) -> list[Tried]:
    """Each method on one claim of each of some items: one at random of those with a time of their own (an event, a
    word), else the first (the class, the text).

    Args:
        model: answers.
        data: the items.
        seed: draws items, orders, and the other model's weights.
        replicates: models that share the run's items, so that many of them take no longer than one.
    """
    generator, found = torch.Generator().manual_seed(seed), list[Tried]()
    most = FEW if large(model) else max(MOST // replicates, FEW)
    chosen = torch.randperm(len(data), generator=generator)[:most].sort().values.tolist()
    other, methods = randomised(model, seed), _methods(model)
    for start in range(0, len(chosen), BATCH):
        own = chosen[start : start + BATCH]
        every = claims_of(model.eval(), data.batch(own, model.dims))
        told = [i for i, claims in zip(own, every) if claims]
        if told:
            batch = data.batch(told, model.dims)
            answer = Answer.of(model, batch, [_one_of(claims, generator) for claims in every if claims])
            groups = [data.items[i].group for i in told]
            found += _of_batch(answer, Parts(data, batch, BINS), other, groups, generator, methods)
    return found


def large(model: Model) -> bool:
    """Whether an answer takes so long that thousands cannot be asked for: those of a language model."""
    return sum(weight.numel() for weight in model.task.parameters()) > LARGE


def _methods(model: Model) -> list[str]:
    gradients = importlib.util.find_spec("captum") is not None and not large(model)
    gradients = gradients and not all(model.backbone.symbolic(m) for m in model.modalities)
    return [name for name in USED if gradients or name != "integrated_gradients"]


def _one_of(claims: Sequence[Claim], generator: torch.Generator) -> Claim:
    timed = [claim for claim in claims if claim.span is not None]
    return timed[int(torch.randint(len(timed), (1,), generator=generator))] if timed else claims[0]


def _of_batch(
    answer: Answer,
    parts: Parts,
    other: Model,
    groups: Sequence[str],
    generator: torch.Generator,
    methods: Sequence[str],
) -> list[Tried]:
    shape = parts.there.shape
    drawn = [areas(answer, parts, order_of(torch.rand(shape, generator=generator), parts)) for _ in range(RANDOM)]
    chance = [torch.stack(x).mean(0).tolist() for x in zip(*drawn)]
    foreign, found = replace(answer, model=other), list[Tried]()
    for name in methods:
        method = METHODS[name]
        own = areas(answer, parts, order_of(method(answer, parts), parts))
        theirs = deletion_area(answer, parts, order_of(method(foreign, parts), parts))
        rows = zip(groups, own.deletion.tolist(), own.insertion.tolist(), *chance, theirs.tolist())
        found += [Tried(name, *row) for row in rows]
    return found


def faithfulness_of(tried: Sequence[Tried]) -> list[Faithfulness]:
    """A row per method, with intervals over groups of how much better it is than random orders."""
    found: list[Faithfulness] = []
    for name in dict.fromkeys(one.method for one in tried):
        own = [one for one in tried if one.method == name]
        groups = [one.group for one in own]
        deletion, insertion, random_deletion, random_insertion, foreign = np.array([one[2:] for one in own], float).T

        found.append(
            {
                "method": name,
                "items": len(own),
                "deletion": float(deletion.mean()),
                "insertion": float(insertion.mean()),
                "random_deletion": float(random_deletion.mean()),
                "random_insertion": float(random_insertion.mean()),
                "foreign_deletion": float(foreign.mean()),
                "better": float((deletion < random_deletion).mean()),
                "deletion_gain": row_of(mean_interval(random_deletion - deletion, groups)),
                "insertion_gain": row_of(mean_interval(insertion - random_insertion, groups)),
                "foreign_gain": row_of(mean_interval(random_deletion - foreign, groups)),
            }
        )
    return found
