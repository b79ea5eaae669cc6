"""Features -> padded, masked batches."""

from plait.tokens.instants import Instants
from plait.tokens.tokens import Tokens, cat, masked_mean_max

__all__ = ["Instants", "Tokens", "cat", "masked_mean_max"]
