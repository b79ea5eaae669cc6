"""Intermediate fusion: a sparse gate over experts, one a modality and one for all together."""

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

    Each modality has an expert, a small network of the mean and maximum of its tokens, and one more sees all
    modalities side by side. A gate that sees all of them too keeps the ``top`` scores of an item, and the token is
    the experts' answers weighted by their softmax. In training noise of a learned size is added to the scores, and
    the importance loss keeps the gate from always asking the same expert. A missing modality's expert is not asked.
    Departure from the paper: all experts are computed and those not asked are weighted 0, since they are small.

    Args:
        modalities: their names.
        dim: width of their tokens, and of the result.
        top: experts asked an item.
        importance: weight in the loss of the squared coefficient of variation of the experts' importance.
        dropout: share set to 0 within the experts in training.
        unimodal_heads: see `Hybrid`.

    Raises:
        ConfigError: fewer than two experts to ask.

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
            raise ConfigError(f"mixture: top is {top}; expected 2 or more: one alone has no gate to learn from.")
        count = len(self.modalities)
        self.top, self.importance = min(top, count + 1), importance
        self.experts = nn.ModuleList(
            nn.Sequential(nn.Linear(width, dim), nn.GELU(), nn.Dropout(dropout), nn.Linear(dim, dim))
            for width in [2 * dim] * count + [2 * dim * count]
        )
        self.score = nn.Linear(2 * dim * count, count + 1)
        self.noise = nn.Linear(2 * dim * count, count + 1)
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
        """The experts' weights: at most ``top`` above 0 in a row, adding up to 1 where anything is there."""
        every, known = vectors.flatten(1), torch.cat([there, there.any(1, keepdim=True)], 1)
        scores = self.score(every)
        if self.training:
            scores = scores + torch.randn_like(scores) * nn.functional.softplus(self.noise(every))
        low = torch.finfo(scores.dtype).min
        best = torch.where(known, scores, low).topk(self.top, 1).indices
        return share(scores, known & torch.zeros_like(known).scatter(1, best, torch.ones_like(known)))

    def loss(self, tokens: dict[str, Tokens]) -> Tensor | None:
        """The importance loss (equations 6 and 7), over the batch."""
        if not self.importance:
            return None
        total = self.gates(*pooled(self.complete(tokens).values())).sum(0)
        return self.importance * total.var(correction=0) / total.mean().square().clamp(min=1e-10)
