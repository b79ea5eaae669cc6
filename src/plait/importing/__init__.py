"""A folder becomes a corpus."""
