"""The model: backbone, heads, and its file."""
