"""Encoders: Tokens -> Tokens of the model's width. One file a family."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import nn

from plait.tokens import Tokens

__all__ = ["Encoder"]


class Encoder(nn.Module, ABC):
    """Constructed as ``Cls(dim_in, dim, *, options)``: the data decide the first, the model the second.

    Laws (`plait.testing.check_encoder`): what stands under a False mask changes nothing; rows of a batch
    do not see each other nor the padding; shifting all times changes nothing but the output's times;
    ``causal`` is true to its word; saving and loading gives the same numbers; `torch.export` works.
    """

    causal: ClassVar[bool] = False
    """Whether no output depends on later input. An instance may override it (``self.causal = ...``)."""

    trial: ClassVar[tuple[int, dict[str, object]]] = (5, {})
    """A width of the incoming tokens and options that make a small one: what the laws are checked on."""

    dim_in: int
    dim: int

    @abstractmethod
    def forward(self, tokens: Tokens) -> Tokens:
        """[batch, time, dim_in] -> [batch, time', dim]; fewer tokens may come out, each with its seconds."""

    def resolved(self) -> dict[str, object]:
        """Options, as JSON, that make it again without the files that it was made from; none by default."""
        return {}
