"""A trained model's answers about new recordings."""
