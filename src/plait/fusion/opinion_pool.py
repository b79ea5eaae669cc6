"""Late fusion: a learned prior plus a weighted sum of the modalities' outputs."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from plait.fusion.late import Decision
from plait.tokens import Tokens

__all__ = ["OpinionPool"]


class OpinionPool(Decision):
    """A prior plus the weighted sum of the present modalities' outputs.

    For classes, a logarithmic opinion pool (Genest and Zidek 1986, "Combining probability distributions"; Heskes 1998):
    ``log p = prior + sum of w_m * logits_m``, normalised. The weights need not add up to 1: independent modalities
    together may be more certain than each of them. For values in units, the same sum.

    Modalities are often redundant. So if some are missing, the weights of the others are multiplied by
    ``(W / W_present) ** overlap``, where ``W`` is the sum of all weights and ``W_present`` that of the present ones. An
    overlap of 0 keeps the weights (independent modalities); 1 keeps their sum (redundant modalities). Weights, overlap
    and prior are learned; at the start the weights add up to 1, the overlap is 0.5 and the prior 0. A single present
    modality has weight 1, because its head has learned to answer alone. Without any modality the answer is the prior.

    Args:
        modalities: their names.
        dim: width of their tokens.

    >>> fusion = OpinionPool(["a", "b"], 4)
    >>> fusion.bind(2, is_numeric=False)
    >>> fusion.aggregate(torch.tensor([[[1.0, 0.0]], [[3.0, 0.0]]]), torch.tensor([[0.5], [0.5]])).tolist()
    [[2.0, 0.0]]
    """

    causal = True

    def __init__(self, modalities: list[str], dim: int) -> None:
        super().__init__(modalities, dim)
        count = len(self.modalities)
        self.trust = nn.Parameter(-torch.full((count,), float(count)).log())
        self.overlap = nn.Parameter(torch.zeros(()))

    def bind(self, n_outputs: int, *, is_numeric: bool) -> None:
        super().bind(n_outputs, is_numeric=is_numeric)
        self.prior = nn.Parameter(torch.zeros(n_outputs))

    def weights(self, tokens: dict[str, Tokens]) -> dict[str, Float[Tensor, " batch"]]:
        parts = self.complete(tokens)
        found = self.weighed(torch.stack([parts[m].present for m in self.modalities]))
        return {m: found[i] for i, m in enumerate(self.modalities) if m in tokens}

    def weighed(self, there: Tensor) -> Float[Tensor, "modalities batch"]:
        """The weights of the present modalities, 0 for the others; ``there`` is a mask [modalities, batch]."""
        own = self.trust.exp()[:, None] * there
        # tiny, and an exponent of 0, where nothing is present: a finite power and a finite gradient
        some = own.sum(0).clamp(min=torch.finfo(own.dtype).tiny)
        found = own * (self.trust.exp().sum() / some) ** (self.overlap.sigmoid() * there.any(0))
        return torch.where(there.sum(0) == 1, there.to(own.dtype), found)

    def aggregate(
        self, outputs: Float[Tensor, "heads batch width"], weights: Float[Tensor, "heads batch"]
    ) -> Float[Tensor, "batch width"]:
        return self.prior + super().aggregate(outputs, weights)
