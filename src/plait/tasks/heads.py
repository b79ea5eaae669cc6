"""The head that classification and regression share."""

from __future__ import annotations

from torch import Tensor, nn

from plait.tokens import Tokens, masked_mean_max

__all__ = ["PooledLinear"]


class PooledLinear(nn.Module):
    """Mean and maximum over an item's tokens, dropout, one linear layer.

    An item without tokens gets the bias alone: what is answered when nothing is known.

    Args:
        dim: width of the tokens.
        width: numbers an item in the output.
        dropout: share of the pooled numbers set to 0 in training.

    >>> import torch
    >>> tuple(PooledLinear(4, 3)(Tokens(torch.ones(2, 5, 4), torch.zeros(2, 5), torch.ones(2, 5) > 0)).shape)
    (2, 3)
    """

    def __init__(self, dim: int, width: int, dropout: float = 0.4) -> None:
        super().__init__()
        self.dropout, self.linear = nn.Dropout(dropout), nn.Linear(2 * dim, width)

    def forward(self, tokens: Tokens) -> Tensor:
        """[batch, time, dim] -> [batch, width]."""
        return self.linear(self.dropout(masked_mean_max(tokens)))
