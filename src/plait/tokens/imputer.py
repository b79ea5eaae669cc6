"""Stand-ins for a missing modality: none, a learned token, or a reconstruction from the other modalities."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from plait.core.errors import ConfigError
from plait.tokens.pooling import mean_time, pooled
from plait.tokens.tokens import Tokens, cat

__all__ = ["MODALITY_IMPUTERS", "ModalityImputer"]

MODALITY_IMPUTERS = ("none", "token", "reconstruct")


class ModalityImputer(nn.Module):
    """Gives the fusion one token for each modality that an item lacks, at the mean time of its observations.

    ``token``: one learned vector per modality (as the missing-modality prompts of Lee et al. 2023, "Multimodal
    prompting with missing modalities", which have one per missing case). ``reconstruct``: that vector plus a linear
    map, one per missing modality, of the mean over the present modalities of their pooled vectors (mean and maximum
    over time). `loss` trains it to predict the pooled true tokens (in the spirit of Ma et al. 2021, SMIL, without its
    Bayesian part). ``none``: no token; the fusion sees a mask.

    An item without any modality gets no token. The unimodal heads never see a stand-in.

    Args:
        count: number of modalities.
        dim: width of their tokens.
        kind: one of `MODALITY_IMPUTERS`.

    Raises:
        ConfigError: an unknown kind.

    >>> fill = ModalityImputer(2, 4, "token")
    >>> there = Tokens(torch.ones(1, 3, 4), torch.tensor([[1.0, 2.0, 3.0]]), torch.ones(1, 3) > 0)
    >>> both = fill([there, Tokens(torch.zeros(1, 0, 4), torch.zeros(1, 0), torch.zeros(1, 0) > 0)])
    >>> both[1].times.tolist(), both[1].mask.tolist(), both[0].mask.shape[1]
    ([[2.0]], [[True]], 4)
    """

    def __init__(self, count: int, dim: int, kind: str) -> None:
        super().__init__()
        if kind not in MODALITY_IMPUTERS:
            raise ConfigError(f"model.missing: got {kind!r}; expected one of {', '.join(MODALITY_IMPUTERS)}.")
        self.kind = kind
        self.token = nn.Parameter(0.02 * torch.randn(count, dim)) if kind != "none" else None
        self.maps = nn.ModuleList(nn.Linear(2 * dim, 2 * dim) for _ in range(count if kind == "reconstruct" else 0))

    def forward(self, parts: list[Tokens]) -> list[Tokens]:
        """The modalities' tokens [batch, time_m, dim], in order, each with one more place, for a stand-in."""
        if self.token is None:
            return parts
        parts = [p.clean() for p in parts]
        there = torch.stack([p.present for p in parts], 1)
        wanted = ~there & there.any(1, keepdim=True)
        # one place more in every row, masked where nothing is missing: shapes must not depend on the data (export)
        vectors, when = self.token.expand(there.shape[0], -1, -1) + self._said(parts), mean_time(cat(parts))
        return [
            cat([p, Tokens(v[:, None], when, w[:, None])])
            for p, v, w in zip(parts, vectors.unbind(1), wanted.unbind(1))
        ]

    def loss(self, parts: list[Tokens]) -> Tensor | None:
        """Mean squared error of the reconstructions of present modalities; None unless ``reconstruct``."""
        if not self.maps:
            return None
        vectors, there = pooled(parts)
        known = (there & (there.sum(1, keepdim=True) > 1)).to(vectors.dtype)
        # detached: else the encoders would learn tokens that are easy to predict
        off = (self._guessed(vectors, there) - vectors.detach()).square().mean(-1)
        return (off * known).sum() / known.sum().clamp(min=1)

    def _said(self, parts: list[Tokens]) -> Float[Tensor, "batch modalities dim"] | float:
        if not self.maps:
            return 0.0
        mean, top = self._guessed(*pooled(parts)).chunk(2, -1)
        return (mean + top) / 2

    def _guessed(self, vectors: Tensor, there: Tensor) -> Float[Tensor, "batch modalities twice_dim"]:
        """The prediction for each modality from the other present ones."""
        seen = there.to(vectors.dtype)[..., None]
        # the sum of all less its own: a mean over the others for every modality without a loop over pairs
        rest = (vectors * seen).sum(1, keepdim=True) - vectors * seen
        count = (seen.sum(1, keepdim=True) - seen).clamp(min=1)
        return torch.stack([layer(one) for layer, one in zip(self.maps, (rest / count).unbind(1))], 1)
