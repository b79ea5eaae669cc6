"""Late fusion: a small layer learns what to make of the modalities' answers."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from plait.fusion import Fusion
from plait.fusion.late import Decision
from plait.tokens import Tokens

__all__ = ["Stacking"]


class Stacking(Decision):
    """The mean of the modalities' own outputs, plus a learned linear map of all of them side by side.

    Wolpert 1992, "Stacked generalization": a second level learns from the answers of the first which modality to
    believe for which class. A missing modality enters as zeros, with a flag beside it. The map begins at zero, so the
    start is the mean. Departure from the paper: both levels learn at once, on the same items, instead of the second on
    held-out answers; what over-confidence that leaves, ``train.temperature_scaling`` corrects on held-out items.

    Args:
        modalities: their names.
        dim: width of their tokens.

    >>> fusion = Stacking(["a", "b"], 4)
    >>> fusion.bind(3, values=False)
    >>> fusion.aggregate(torch.tensor([[[1.0, 2.0, 3.0]], [[3.0, 2.0, 9.0]]]), torch.ones(2, 1)).tolist()
    [[2.0, 2.0, 6.0]]
    """

    def bind(self, width: int, *, values: bool) -> None:
        super().bind(width, values=values)
        heads = len(self.modalities)
        self.second = nn.Linear(heads * (width + 1), width)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)

    def weights(self, tokens: dict[str, Tokens]) -> dict[str, Float[Tensor, " batch"]]:
        """1 where it is there."""
        return Fusion.weights(self, tokens)

    def aggregate(
        self, outputs: Float[Tensor, "heads batch width"], weights: Float[Tensor, "heads batch"]
    ) -> Float[Tensor, "batch width"]:
        there = weights > 0
        kept = torch.where(there[..., None], outputs, 0.0)
        mean = kept.sum(0) / there.sum(0).clamp(min=1)[:, None]
        seen = torch.cat([kept, there[..., None].to(kept.dtype)], -1)
        answer: Tensor = mean + self.second(seen.transpose(0, 1).flatten(1))
        return answer
