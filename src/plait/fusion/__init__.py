"""Fusion: {modality: Tokens} -> Tokens. One file a family."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from plait.tokens import Tokens

__all__ = ["Fusion"]


class Fusion(nn.Module, ABC):
    """Constructed as ``Cls(modalities, dim, *, options)``; every modality comes in width ``dim``.

    A model's logits are ``joint_weight() * head(fused) + sum of weights()[m] * head_m(m)`` over the
    modalities that are there. So early fusion gives its own modalities no weight of their own, late
    fusion has no joint part, and intermediate fusion has both.

    Laws (`plait.testing.check_fusion`): any subset of modalities (an all-False mask, or left out of the
    dict) gives a finite answer; the dict's order changes nothing; every present modality gets a gradient;
    shifting all times by a constant changes nothing; and all that `Encoder` promises of masks and padding.
    """

    joint: ClassVar[bool] = True
    """Whether the fused tokens have a head of their own; without it `forward` may return no tokens."""

    def __init__(self, modalities: list[str], dim: int) -> None:
        super().__init__()
        self.modalities, self.dim = list(modalities), dim

    @abstractmethod
    def forward(self, tokens: dict[str, Tokens]) -> Tokens:
        """{modality: [batch, time_m, dim]} -> [batch, time, dim]."""

    def weights(self, tokens: dict[str, Tokens]) -> dict[str, Float[Tensor, " batch"]]:
        """How much each modality's own logits count; 0 where it is missing. Default: 1 where it is there."""
        return {m: t.present.to(t.values.dtype) for m, t in tokens.items()}

    def joint_weight(self, tokens: dict[str, Tokens]) -> Float[Tensor, " batch"]:
        """How much the joint head's logits count, [batch]. Default: 1."""
        return torch.ones_like(next(iter(tokens.values())).present, dtype=next(iter(tokens.values())).values.dtype)

    def complete(self, tokens: dict[str, Tokens]) -> dict[str, Tokens]:
        """All modalities in the model's own order, cleaned; one left out becomes an empty sequence.

        Raises:
            KeyError: a modality that the model does not have.
        """
        unknown = set(tokens) - set(self.modalities)
        if unknown:
            raise KeyError(f"unknown modalities {sorted(unknown)}; the model has {self.modalities}")
        some = next(iter(tokens.values()))
        empty = Tokens(some.values[:, :0], some.times[:, :0], some.mask[:, :0])
        return {m: tokens[m].clean() if m in tokens else empty for m in self.modalities}
