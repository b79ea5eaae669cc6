"""One Lightning module, its data, and checkpoints without pickle."""
