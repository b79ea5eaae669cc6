"""Encoders: Tokens -> Tokens of the model's width. One file per family."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import nn

from plait.tokens import Tokens
from plait.tokens.stepwise import Stepwise

__all__ = ["Encoder"]


class Encoder(Stepwise, nn.Module, ABC):
    """Constructed as ``Cls(dim_in, dim, *, options)``: the data decide ``dim_in``, the model ``dim``.

    Laws (`plait.testing.check_encoder`): values under a False mask change nothing; rows of a batch are independent
    of each other and of padding; shifting all times changes only the output's times; a ``causal`` encoder is causal;
    in steps, however cut, it gives what one pass gives (`plait.tokens.stepwise`); saving and loading gives the same
    numbers; `torch.export` works.
    """

    causal: ClassVar[bool] = False
    """Whether no output depends on later input. An instance may override it (``self.causal = ...``)."""

    symbolic: bool = False
    """Whether it reads ids instead of measurements (`plait.features.Feature.symbolic`). Instances may override it."""

    regions: tuple[int, int] | None = None
    """Rows and columns, if each observation becomes one token per region of a picture, row by row, at the same time."""

    trial: ClassVar[tuple[int, dict[str, object]]] = (5, {})
    """An input width and options that make a small instance, on which the laws are checked."""

    @abstractmethod
    def forward(self, tokens: Tokens) -> Tokens:
        """[batch, time, dim_in] -> [batch, time', dim]; the output may have fewer tokens, each with its time."""

    def resolved(self) -> dict[str, object]:
        """Options, as JSON, that rebuild the encoder without the files it was made from; none by default."""
        return {}
