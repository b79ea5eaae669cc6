"""Streams of different rates brought together: joined with words or instants, resampled, warped."""
