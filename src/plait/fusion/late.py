"""Late fusion: each modality answers by itself; the answers are averaged."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from plait.fusion import Fusion
from plait.tokens import Tokens

__all__ = ["Late"]


class Late(Fusion):
    """A weighted mean of the modalities' own outputs, with learned weights.

    The weights are the softmax of one learned number a modality over those that are there in the item, so
    they sum to 1 in every row whatever is missing. A mean and not a sum, so that it means the same for
    logits and for values in units: two modalities that agree on 3.5 answer 3.5. With nothing there the
    outputs add up to 0: equal probabilities, or the training mean.

    Args:
        modalities: their names.
        dim: width of their tokens.

    >>> fusion = Late(["a", "b"], 4)
    >>> def seen(*there):
    ...     mask = torch.tensor(there)[:, None]
    ...     return Tokens(torch.ones(len(there), 1, 4), torch.zeros(len(there), 1), mask)
    >>> {m: w.tolist() for m, w in fusion.weights({"a": seen(True, True), "b": seen(True, False)}).items()}
    {'a': [0.5, 1.0], 'b': [0.5, 0.0]}
    """

    joint = False

    def __init__(self, modalities: list[str], dim: int) -> None:
        super().__init__(modalities, dim)
        self.trust = nn.Parameter(torch.zeros(len(self.modalities)))

    def forward(self, tokens: dict[str, Tokens]) -> Tokens:
        """No tokens: there is nothing joint."""
        some = next(iter(self.complete(tokens).values()))
        return Tokens(some.values[:, :0], some.times[:, :0], some.mask[:, :0])

    def weights(self, tokens: dict[str, Tokens]) -> dict[str, Float[Tensor, " batch"]]:
        parts = self.complete(tokens)
        there = torch.stack([parts[m].present for m in self.modalities], 1)
        low = torch.finfo(self.trust.dtype).min
        share = torch.where(there, self.trust, low).softmax(1) * there  # the product: a row with nothing has no weights
        return {m: share[:, i] for i, m in enumerate(self.modalities) if m in tokens}
