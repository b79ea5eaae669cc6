"""Calibration."""

from __future__ import annotations

from plait.metrics import Metric, functional
from plait.metrics.functional import Array

__all__ = ["Ece"]


class Ece(Metric):
    """Expected calibration error over 15 bins: distance of confidence from accuracy (Guo et al. 2017, equation 3)."""

    of = "classes"
    higher_is_better = False
    bounds = (0.0, 1.0)
    rank = 41

    def __call__(self, target: Array, scores: Array) -> float:
        return functional.calibration_error(target, scores)
