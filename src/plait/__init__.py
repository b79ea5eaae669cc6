"""plait braids streams that tick at different rates into one model."""

__version__ = "0.1.0"
