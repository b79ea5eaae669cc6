"""Intermediate fusion: modality-invariant (shared) and modality-specific (private) representations."""

from __future__ import annotations

from itertools import combinations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from plait.core.errors import ConfigError
from plait.core.options import Few
from plait.fusion import Hybrid
from plait.tokens import Tokens
from plait.tokens.attention import AttentionLayer
from plait.tokens.pooling import one_token, pooled

__all__ = ["Misa", "moment_distance", "overlap"]

MOMENTS = 5
"""Number of moments by which distributions are compared, as in the paper."""


class Misa(Hybrid):
    """Modality-invariant and -specific representations (Hazarika et al. 2020).

    Each modality's mean and maximum are mapped to one vector. A map common to all modalities makes a shared vector of
    it, and a map of its own a private one. Three losses are added to the task's: similarity (the shared vectors of two
    modalities have the same distribution, by central moment discrepancy), difference (shared and private vectors, and
    the private vectors of two modalities, are orthogonal over the batch) and reconstruction (shared plus private gives
    the vector back). All shared and private vectors attend to each other in one transformer layer, and the result is
    one token, a map of their concatenation. Missing modalities are masked everywhere, and the losses compare only
    items that have both modalities.

    Departure from the paper: pre-norm instead of post-norm in the transformer layer, and GELU within it.

    Args:
        modalities: their names.
        dim: width of their tokens, and of the result.
        similarity: weight of the similarity loss. The three defaults are the paper's for CMU-MOSI.
        difference: weight of the difference loss.
        reconstruction: weight of the reconstruction loss.
        heads: attention heads.
        dropout: share set to 0 in training.
        unimodal_heads: see `Hybrid`.

    Raises:
        ConfigError: ``heads`` does not divide the width.

    >>> t = Tokens(torch.randn(4, 6, 16), torch.arange(6.0).expand(4, 6), torch.ones(4, 6) > 0)
    >>> fusion = Misa(["a", "b"], 16)
    >>> tuple(fusion({"a": t}).values.shape), fusion.loss({"a": t, "b": t}).ndim
    ((4, 1, 16), 0)
    """

    def __init__(
        self,
        modalities: list[str],
        dim: int,
        *,
        similarity: float = 1.0,
        difference: float = 0.3,
        reconstruction: float = 1.0,
        heads: Few = 2,
        dropout: float = 0.2,
        unimodal_heads: str = "mean",
    ) -> None:
        super().__init__(modalities, dim, unimodal_heads)
        if dim % heads:
            raise ConfigError(f"misa: width {dim} with {heads} heads; expected heads that divide it.")
        self.similarity, self.difference, self.reconstruction = similarity, difference, reconstruction
        count = len(self.modalities)
        self.enter = nn.ModuleList(
            nn.Sequential(nn.Linear(2 * dim, dim), nn.ReLU(), nn.LayerNorm(dim)) for _ in range(count)
        )
        self.shared = nn.Linear(dim, dim)
        self.private = nn.ModuleList(nn.Linear(dim, dim) for _ in range(count))
        self.back = nn.ModuleList(nn.Linear(dim, dim) for _ in range(count))
        self.layer = AttentionLayer(dim, heads, 2 * dim, dropout, attention_dropout=0.0)
        self.leave = nn.Sequential(
            nn.Linear(2 * count * dim, 2 * dim), nn.ReLU(), nn.Dropout(dropout), nn.Linear(2 * dim, dim)
        )

    def forward(self, tokens: dict[str, Tokens]) -> Tokens:
        parts = list(self.complete(tokens).values())
        vectors, there = pooled(parts)
        _, shared, private = self.spaces(vectors)
        known = torch.cat([there, there], 1)
        met = self.layer(torch.cat([shared, private], 1), None, known | ~known.any(1, keepdim=True))
        return one_token(parts, self.leave(torch.where(known[..., None], met, 0.0).flatten(1)))

    def spaces(self, vectors: Float[Tensor, "batch modalities wide"]) -> tuple[Tensor, Tensor, Tensor]:
        """Per modality: its vector, its shared and its private vector, [batch, modalities, dim] each."""
        whole = torch.stack([enter(vectors[:, i]) for i, enter in enumerate(self.enter)], 1)
        private = torch.stack([own(whole[:, i]) for i, own in enumerate(self.private)], 1)
        # sigmoids, since the moment discrepancy is defined on a bounded interval
        return whole, self.shared(whole).sigmoid(), private.sigmoid()

    def loss(self, tokens: dict[str, Tokens]) -> Tensor | None:
        """The three losses, weighted."""
        vectors, there = pooled(self.complete(tokens).values())
        whole, shared, private = self.spaces(vectors)
        count = range(len(self.modalities))
        pairs = list(combinations(count, 2))
        alike = [moment_distance(shared[:, i], shared[:, j], there[:, i], there[:, j]) for i, j in pairs]
        apart = [overlap(shared[:, i], private[:, i], there[:, i]) for i in count]
        apart += [overlap(private[:, i], private[:, j], there[:, i] & there[:, j]) for i, j in pairs]
        again = torch.stack([back(shared[:, i] + private[:, i]) for i, back in enumerate(self.back)], 1)
        lost = ((again - whole).square() * there[..., None]).sum() / (there.sum().clamp(min=1) * self.dim)
        near = torch.stack(alike).mean() if alike else lost.new_zeros(())
        return self.similarity * near + self.difference * torch.stack(apart).sum() + self.reconstruction * lost


def moment_distance(
    a: Float[Tensor, "batch dim"],
    b: Float[Tensor, "batch dim"],
    there_a: Bool[Tensor, " batch"],
    there_b: Bool[Tensor, " batch"],
) -> Float[Tensor, ""]:
    """Central moment discrepancy (Zellinger et al. 2017) of the present rows; values must lie between 0 and 1.

    >>> x, yes = torch.rand(5, 3), torch.ones(5) > 0
    >>> bool(moment_distance(x, x.flip(0), yes, yes) < 1e-3)
    True
    """
    (mean_a, centred_a), (mean_b, centred_b) = _centred(a, there_a), _centred(b, there_b)
    gap = _length(mean_a - mean_b)
    for k in range(2, MOMENTS + 1):
        gap = gap + _length(_mean(centred_a**k, there_a) - _mean(centred_b**k, there_b))
    # an absent modality's moments are 0: without the factor the other would be drawn towards them
    return gap * (there_a.any() & there_b.any())


def overlap(
    a: Float[Tensor, "batch dim"], b: Float[Tensor, "batch dim"], there: Bool[Tensor, " batch"]
) -> Float[Tensor, ""]:
    """How far two sets of vectors are from orthogonal over the batch; 0 if they are uncorrelated.

    Rows are centred and scaled to length 1; the result is the mean square of ``a.T @ b`` over the present items
    (Bousmalis et al. 2016, "Domain separation networks", as in the authors' code of MISA).

    >>> x = torch.tensor([[1.0, -1.0], [-1.0, 1.0]])
    >>> round(float(overlap(x, x, torch.ones(2) > 0)), 3)
    1.0
    """
    a, b = (_unit(_centred(x, there)[1]) for x in (a, b))
    return (a.T @ b).square().mean()


def _mean(x: Tensor, there: Tensor) -> Tensor:
    return (x * there[:, None]).sum(0) / there.sum().clamp(min=1)


def _centred(x: Tensor, there: Tensor) -> tuple[Tensor, Tensor]:
    mean = _mean(x, there)
    return mean, (x - mean) * there[:, None]


def _length(x: Tensor) -> Tensor:
    # the slope of the square root is infinite at 0, which two modalities with the same vectors reach
    return (x.square().sum() + 1e-12).sqrt()


def _unit(x: Tensor) -> Tensor:
    return x / (x.square().sum(1, keepdim=True) + 1e-12).sqrt()
