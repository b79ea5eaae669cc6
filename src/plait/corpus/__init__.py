"""Recordings on disk: the manifest and its content."""
