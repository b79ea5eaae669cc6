"""Late fusion: the product of the modalities' distributions."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from plait.fusion.late import Decision
from plait.tokens import Tokens
from plait.tokens.pooling import pooled

__all__ = ["ProductOfExperts"]


class ProductOfExperts(Decision):
    """Each modality is an expert; where experts agree, the product is more certain than each of them.

    Classes: ``log p = sum of a_m * log p_m`` over the present modalities, normalised (Hinton 2002, "Training products
    of experts by minimizing contrastive divergence"), with exponents ``a_m`` per item (Cao and Fleet 2014, "Generalized
    product of experts"). Values in units: each expert is a Gaussian around its answer with precision ``a_m``, and the
    prior is a Gaussian with precision 1 around the training mean, which is 0 in standardised values (as in the MVAE
    of Wu and Goodman 2018); the answer is the mean of the product. ``a_m`` is the softplus of a learned linear map of
    the mean and maximum of the modality's tokens, and 1 at the start.

    Args:
        modalities: their names.
        dim: width of their tokens.

    >>> fusion = ProductOfExperts(["a", "b"], 4)
    >>> fusion.bind(2, is_numeric=False)
    >>> one = torch.tensor([[0.8, 0.2]]).log()
    >>> [round(p, 3) for p in fusion.aggregate(torch.stack([one, one]), torch.ones(2, 1)).softmax(-1)[0].tolist()]
    [0.941, 0.059]
    """

    def __init__(self, modalities: list[str], dim: int) -> None:
        super().__init__(modalities, dim)
        experts = [nn.Linear(2 * dim, 1) for _ in self.modalities]
        for one in experts:
            nn.init.zeros_(one.weight)
            nn.init.constant_(one.bias, torch.tensor(1.0).expm1().log().item())  # the softplus of this bias is 1
        self.precision = nn.ModuleList(experts)

    def weights(self, tokens: dict[str, Tokens]) -> dict[str, Float[Tensor, " batch"]]:
        vectors, there = pooled(self.complete(tokens).values())
        found = torch.cat([F.softplus(one(vectors[:, i])) for i, one in enumerate(self.precision)], 1) * there
        return {m: found[:, i] for i, m in enumerate(self.modalities) if m in tokens}

    def aggregate(
        self, outputs: Float[Tensor, "heads batch width"], weights: Float[Tensor, "heads batch"]
    ) -> Float[Tensor, "batch width"]:
        if self.is_numeric:
            # the 1 is the precision of the prior, whose mean 0 adds nothing to the sum
            return super().aggregate(outputs, weights / (1 + weights.sum(0)))
        return super().aggregate(outputs.log_softmax(-1), weights)
