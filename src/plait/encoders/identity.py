"""Features as tokens, unchanged: for heads that see all of the features themselves."""

from __future__ import annotations

import torch.nn.functional as F

from plait.core.errors import ConfigError
from plait.encoders import Encoder
from plait.tokens import Tokens

__all__ = ["Identity"]


class Identity(Encoder):
    """Every token as it is, with columns of zeros up to the model's width. Nothing is learned.

    For good features of few rows per item, such as those of frozen networks, where a task's head is a linear map of all
    of them (`plait.tasks.retrieve`, with canonical correlations).

    Args:
        dim_in: width of the incoming tokens.
        dim: width of the outgoing tokens, at least as many.

    Raises:
        ConfigError: there are more features than the model's width.

    >>> import torch
    >>> out = Identity(3, 8)(Tokens(torch.ones(2, 5, 3), torch.zeros(2, 5), torch.ones(2, 5, dtype=torch.bool)))
    >>> out.values[0, 0].tolist()
    [1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    """

    causal = True
    reach = 0

    def __init__(self, dim_in: int, dim: int) -> None:
        super().__init__()
        if dim_in > dim:
            raise ConfigError(f"identity: {dim_in} features do not fit into tokens of {dim}. Set model.dim: {dim_in}.")
        self.dim_in, self.dim = dim_in, dim

    def forward(self, tokens: Tokens) -> Tokens:
        tokens = tokens.clean()
        return tokens.with_values(F.pad(tokens.values, (0, self.dim - self.dim_in))).clean()
