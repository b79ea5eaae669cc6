"""Features -> padded, masked batches."""

from plait.tokens.instants import Instants, Pairs, Reference
from plait.tokens.tokens import Tokens, cat, masked_mean_max

__all__ = ["Instants", "Pairs", "Reference", "Tokens", "cat", "masked_mean_max"]
