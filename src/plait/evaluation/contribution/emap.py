"""How far answers rest on the interaction of modalities, and not on the sum of what each says.

Hessel & Lee 2020, "Does my multimodal model learn cross-modal interactions? It's harder to tell than you might think!"
(EMNLP), section 3: the empirical multimodally-additive function projection. Of two modalities a and b,

    f'(a_i, b_i) = mean_j f(a_i, b_j) + mean_j f(a_j, b_i) - mean_jk f(a_j, b_k),

is the additive function that is nearest to the model f, taken on its outputs (logits) and not on probabilities: the
softmax of a sum has interactions of its own. Where the projection answers as well as the model, the model made no use
of interactions, though it may have the parts for them. Departure: of more than two modalities, the others of an item
are drawn independently of each other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from plait.core.errors import DataError
from plait.evaluation.contribution.bank import Bank
from plait.evaluation.intervals import Floats

__all__ = ["Projection", "projectable", "projected"]


Items = NDArray[np.intp]


class Projection(NamedTuple):
    """Attributes:
    items: positions of the items that it was computed on, [some].
    scores: the scores of the additive projection, as the task has them.
    whole: those of the model on the same items.
    share: of the variance of the outputs over items, the share that is not additive, 0 to 1.
    """

    items: Items
    scores: Floats
    whole: Floats
    share: float


def projectable(bank: Bank) -> bool:
    """Whether there are two modalities or more, and one answer per item, of outputs whose sums mean something."""
    return bank.at is None and len(bank.modalities) > 1 and bank.model.task.additive


def projected(bank: Bank, *, most: int = 300, seed: int = 0) -> Projection:
    """The additive projection of the model, on items that have every modality.

    Args:
        bank: the items of a task with one answer per item.
        most: items, drawn at random; their pairs are answered, ``most`` squared for each modality but the last.
        seed: draws them.

    Raises:
        DataError: answers over time, one modality, or fewer than two items that have all.
    """
    names, task = bank.modalities, bank.model.task
    if not projectable(bank):
        raise DataError("interactions are told of one class or value per item, and of two modalities or more.")
    (whole,) = np.nonzero(np.all([bank.data.present(m) for m in names], axis=0))
    if len(whole) < 2:
        raise DataError(f"{len(whole)} items have all of {', '.join(names)}; expected two or more.")
    rng = np.random.default_rng(seed)
    items = np.sort(rng.permutation(whole)[:most])
    truth = torch.cat([*bank.outputs(dict.fromkeys(names, items), items)]).double()
    if len(names) == 2:
        grid = _pairs(bank, names[0], items, {names[1]: np.tile(items, len(items))})
        means = [grid.mean(1), grid.mean(0)]
    else:
        means = [_pairs(bank, m, items, _drawn(names, m, items, rng)).mean(1) for m in names]
    # Of several modalities the means over drawn others differ a little.
    centre = torch.stack(means).mean((0, 1))
    additive = torch.stack(means).sum(0) - (len(names) - 1) * centre
    rest, spread = (truth - additive).square().sum(), (truth - truth.mean(0)).square().sum()
    made, own = (task.scores(x.to(torch.get_default_dtype())) for x in (additive, truth))
    return Projection(items, made, own, float(rest / spread) if spread > 0 else 0.0)


def _pairs(bank: Bank, modality: str, items: Items, others: Mapping[str, Items]) -> Tensor:
    """The outputs of each item's modality with others, [items, as many, width]."""
    first = np.repeat(items, len(items))
    found: Tensor = torch.cat([*bank.outputs({modality: first, **others}, first)]).double()
    return found.reshape(len(items), len(items), -1)


def _drawn(names: Sequence[str], modality: str, items: Items, rng: np.random.Generator) -> dict[str, Items]:
    """Of each other modality all items for each item, in an order of its own."""
    others = [m for m in names if m != modality]
    return {m: np.concatenate([rng.permutation(items) for _ in items]) for m in others}
