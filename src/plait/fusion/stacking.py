"""Late fusion: a linear layer learns to combine the modalities' outputs."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from plait.fusion import Fusion
from plait.fusion.late import Decision
from plait.tokens import Tokens

__all__ = ["Stacking"]


class Stacking(Decision):
    """The mean of the modalities' own outputs, plus a learned linear map of their concatenation.

    Wolpert 1992, "Stacked generalization": a second level learns from the answers of the first which modality to trust
    for which class. A missing modality enters as zeros, with a flag. The map starts at zero, so training starts from
    the mean. Departure from the paper: both levels are trained at once, on the same items, where the paper trains the
    second on held-out answers. ``train.temperature_scaling`` corrects the remaining overconfidence on held-out items.

    Args:
        modalities: their names.
        dim: width of their tokens.

    >>> fusion = Stacking(["a", "b"], 4)
    >>> fusion.bind(3, is_numeric=False)
    >>> fusion.aggregate(torch.tensor([[[1.0, 2.0, 3.0]], [[3.0, 2.0, 9.0]]]), torch.ones(2, 1)).tolist()
    [[2.0, 2.0, 6.0]]
    """

    def bind(self, n_outputs: int, *, is_numeric: bool) -> None:
        super().bind(n_outputs, is_numeric=is_numeric)
        heads = len(self.modalities)
        self.second = nn.Linear(heads * (n_outputs + 1), n_outputs)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)

    def weights(self, tokens: dict[str, Tokens]) -> dict[str, Float[Tensor, " batch"]]:
        """1 where the modality is present."""
        return Fusion.weights(self, tokens)

    def aggregate(
        self, outputs: Float[Tensor, "heads batch width"], weights: Float[Tensor, "heads batch"]
    ) -> Float[Tensor, "batch width"]:
        # a missing modality's head still answers, from no tokens: its output must not reach the layer
        there = weights > 0
        kept = torch.where(there[..., None], outputs, 0.0)
        mean = kept.sum(0) / there.sum(0).clamp(min=1)[:, None]
        seen = torch.cat([kept, there[..., None].to(kept.dtype)], -1)
        answer: Tensor = mean + self.second(seen.transpose(0, 1).flatten(1))
        return answer
