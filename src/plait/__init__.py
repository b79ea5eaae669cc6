"""plait braids streams that tick at different rates into one model."""
