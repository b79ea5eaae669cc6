"""Fusion: {modality: Tokens} -> Tokens. One file per family."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from plait.core.errors import ConfigError
from plait.core.parts import part_name
from plait.tokens import Tokens

__all__ = ["Fusion", "Hybrid"]


class Fusion(nn.Module, ABC):
    """Constructed as ``Cls(modalities, dim, *, options)``; the tokens of every modality have width ``dim``.

    A model's output is `aggregate` of its heads' outputs: ``joint_weight() * head(fused) + sum of weights()[m] *
    head_m(m)`` over the present modalities, unless overridden. Late fusion has no joint part.

    Laws (`plait.testing.check_fusion`): any subset of modalities (missing ones have an all-False mask, or are left
    out of the dict) gives a finite answer; the dict's order changes nothing; every present modality gets a gradient;
    shifting all times by a constant changes nothing; a ``causal`` fusion is causal; and masks and padding behave as
    in `Encoder`.
    """

    family: ClassVar[str] = "intermediate"
    """``early``, ``intermediate`` or ``late``: where the modalities meet."""

    joint: ClassVar[bool] = True
    """Whether the fused tokens have a head of their own. If False, `forward` may return no tokens."""

    causal: ClassVar[bool] = False
    """Whether no fused token depends on later input, and the weights depend only on which modalities are present."""

    trial: ClassVar[dict[str, object]] = {}
    """Options that make a small instance, on which the laws are checked."""

    states: int = 0
    """Width of the states by which contexts answer, with the encoders and heads of their modalities
    (`plait.tasks.heads.StateHead`). 0: a context is a modality like others, with its own."""

    n_outputs: int = 0
    """Numbers per item in a head's output, set by `bind`."""

    is_numeric: bool = False
    """Whether those numbers are values in units (else logits of classes), set by `bind`."""

    @classmethod
    def at_instants(cls, steps: int) -> dict[str, object]:
        """Default options for a task with ``steps`` answers per item. The recipe overrides them. None by default."""
        return {}

    def __init__(self, modalities: list[str], dim: int) -> None:
        super().__init__()
        self.modalities, self.dim = list(modalities), dim

    def bind(self, n_outputs: int, *, is_numeric: bool) -> None:
        """Set the kind of the heads' outputs. The model calls it once, before any weights are loaded.

        Raises:
            ConfigError: this fusion cannot combine such outputs.
        """
        # before loading, since some fusions make parameters whose size is the width
        self.n_outputs, self.is_numeric = n_outputs, is_numeric

    @abstractmethod
    def forward(self, tokens: dict[str, Tokens]) -> Tokens:
        """{modality: [batch, time_m, dim]} -> [batch, time, dim]."""

    def weights(self, tokens: dict[str, Tokens]) -> dict[str, Float[Tensor, " batch"]]:
        """Weight of each modality's own output, 0 where it is missing. Default: 1 where it is present."""
        return {m: t.present.to(t.values.dtype) for m, t in tokens.items()}

    def joint_weight(self, tokens: dict[str, Tokens]) -> Float[Tensor, " batch"]:
        """Weight of the joint head's output. Default: 1."""
        return torch.ones_like(next(iter(tokens.values())).present, dtype=next(iter(tokens.values())).values.dtype)

    def aggregate(
        self, outputs: Float[Tensor, "heads batch width"], weights: Float[Tensor, "heads batch"]
    ) -> Float[Tensor, "batch width"]:
        """Combine the heads' outputs into the model's. Default: the weighted sum.

        Args:
            outputs: in the order of ``modalities``, then the joint head's if there is a joint part. A missing
                modality has an output too, with weight 0.
            weights: from `weights` and `joint_weight`.
        """
        return (weights[..., None] * outputs).sum(0)

    def loss(self, tokens: dict[str, Tokens]) -> Tensor | None:
        """A scalar that training adds to the loss of the outputs; None, the default, adds nothing.

        Args:
            tokens: the input of `forward`.
        """
        return None

    def flow(self, tokens: dict[str, Tokens]) -> dict[str, Float[Tensor, "batch _"]] | None:
        """Attention rollout (`plait.tokens.rollout`): the share of the fused result that each token has, by modality,
        all together 1. None, the default: modalities do not meet by attention.

        Args:
            tokens: as for `forward`; the fusion must be in evaluation mode.
        """
        return None

    def complete(self, tokens: dict[str, Tokens]) -> dict[str, Tokens]:
        """All modalities in the model's own order, cleaned; a modality left out becomes an empty sequence.

        Raises:
            KeyError: a modality that the model does not have.
        """
        unknown = set(tokens) - set(self.modalities)
        if unknown:
            raise KeyError(f"unknown modalities {sorted(unknown)}; the model has {self.modalities}")
        some = next(iter(tokens.values()))
        empty = Tokens(some.values[:, :0], some.times[:, :0], some.mask[:, :0])
        return {m: tokens[m].clean() if m in tokens else empty for m in self.modalities}


class Hybrid(Fusion, ABC):
    """A fusion with a joint head and a head per modality.

    Args:
        modalities: their names.
        dim: width of their tokens, and of the result.
        unimodal_heads: how the joint and the unimodal heads are combined. With a single present modality, its own head
            answers alone. With several: ``mean``: the mean of the joint output and of the mean unimodal output (so
            values in units keep their scale); ``sum``: the sum of all; ``alone``: the joint output only. ``none``: the
            joint head always answers, as in most papers.

    Raises:
        ConfigError: ``unimodal_heads`` is something else.
    """

    def __init__(self, modalities: list[str], dim: int, unimodal_heads: str) -> None:
        super().__init__(modalities, dim)
        if unimodal_heads not in ("alone", "mean", "sum", "none"):
            raise ConfigError(
                f"{part_name(type(self))}: unimodal_heads is {unimodal_heads!r}; expected "
                "'alone', 'mean', 'sum' or 'none'."
            )
        self.unimodal_heads = unimodal_heads

    def weights(self, tokens: dict[str, Tokens]) -> dict[str, Float[Tensor, " batch"]]:
        there = super().weights(tokens)
        if self.unimodal_heads == "sum":
            return there
        # each row's weights, the joint one included, add up to 1 in every form but the sum
        count = torch.stack(list(there.values())).sum(0).clamp(min=1)
        alone = (count == 1).to(count.dtype)
        share = {"mean": (1 + alone) / (2 * count), "alone": alone, "none": 0 * count}[self.unimodal_heads]
        return {m: one * share for m, one in there.items()}

    def joint_weight(self, tokens: dict[str, Tokens]) -> Float[Tensor, " batch"]:
        """0 where only one modality is present and its own head answers."""
        whole = super().joint_weight(tokens)
        if self.unimodal_heads == "none":
            return whole
        count = torch.stack([t.present for t in tokens.values()]).sum(0)
        return whole * (count != 1) * (torch.where(count > 1, 0.5, 1.0) if self.unimodal_heads == "mean" else 1)
