"""Examples: what a task looks at once. Units cut them, splits divide them, batches collect them."""
