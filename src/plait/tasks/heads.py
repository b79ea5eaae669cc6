"""Heads: linear maps of tokens, with one output per item or per instant."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from plait.tokens import Instants, Tokens, masked_mean_max
from plait.tokens.instants import at_instants

__all__ = ["PooledLinear", "TimedLinear"]


class PooledLinear(nn.Module):
    """Mean and maximum over an item's tokens, dropout, one linear layer.

    An item without tokens gets the bias alone: the answer when nothing is known.

    Args:
        dim: width of the tokens.
        width: numbers per item in the output.
        dropout: share of the pooled numbers set to 0 in training.

    >>> import torch
    >>> tuple(PooledLinear(4, 3)(Tokens(torch.ones(2, 5, 4), torch.zeros(2, 5), torch.ones(2, 5) > 0)).shape)
    (2, 3)
    """

    def __init__(self, dim: int, width: int, dropout: float = 0.4) -> None:
        super().__init__()
        self.dropout, self.linear = nn.Dropout(dropout), nn.Linear(2 * dim, width)

    def forward(self, tokens: Tokens) -> Float[Tensor, "batch width"]:
        """[batch, time, dim] -> [batch, width]."""
        out: Tensor = self.linear(self.dropout(masked_mean_max(tokens)))
        return out


class TimedLinear(nn.Module):
    """The tokens at each instant (`plait.tokens.instants.at_instants`), dropout, one linear layer.

    An item without tokens gets the bias alone at all its instants.

    Args:
        dim: width of the tokens.
        width: numbers per instant in the output.
        dropout: share of the numbers set to 0 in training.
        causal: whether an instant sees only what was observed until then.

    >>> import torch
    >>> tokens = Tokens(torch.ones(2, 5, 4), torch.arange(5.0).expand(2, 5), torch.ones(2, 5) > 0)
    >>> at = Instants(torch.tensor([[0.5, 1.5, 2.5]]).expand(2, 3), torch.ones(2, 3) > 0)
    >>> tuple(TimedLinear(4, 7)(tokens, at).shape)
    (2, 3, 7)
    """

    def __init__(self, dim: int, width: int, dropout: float = 0.4, *, causal: bool = False) -> None:
        super().__init__()
        self.dropout, self.linear, self.causal = nn.Dropout(dropout), nn.Linear(dim, width), causal

    def forward(self, tokens: Tokens, at: Instants) -> Float[Tensor, "batch steps width"]:
        """[batch, time, dim] -> [batch, steps, width]."""
        out: Tensor = self.linear(self.dropout(at_instants(tokens, at, causal=self.causal)))
        return out
