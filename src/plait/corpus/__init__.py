"""Recordings on disk: the manifest, and what stands in it."""
