"""Features -> padded, masked batches."""

from plait.tokens.tokens import Tokens, cat, masked_mean_max

__all__ = ["Tokens", "cat", "masked_mean_max"]
