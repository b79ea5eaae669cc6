"""Inputs of a task's training step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor

from plait.tokens import Tokens

__all__ = ["Moment", "View"]


@dataclass(frozen=True)
class View:
    """A batch and the model's outputs for it in one forward pass.

    Attributes:
        encoded: each modality's tokens, [batch, time, dim].
        unimodal: output of each modality's own head, [batch, width].
        fused: output of the fusion for what it was shown (of a late fusion: its mix), [batch, width].
        whole: output of all heads together for all modalities that are there, [batch, width].
        partial: output of the fusion for a part of the modalities; None if not needed.
        teacher: ``whole`` without gradient, if it knows more than any single head; else None.
        features: standardised features, nothing hidden; for tasks with ``sees_features``.
        shown: raw features as the encoders got them; for the same tasks.
    """

    encoded: Mapping[str, Tokens]
    unimodal: Mapping[str, Float[Tensor, "batch width"]]
    fused: Float[Tensor, "batch width"]
    whole: Float[Tensor, "batch width"]
    partial: Float[Tensor, "batch width"] | None = None
    teacher: Float[Tensor, "batch width"] | None = None
    features: Mapping[str, Tokens] = field(default_factory=dict)
    shown: Mapping[str, Tokens] = field(default_factory=dict)

    def over_modalities(self, measure: Callable[[Tensor], Float[Tensor, " batch"]]) -> Float[Tensor, ""]:
        """Sum a measure of the own heads' outputs over the modalities that an item has; the mean over the items."""
        each = [measure(out) * self.encoded[m].present for m, out in self.unimodal.items()]
        # By all items, so that a modality that few items have counts as little as it is seen.
        return sum(each[1:], start=each[0]).mean()


class Moment(NamedTuple):
    """Position of a batch in the training.

    Attributes:
        items: indices of its items among the training items, [batch].
        done: share of the training that is done.
        plain: the batch without augmentation, as the model sees it before this step, without gradient; for tasks with
            ``remembers``.
    """

    items: Tensor
    done: float
    plain: View | None = None
