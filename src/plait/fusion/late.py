"""Late fusion: each modality answers by itself, and the answers are combined."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor, nn

from plait.fusion import Fusion
from plait.tokens import Tokens

__all__ = ["Decision", "Late", "share"]


class Decision(Fusion, ABC):
    """A fusion of the modalities' own outputs, without joint tokens.

    `weights` depends on the tokens; `aggregate` may depend on the outputs too.
    """

    family = "late"
    joint = False

    def forward(self, tokens: dict[str, Tokens]) -> Tokens:
        """An empty sequence: there are no joint tokens."""
        some = next(iter(self.complete(tokens).values()))
        return Tokens(some.values[:, :0], some.times[:, :0], some.mask[:, :0])

    @abstractmethod
    def weights(self, tokens: dict[str, Tokens]) -> dict[str, Float[Tensor, " batch"]]:
        """Weight of each modality's output: 0 where it is missing, above 0 where it is present."""


class Late(Decision):
    """A weighted mean of the modalities' own outputs, with learned weights.

    The weights are the softmax, over the item's present modalities, of one learned number per modality, so they sum to
    1 whatever is missing. A mean and not a sum, so that it also works for values in units: if two modalities answer
    3.5, the result is 3.5. Without any modality the output is 0: equal probabilities, or the training mean.

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

    causal = True

    def __init__(self, modalities: list[str], dim: int) -> None:
        super().__init__(modalities, dim)
        self.trust = nn.Parameter(torch.zeros(len(self.modalities)))

    def weights(self, tokens: dict[str, Tokens]) -> dict[str, Float[Tensor, " batch"]]:
        parts = self.complete(tokens)
        there = torch.stack([parts[m].present for m in self.modalities], 1)
        found = share(self.trust.expand(there.shape), there)
        return {m: found[:, i] for i, m in enumerate(self.modalities) if m in tokens}


def share(scores: Tensor, there: Tensor, dim: int = 1) -> Tensor:
    """Softmax of ``scores`` over the present modalities, 0 for the others; all 0 where none is present.

    >>> share(torch.zeros(1, 3), torch.tensor([[True, True, False]])).tolist()
    [[0.5, 0.5, 0.0]]
    """
    # the smallest number and not -inf: a row of -inf alone would be NaN. The product then sets such a row to 0
    low = torch.finfo(scores.dtype).min
    return torch.where(there, scores, low).softmax(dim) * there
