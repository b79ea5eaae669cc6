"""The head of `plait.tasks.retrieve`: an item's tokens of one modality -> its embedding."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn

from plait.core.errors import DataError
from plait.multiview.cca import Cca
from plait.tokens import Tokens, masked_mean_max

__all__ = ["Embedder", "correlate"]

Array = NDArray[np.float64]


class Embedder(nn.Module):
    """Two embeddings side by side, each of length 1 before its weight: a trained one, and canonical variates.

    The first is a dropout and one or two linear layers on the mean and the maximum of the tokens; the second (if
    ``correlations`` is above 0) a linear map of the mean, which `correlate` solves once training is over. ``share`` is
    the weight of the second in a similarity, the inner product of two such outputs.

    Args:
        dim: width of the tokens.
        width: of the trained embedding.
        correlations: number of canonical variates.
        hidden: width of the hidden layer; 0: none.
        dropout: share of the pooled numbers set to 0 in training.

    >>> head = Embedder(4, 3, 2)
    >>> out = head(Tokens(torch.ones(2, 5, 4), torch.zeros(2, 5), torch.ones(2, 5) > 0))
    >>> tuple(out.shape), out[:, :3].norm(dim=1).detach().round().tolist()
    ((2, 5), [1.0, 1.0])
    """

    centre: Tensor
    weight: Tensor
    share: Tensor

    def __init__(self, dim: int, width: int, correlations: int = 0, *, hidden: int = 0, dropout: float = 0.0) -> None:
        super().__init__()
        first = [nn.Linear(2 * dim, hidden), nn.GELU(), nn.Dropout(dropout)] if hidden else []
        self.trained = nn.Sequential(nn.Dropout(dropout), *first, nn.Linear(hidden or 2 * dim, width))
        self.register_buffer("centre", torch.zeros(dim))
        self.register_buffer("weight", torch.zeros(dim, correlations))
        self.register_buffer("share", torch.zeros(()))

    def forward(self, tokens: Tokens) -> Float[Tensor, "batch width_and_correlations"]:
        """[batch, time, dim] -> [batch, width + correlations]."""
        pooled = masked_mean_max(tokens)
        mean = pooled[:, : len(self.centre)]
        variates = F.normalize((mean - self.centre) @ self.weight, dim=-1)
        parts = (1 - self.share).sqrt() * F.normalize(self.trained(pooled), dim=-1), self.share.sqrt() * variates
        return torch.cat(parts, -1)


@torch.no_grad()
def correlate(heads: Sequence[Embedder], means: Sequence[Float[Tensor, "items dim"]], ridge: float) -> None:
    """Solve the canonical variates of all modalities together, from the mean tokens of training items.

    Each variate is weighted by its correlation, so that what two modalities do not share counts little.

    Args:
        heads: one per modality.
        means: of the same items, NaN where an item lacks the modality.
        ridge: see `plait.multiview.cca.Cca`.

    Raises:
        DataError: two modalities have no items in common.
    """
    views = [mean.double().numpy() for mean in means]
    varies = [np.flatnonzero(np.nan_to_num(np.nanstd(view, 0)) > 1e-6) for view in views]
    if not all(map(len, varies)):
        raise DataError("retrieve: the tokens of a modality do not vary; there is nothing to correlate.")
    count = heads[0].weight.shape[1]
    found = Cca(count, ridge=ridge).fit([view[:, columns] for view, columns in zip(views, varies)])
    strength = np.clip(found.correlations_, 0, 1)
    for head, columns, mean, weight in zip(heads, varies, found.means_, found.weights_):
        head.centre.zero_()[columns] = torch.from_numpy(mean).float()
        head.weight.zero_()[columns, : len(strength)] = torch.from_numpy(weight * strength).float()
