"""What a task is given to learn from."""

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
    """A batch, as a model saw it once.

    Attributes:
        encoded: each modality's tokens, [batch, time, dim].
        unimodal: what each modality's own head says, [batch, width].
        fused: what the fusion says of what it was shown (of a late fusion: its mix), [batch, width].
        whole: what all heads together say of everything that is there, [batch, width].
        partial: what the fusion says of a part of the modalities; None where nobody asked.
        teacher: ``whole``, without a gradient, where it knows more than any single head; else None.
        features: standardised features, nothing hidden; for tasks that say ``sees_features``.
        shown: raw features, as the encoders got them; for the same.
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
        """Mean over the items of the sum over the modalities that each has, of a measure of their own outputs."""
        each = [measure(out) * self.encoded[m].present for m, out in self.unimodal.items()]
        return sum(each[1:], start=each[0]).mean()


class Moment(NamedTuple):
    """Where a batch stands in the training.

    Attributes:
        items: places of its items among the training items, [batch].
        done: share of the training that is done.
        plain: the batch as it is, not varied, as the model saw it before this step, without a gradient; for tasks that
            say ``remembers``.
    """

    items: Tensor
    done: float
    plain: View | None = None
