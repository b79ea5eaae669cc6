"""Intermediate fusion: products of every feature of one modality with every feature of the others."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from plait.core.errors import ConfigError
from plait.core.options import Few
from plait.fusion import Hybrid
from plait.tokens import Tokens
from plait.tokens.pooling import one_token, pooled

__all__ = ["TensorFusion", "with_one"]

LIMIT = 2**20
"""Most products per item: more would need a next layer of over a hundred million weights."""


class TensorFusion(Hybrid):
    """Tensor fusion network (Zadeh et al. 2017): the outer product of ``[1, z_m]`` of all modalities.

    ``z_m`` has ``size`` features, a layer's output on the mean and maximum of a modality's tokens. So the tensor holds
    each modality's features, all products of two, and so on up to all modalities. Two layers with ReLU follow, as in
    the paper. A missing modality is ``[1, 0 ...]``, which leaves the tensor of the others.

    Args:
        modalities: their names.
        dim: width of their tokens, and of the result.
        size: features per modality.
        dropout: share of the products set to 0 in training.
        unimodal_heads: see `Hybrid`.

    Raises:
        ConfigError: ``size`` below 1, or more than a million products.

    >>> t = Tokens(torch.ones(2, 6, 16), torch.arange(6.0).expand(2, 6), torch.ones(2, 6) > 0)
    >>> fusion = TensorFusion(["a", "b"], 16, size=4)
    >>> tuple(fusion({"a": t}).values.shape), fusion.after[1].in_features
    ((2, 1, 16), 25)
    """

    def __init__(
        self, modalities: list[str], dim: int, *, size: Few = 16, dropout: float = 0.3, unimodal_heads: str = "mean"
    ) -> None:
        super().__init__(modalities, dim, unimodal_heads)
        products = (size + 1) ** len(self.modalities)
        if size < 1 or products > LIMIT:
            raise ConfigError(
                f"tensor_fusion: {len(self.modalities)} modalities of size {size} make {products:,} products per "
                f"item; expected a size of 1 or more and at most {LIMIT:,} products. Lower the size, or use low_rank."
            )
        self.reduce = nn.ModuleList(nn.Sequential(nn.Linear(2 * dim, size), nn.ReLU()) for _ in self.modalities)
        self.after = nn.Sequential(
            nn.Dropout(dropout), nn.Linear(products, dim), nn.ReLU(), nn.Linear(dim, dim), nn.ReLU()
        )

    def forward(self, tokens: dict[str, Tokens]) -> Tokens:
        parts = list(self.complete(tokens).values())
        vectors, there = pooled(parts)
        # the layer's bias makes features of a missing modality's zeros: masked, so that it is [1, 0 ...]
        small = [one(vectors[:, i]) * there[:, i : i + 1] for i, one in enumerate(self.reduce)]
        return one_token(parts, self.after(self.products(small)))

    @staticmethod
    def products(small: list[Float[Tensor, "batch _"]]) -> Float[Tensor, "batch products"]:
        """The outer product of ``[1, z]`` of all modalities, flattened; the last modality's index runs fastest."""
        tensor = with_one(small[0])
        for one in small[1:]:
            tensor = torch.einsum("bp,bz->bpz", tensor, with_one(one)).flatten(1)
        return tensor


def with_one(values: Float[Tensor, "batch size"]) -> Tensor:
    """``[1, values]``."""
    return torch.cat([torch.ones_like(values[:, :1]), values], 1)
