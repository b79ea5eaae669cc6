"""What a task looks at once: units, splits, and batches of them."""
