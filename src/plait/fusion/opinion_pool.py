"""Late fusion: opinions added to what is known beforehand, each weighed as a whole."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from plait.fusion.late import Decision
from plait.tokens import Tokens

__all__ = ["OpinionPool"]


class OpinionPool(Decision):
    """A prior, plus the weighted sum of what the modalities that are there say.

    Of classes a logarithmic opinion pool (Genest and Zidek 1986, "Combining probability distributions"; Heskes 1998):
    ``log p = prior + sum of w_m * logits_m``, normalised. Weights need not add up to 1: modalities that tell different
    things make the answer surer than any of them. Of values in units the same sum, about the prior.

    Modalities often tell the same thing twice. So where some are missing the rest count for more, by
    ``(W / W of those there) ** overlap`` with ``W`` the sum of the weights: with an overlap of 0 each counts as it is
    (all tell different things), with 1 the weights always have the same sum (all tell the same). Both are learned, the
    prior too; at the start weights add up to 1, the overlap is one half, the prior 0. A modality that is there alone
    has the weight 1, for its head has learnt to answer by itself. With nothing there the answer is the prior.

    Args:
        modalities: their names.
        dim: width of their tokens.

    >>> fusion = OpinionPool(["a", "b"], 4)
    >>> fusion.bind(2, values=False)
    >>> fusion.aggregate(torch.tensor([[[1.0, 0.0]], [[3.0, 0.0]]]), torch.tensor([[0.5], [0.5]])).tolist()
    [[2.0, 0.0]]
    """

    causal = True

    def __init__(self, modalities: list[str], dim: int) -> None:
        super().__init__(modalities, dim)
        count = len(self.modalities)
        self.trust = nn.Parameter(-torch.full((count,), float(count)).log())
        self.overlap = nn.Parameter(torch.zeros(()))

    def bind(self, width: int, *, values: bool) -> None:
        super().bind(width, values=values)
        self.prior = nn.Parameter(torch.zeros(width))

    def weights(self, tokens: dict[str, Tokens]) -> dict[str, Float[Tensor, " batch"]]:
        parts = self.complete(tokens)
        found = self.weighed(torch.stack([parts[m].present for m in self.modalities]))
        return {m: found[i] for i, m in enumerate(self.modalities) if m in tokens}

    def weighed(self, there: Tensor) -> Float[Tensor, "modalities batch"]:
        """The weights of those that are there, [modalities, batch] of truth values; 0 elsewhere."""
        own = self.trust.exp()[:, None] * there
        some = own.sum(0).clamp(min=torch.finfo(own.dtype).tiny)
        found = own * (self.trust.exp().sum() / some) ** (self.overlap.sigmoid() * there.any(0))
        return torch.where(there.sum(0) == 1, there.to(own.dtype), found)

    def aggregate(
        self, outputs: Float[Tensor, "heads batch width"], weights: Float[Tensor, "heads batch"]
    ) -> Float[Tensor, "batch width"]:
        return self.prior + super().aggregate(outputs, weights)
