"""Encoders whose features no gradient changes: fitted once, then mapped linearly."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from plait.encoders import Encoder
from plait.tokens import Instants, Tokens
from plait.tokens.pooling import one_token

__all__ = ["Fixed"]

LARGEST = 10.0
"""Standardised features end here: what lies so far from all training items would rule a linear answer."""


class Fixed(Encoder, ABC):
    """Fixed features of an item or of each of its tokens, standardised, and one linear map to the model's width.

    `fit` sets the features' free numbers and their mean and deviation, of training items, before anything is learnt.
    The map, ``readout``, is learnt: by gradient descent, or in closed form (`plait.training.closed_form`).

    A subclass makes its features in ``__init__`` and calls `_ready`.
    """

    centre: Tensor
    gain: Tensor
    sizes: list[int]
    """How many features there are of each kind, in their order: kinds are weighed against each other as a whole."""

    def _ready(self, dim_in: int, dim: int, sizes: list[int]) -> None:
        self.dim_in, self.dim, self.sizes = dim_in, dim, sizes
        total = sum(sizes)
        self.register_buffer("centre", torch.zeros(total))
        self.register_buffer("gain", torch.ones(total))
        self.readout = nn.Linear(total, dim)

    @abstractmethod
    def raw(self, tokens: Tokens) -> Float[Tensor, "batch *time features"]:
        """The features as they are, finite for an item without tokens too. ``tokens`` are clean."""

    def at(self, tokens: Tokens, at: Instants | None) -> Float[Tensor, "rows features"]:
        """`raw` of each item, or, where it has a time, at the instants that are asked, one item after another."""
        return self.raw(tokens)

    @abstractmethod
    def settle(self, tokens: Iterable[Tokens]) -> None:
        """Choose what is free in the features by training items; they are clean, and all there."""

    def described(self, tokens: Tokens) -> Float[Tensor, "batch *time features"]:
        """The features, standardised: mean 0 and deviation 1 over the training items, 0 where they do not vary."""
        return ((self.raw(tokens.clean()) - self.centre) * self.gain).clamp(-LARGEST, LARGEST)

    @torch.no_grad()
    def fit(self, batches: Iterable[tuple[Tokens, Instants | None]]) -> Float[Tensor, "rows features"]:
        """Fit the features to the training items that are there; returns them standardised, as `at` orders them.

        Args:
            batches: of items that all have tokens, and the instants that are asked; gone through twice.
        """
        self.settle(t.clean() for t, _ in batches)
        found = torch.cat([self.at(t.clean(), at) for t, at in batches])
        mean = found.double().mean(0)
        spread = (found.double() - mean).square().mean(0).sqrt()
        varies = spread > 1e-6 * mean.abs() + 1e-9
        self.centre.copy_(mean)
        self.gain.copy_(torch.where(varies, 1 / spread.clamp(min=1e-12), 0.0))
        return found.sub_(self.centre).mul_(self.gain).clamp_(-LARGEST, LARGEST)

    def forward(self, tokens: Tokens) -> Tokens:
        tokens = tokens.clean()
        return one_token([tokens], self.readout(self.described(tokens)))
