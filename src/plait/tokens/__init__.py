"""Features -> padded, masked batches."""

from plait.tokens.instants import Instants, Reference
from plait.tokens.tokens import Tokens, cat, masked_mean_max

__all__ = ["Instants", "Reference", "Tokens", "cat", "masked_mean_max"]
