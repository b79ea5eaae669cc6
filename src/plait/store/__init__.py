"""Prepared features: made once, kept, packed, aligned."""
