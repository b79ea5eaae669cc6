"""The head of `plait.tasks.retrieve`: an item's tokens of one modality -> its embedding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from torch import Tensor, nn

from plait.core.errors import DataError
from plait.multiview.cca import Cca
from plait.tasks.view import View
from plait.tokens import Tokens, masked_mean_max

__all__ = ["Embedder", "Side", "correlate", "sided"]

Array = NDArray[np.float64]


class Embedder(nn.Module):
    """Two embeddings side by side, each of length 1 before its weight: a trained one, and canonical variates.

    The first is a dropout and one or two linear layers on the mean and the maximum of the tokens; the second (if
    ``correlations`` is above 0) a linear map of the mean, which `correlate` solves once training is over. ``share`` is
    the weight of the second in a similarity, the inner product of two such outputs. With ``components`` both see the
    principal components of the mean instead (`principal`), of mean variance 1: of few items with many good features,
    these hold all that can be learnt.

    Args:
        dim: width of the tokens.
        width: of the trained embedding.
        correlations: number of canonical variates.
        components: number of principal components; 0: the tokens as they are.
        hidden: width of the hidden layer; 0: none.
        dropout: share of the pooled numbers set to 0 in training.

    >>> head = Embedder(4, 3, 2)
    >>> out = head(Tokens(torch.ones(2, 5, 4), torch.zeros(2, 5), torch.ones(2, 5) > 0))
    >>> tuple(out.shape), out[:, :3].norm(dim=1).detach().round().tolist()
    ((2, 5), [1.0, 1.0])
    """

    basis: Tensor
    middle: Tensor
    centre: Tensor
    weight: Tensor
    share: Tensor

    def __init__(
        self,
        dim: int,
        width: int,
        correlations: int = 0,
        *,
        components: int = 0,
        hidden: int = 0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        seen, linear = components or 2 * dim, components or dim
        first = [nn.Linear(seen, hidden), nn.GELU(), nn.Dropout(dropout)] if hidden else []
        self.components = components
        self.trained = nn.Sequential(nn.Dropout(dropout), *first, nn.Linear(hidden or seen, width))
        self.register_buffer("middle", torch.zeros(dim if components else 0))
        self.register_buffer("basis", torch.zeros(dim if components else 0, components))
        self.register_buffer("centre", torch.zeros(linear))
        self.register_buffer("weight", torch.zeros(linear, correlations))
        self.register_buffer("share", torch.zeros(()))

    def seen(self, tokens: Tokens) -> Float[Tensor, "batch numbers"]:
        """What both embeddings are made of: mean and maximum of the tokens, or the mean's principal components."""
        pooled = masked_mean_max(tokens)
        return (pooled[:, : tokens.dim] - self.middle) @ self.basis if self.components else pooled

    def forward(self, tokens: Tokens) -> Float[Tensor, "batch width_and_correlations"]:
        """[batch, time, dim] -> [batch, width + correlations]."""
        seen = self.seen(tokens)
        variates = F.normalize((seen[:, : len(self.centre)] - self.centre) @ self.weight, dim=-1)
        parts = (1 - self.share).sqrt() * F.normalize(self.trained(seen), dim=-1), self.share.sqrt() * variates
        return torch.cat(parts, -1)

    @torch.no_grad()
    def principal(self, means: Float[Tensor, "items dim"]) -> None:
        """Set the principal components from the mean tokens of training items."""
        self.middle.copy_(means.mean(0))
        centred = means - self.middle
        # Of few distinct items (the picture of several captions) the smaller product has the same components.
        rows = torch.unique(centred, dim=0)
        few = len(rows) < centred.shape[1]
        power, own = torch.linalg.eigh((rows @ rows.T if few else centred.T @ centred).double())
        kept = min(self.components, int((power > power[-1] * 1e-9).sum()))
        directions = own.flip(1)[:, :kept]
        if few:
            directions = rows.T.double() @ directions / power.flip(0)[:kept].sqrt()
        scores = centred @ directions.float()
        spread = scores.square().mean().clamp(min=1e-12).sqrt()
        self.basis.zero_()[:, : directions.shape[1]] = directions.float() / spread


@torch.no_grad()
def correlate(heads: Sequence[Embedder], seen: Sequence[Float[Tensor, "items _"]], ridge: float) -> None:
    """Solve the canonical variates of all modalities together, from what the heads see of training items.

    Each variate is weighted by its correlation under the ridge, so that what modalities do not share counts little.

    Args:
        heads: one per modality.
        seen: of the same items, NaN where an item lacks the modality.
        ridge: see `plait.multiview.cca.Cca`.

    Raises:
        DataError: two modalities have no items in common.
    """
    views = [own[:, : len(head.centre)].double().numpy() for head, own in zip(heads, seen)]
    varies = [np.flatnonzero(np.nanstd(view, 0) > 1e-6) for view in views]
    if not all(map(len, varies)):
        raise DataError("retrieve: the tokens of a modality do not vary; there is nothing to correlate.")
    count = heads[0].weight.shape[1]
    found = Cca(count, ridge=ridge).fit([view[:, columns] for view, columns in zip(views, varies)])
    # The correlations that the ridge leaves: those of the training items alone are near 1 for all variates.
    strength = np.clip((len(views) * found.shared_ - 1) / (len(views) - 1), 0, 1)
    for head, columns, mean, weight in zip(heads, varies, found.means_, found.weights_):
        head.centre.zero_()[columns] = torch.from_numpy(mean).float()
        head.weight.zero_()[columns, : len(strength)] = torch.from_numpy(weight * strength).float()


class Side(NamedTuple):
    """Embeddings of one side of a batch of items, from one of its modalities or from all together.

    Attributes:
        values: of length 1; zeros where there is none.
        there: where there is one.
    """

    values: Float[Tensor, "batch width"]
    there: Bool[Tensor, " batch"]


def sided(view: View, modalities: Sequence[str], width: int) -> list[Side]:
    """The trained embeddings of each modality of a side, and of all together if there are several.

    Args:
        view: outputs of `Embedder` by modality.
        modalities: of the side.
        width: of the trained embedding.
    """
    own = [(view.unimodal[m][:, :width], view.encoded[m].present) for m in modalities if m in view.encoded]
    found = [Side(torch.where(seen[:, None], F.normalize(x, dim=-1), 0.0), seen) for x, seen in own]
    if len(found) > 1:
        mean = torch.stack([side.values for side in found]).sum(0)
        found.append(Side(F.normalize(mean, dim=-1), torch.stack([side.there for side in found]).any(0)))
    return found
