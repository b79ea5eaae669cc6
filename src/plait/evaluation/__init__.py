"""Evaluation: metrics, intervals, every subset of modalities, robustness, and the report."""
