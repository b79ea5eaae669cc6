"""Whether attributions are true of a run's model, over its test items and replicates."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from plait.core.errors import DataError
from plait.evaluation.explanation.attribution import METHODS
from plait.evaluation.explanation.faithfulness import areas, order_of, randomised
from plait.evaluation.explanation.parts import Answer, Parts
from plait.evaluation.intervals import mean_interval
from plait.evaluation.rows import row_of
from plait.evaluation.schema import Faithfulness
from plait.examples.data import ItemData
from plait.models.model import Model

__all__ = ["BINS", "Tried", "faithfulness_of", "tried_of"]

BINS, RANDOM, MOST, BATCH = 20, 3, 100, 50
"""Parts of each stream's time; random orders to compare with; items of a replicate, drawn at random; of these at
once."""

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


def tried_of(model: Model, data: ItemData, *, seed: int = 0) -> list[Tried]:
    """Each method on some items; nothing for answers over time, or in texts.

    Args:
        model: answers.
        data: the items.
        seed: draws items, orders, and the other model's weights.
    """
    generator, found = torch.Generator().manual_seed(seed), list[Tried]()
    chosen = torch.randperm(len(data), generator=generator)[:MOST].sort().values.tolist()
    other = randomised(model, seed)
    for start in range(0, len(chosen), BATCH):
        batch = data.batch(chosen[start : start + BATCH], model.dims)
        try:
            answer = Answer.of(model, batch)
        except DataError:
            return []
        groups = [data.items[int(i)].group for i in batch.items]
        found += _of_batch(answer, Parts(data, batch, BINS), other, groups, generator)
    return found


def _of_batch(
    answer: Answer, parts: Parts, other: Model, groups: Sequence[str], generator: torch.Generator
) -> list[Tried]:
    shape = parts.there.shape
    drawn = [areas(answer, parts, order_of(torch.rand(shape, generator=generator), parts)) for _ in range(RANDOM)]
    chance = [torch.stack(x).mean(0).tolist() for x in zip(*drawn)]
    foreign, found = Answer(other, answer.chosen, answer.whole), list[Tried]()
    for name in USED:
        if name == "integrated_gradients" and importlib.util.find_spec("captum") is None:
            continue
        method = METHODS[name]
        own, theirs = (areas(answer, parts, order_of(method(a, parts), parts)) for a in (answer, foreign))
        rows = zip(groups, own.deletion.tolist(), own.insertion.tolist(), *chance, theirs.deletion.tolist())
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
