"""One sequence of all tokens, for a task whose model reads them one by one."""

from __future__ import annotations

import torch
from torch import Tensor

from plait.fusion import Fusion
from plait.tokens import Tokens
from plait.tokens.tokens import cat

__all__ = ["Sequence"]


class Sequence(Fusion):
    """The tokens of all modalities one behind the other, unchanged, in the order of the modalities.

    For a model that attends over tokens itself, such as the language model of the task `unify`; each token keeps its
    seconds. Only the joint head answers. It has no weights.

    Args:
        modalities: their names; the order in which they are read.
        dim: width of their tokens, and of the result.

    >>> tokens = Tokens(torch.ones(1, 2, 4), torch.zeros(1, 2), torch.ones(1, 2) > 0)
    >>> Sequence(["a", "b"], 4)({"b": tokens, "a": tokens}).mask.shape
    torch.Size([1, 4])
    """

    family = "early"
    causal = True

    def forward(self, tokens: dict[str, Tokens]) -> Tokens:
        return cat(list(self.complete(tokens).values())).clean()

    def weights(self, tokens: dict[str, Tokens]) -> dict[str, Tensor]:
        """0: the modalities' own heads do not answer."""
        return {m: torch.zeros_like(t.present, dtype=t.values.dtype) for m, t in tokens.items()}
