"""Tokens of an item packed into places, as a language model reads them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from plait.core.errors import DataError
from plait.tokens import Tokens

__all__ = ["FACTS", "Packing"]

FACTS = 2
"""Columns of a place in the output before its values: whether nothing is there, and its seconds."""


class Packing(nn.Module):
    """Tokens packed into a fixed number of places: those that are there, in their order.

    Args:
        dim: width of the tokens.
        context: number of places.

    >>> tokens = Tokens(torch.ones(2, 3, 4), torch.zeros(2, 3), torch.tensor([[True, False, True]] * 2))
    >>> Packing(4, 5)(tokens).unflatten(1, (5, 6))[0, :, 0].tolist()
    [0.0, 0.0, 1.0, 1.0, 1.0]
    """

    def __init__(self, dim: int, context: int) -> None:
        super().__init__()
        self.dim, self.context = dim, context

    def forward(self, tokens: Tokens) -> Float[Tensor, "batch width"]:
        """[batch, time, dim] -> [batch, context * (2 + dim)].

        Raises:
            DataError: an item has more tokens than there are places.
        """
        tokens = tokens.clean()
        count = tokens.mask.sum(1)
        if (
            not torch.compiler.is_compiling()
            and tokens.mask.shape[1] > self.context
            and int(count.max()) > self.context
        ):
            raise DataError(
                f"unify.context_length: an item has {int(count.max())} tokens of all streams together, but the "
                f"language model reads {self.context}. Stride the encoders more, cut shorter items or ask less, or "
                "raise context_length."
            )
        absent = (~tokens.mask).to(tokens.values.dtype)
        facts = torch.stack([absent, tokens.times.to(tokens.values.dtype)], -1)
        rows = F.pad(torch.cat([facts, tokens.values], -1), (0, 0, 0, self.context))
        absent = F.pad(absent, (0, self.context), value=1.0)
        order = absent.to(torch.uint8).argsort(dim=1, stable=True)[:, : self.context]
        rows = rows.gather(1, order[..., None].expand(-1, -1, rows.shape[2]))
        return torch.cat([absent.gather(1, order)[..., None], rows[..., 1:]], -1).flatten(1)
