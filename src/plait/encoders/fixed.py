"""Encoders with fixed features: fitted once, without gradients, then mapped linearly."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from plait.encoders import Encoder
from plait.tokens import Instants, Tokens
from plait.tokens.pooling import one_token

__all__ = ["Fixed"]

LARGEST = 10.0
"""Standardised features are clipped here: a feature far from all training items would dominate a linear answer."""


class Fixed(Encoder, ABC):
    """Features of each item, or of each of its tokens, standardised and mapped linearly to the model's width.

    Before training, `fit` sets the free parameters of the features, their means and standard deviations on the training
    items. The map, ``readout``, is learned: by gradient descent, or in closed form (`plait.training.closed_form`).

    A subclass makes its features in ``__init__`` and calls `_ready`.
    """

    timed: ClassVar[bool] = False
    """Whether there are features of each token, for answers at instants; if not, of the whole item."""

    centre: Tensor
    gain: Tensor
    sizes: list[int]
    """Number of features of each kind, in order: each kind is weighted as a whole."""

    def _ready(self, dim_in: int, dim: int, sizes: list[int]) -> None:
        self.dim_in, self.dim, self.sizes = dim_in, dim, sizes
        total = sum(sizes)
        self.register_buffer("centre", torch.zeros(total))
        self.register_buffer("gain", torch.ones(total))
        self.readout = nn.Linear(total, dim)

    @abstractmethod
    def raw(self, tokens: Tokens) -> Float[Tensor, "batch *time features"]:
        """The features before standardising; finite for an item without tokens too. ``tokens`` must be clean."""

    def at(self, tokens: Tokens, at: Instants | None) -> Float[Tensor, "rows features"]:
        """`raw` of each item; if ``timed``, at the instants that are asked, one item after another."""
        return self.raw(tokens)

    @abstractmethod
    def settle(self, tokens: Iterable[Tokens]) -> None:
        """Set the free parameters of the features from training items, which are clean and not empty."""

    def described(self, tokens: Tokens) -> Float[Tensor, "batch *time features"]:
        """The standardised features: mean 0, deviation 1 over the training items; constant features become 0."""
        return ((self.raw(tokens.clean()) - self.centre) * self.gain).clamp(-LARGEST, LARGEST)

    @torch.no_grad()
    def fit(self, batches: Iterable[tuple[Tokens, Instants | None]]) -> Float[Tensor, "rows features"]:
        """Fit the features to the training items; returns their standardised features, in the order of `at`.

        Args:
            batches: tokens of items that all have observations, and the instants asked of them; iterated twice.
        """
        self.settle(t.clean() for t, _ in batches)
        found = torch.cat([self.at(t.clean(), at) for t, at in batches])
        # double precision: sums over many items of features that hardly vary lose their digits in float32
        mean = found.double().mean(0)
        spread = (found.double() - mean).square().mean(0).sqrt()
        # relative to the mean: the rounding noise of a constant feature grows with its size
        varies = spread > 1e-6 * mean.abs() + 1e-9
        self.centre.copy_(mean)
        self.gain.copy_(torch.where(varies, 1 / spread.clamp(min=1e-12), 0.0))
        # in place: the features of all training items are the largest array of a fit
        return found.sub_(self.centre).mul_(self.gain).clamp_(-LARGEST, LARGEST)

    def forward(self, tokens: Tokens) -> Tokens:
        tokens = tokens.clean()
        return one_token([tokens], self.readout(self.described(tokens)))
