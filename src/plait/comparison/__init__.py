"""Which modalities to fuse, and how: many variants of a recipe, trained and compared."""
