"""Intermediate fusion: a sparse gate over experts, one per modality and one for all together."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from plait.core.errors import ConfigError
from plait.core.options import Few
from plait.fusion import Hybrid
from plait.fusion.late import share
from plait.tokens import Tokens
from plait.tokens.pooling import one_token, pooled

__all__ = ["Mixture"]


class Mixture(Hybrid):
    """Sparsely gated mixture of experts (Shazeer et al. 2017, equations 1 to 5).

    Each modality has an expert, a small network on the mean and maximum of its tokens; one more expert sees all
    modalities. A gate, which also sees all modalities, keeps the ``top`` scores per item, and the result is one token,
    the sum of the experts' outputs weighted by the softmax of these scores. In training, noise of a learned size is
    added to the scores, and the importance loss keeps the gate from always choosing the same expert. The expert of a
    missing modality is never chosen. Departure from the paper: all experts are computed, since they are small; those
    not chosen have weight 0.

    Args:
        modalities: their names.
        dim: width of their tokens, and of the result.
        top: experts chosen per item.
        importance: weight of the importance loss, the squared coefficient of variation of the experts' importance.
        dropout: share set to 0 within the experts in training.
        unimodal_heads: see `Hybrid`.

    Raises:
        ConfigError: ``top`` below 2.

    >>> t = Tokens(torch.ones(2, 6, 16), torch.arange(6.0).expand(2, 6), torch.ones(2, 6) > 0)
    >>> fusion = Mixture(["a", "b"], 16).eval()
    >>> tuple(fusion({"a": t}).values.shape), [bool(g) for g in fusion.gates(*pooled([t, t]))[0] > 0].count(True)
    ((2, 1, 16), 2)
    """

    def __init__(
        self,
        modalities: list[str],
        dim: int,
        *,
        top: Few = 2,
        importance: float = 0.01,
        dropout: float = 0.2,
        unimodal_heads: str = "mean",
    ) -> None:
        super().__init__(modalities, dim, unimodal_heads)
        if top < 2:
            raise ConfigError(f"mixture: top is {top}; expected 2 or more: with one expert the gate gets no gradient.")
        count = len(self.modalities)
        self.top, self.importance = min(top, count + 1), importance
        self.experts = nn.ModuleList(
            nn.Sequential(nn.Linear(width, dim), nn.GELU(), nn.Dropout(dropout), nn.Linear(dim, dim))
            for width in [2 * dim] * count + [2 * dim * count]
        )
        self.score = nn.Linear(2 * dim * count, count + 1)
        self.noise = nn.Linear(2 * dim * count, count + 1)
        # zeros, as in the paper's appendix A: a balanced load at the start
        for one in (self.score, self.noise):
            nn.init.zeros_(one.weight)
            nn.init.zeros_(one.bias)

    def forward(self, tokens: dict[str, Tokens]) -> Tokens:
        parts = list(self.complete(tokens).values())
        vectors, there = pooled(parts)
        inputs = [*vectors.unbind(1), vectors.flatten(1)]
        answers = torch.stack([expert(x) for expert, x in zip(self.experts, inputs)], 1)
        return one_token(parts, (self.gates(vectors, there)[..., None] * answers).sum(1))

    def gates(
        self, vectors: Float[Tensor, "batch modalities wide"], there: Bool[Tensor, "batch modalities"]
    ) -> Float[Tensor, "batch experts"]:
        """The experts' weights: at most ``top`` above 0 per row, with sum 1 unless all modalities are missing."""
        every, known = vectors.flatten(1), torch.cat([there, there.any(1, keepdim=True)], 1)
        scores = self.score(every)
        if self.training:
            scores = scores + torch.randn_like(scores) * nn.functional.softplus(self.noise(every))
        low = torch.finfo(scores.dtype).min
        # missing experts sort last, but may still fill the top: hence `known` once more below
        best = torch.where(known, scores, low).topk(self.top, 1).indices
        return share(scores, known & torch.zeros_like(known).scatter(1, best, True))

    def loss(self, tokens: dict[str, Tokens]) -> Tensor | None:
        """The importance loss (equations 6 and 7), over the batch."""
        if not self.importance:
            return None
        total = self.gates(*pooled(self.complete(tokens).values())).sum(0)
        return self.importance * total.var(correction=0) / total.mean().square().clamp(min=1e-10)
