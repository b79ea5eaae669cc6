"""Evaluation: every subset of modalities from one model, intervals, calibration, robustness."""
