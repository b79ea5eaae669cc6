"""The model: its parts put together, its file."""
