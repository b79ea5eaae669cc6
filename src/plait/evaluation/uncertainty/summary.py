"""What an evaluation says of uncertainty: abstention, and conformal sets or intervals."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from plait.evaluation.intervals import Floats
from plait.evaluation.replicates import ReplicateOutput, Subset
from plait.evaluation.schema import Abstention, Conformal, KeptThresholds
from plait.evaluation.uncertainty.abstention import risk_coverage
from plait.evaluation.uncertainty.conformal import across_groups, band, resplit
from plait.models.conformal import Calibrated, nonconformity, one_each, threshold

__all__ = ["LEVEL", "abstention_of", "conformal_of", "kept_of", "uncertainty_of"]

LEVEL = 0.9
"""How often conformal sets are to hold the truth."""

DRAWS, POINTS, FEWEST = 200, 60, 20
"""Halves that are drawn; points of a curve; items with which a half says something."""


def uncertainty_of(
    pools: Sequence[ReplicateOutput], full: Subset, *, classes: bool, values: bool
) -> dict[str, Abstention | Conformal]:
    """``abstention`` and ``conformal``, of tasks with one class or one value per item; else nothing.

    Args:
        pools: one per seed.
        full: all modalities.
        classes, values: what the task answers.
    """
    scores, target = np.asarray(pools[0].outputs[full]), np.asarray(pools[0].target)
    if not (classes or values) or not one_each(scores, target, values=not classes):
        return {}
    found: dict[str, Abstention | Conformal] = {"abstention": abstention_of(pools, full)} if classes else {}
    conformal = conformal_of(pools, full)
    return found if conformal is None else {**found, "conformal": conformal}


def abstention_of(pools: Sequence[ReplicateOutput], full: Subset) -> Abstention:
    """Risk against coverage, all seeds together; the curve at most at `POINTS` places."""
    scores, target = _together(pools, full)
    found = risk_coverage(scores, target.astype(np.intp))
    places = np.unique(np.linspace(0, len(scores) - 1, POINTS).round().astype(int))
    return {
        "coverage": found.coverage[places].tolist(),
        "risk": found.risk[places].tolist(),
        "area": found.area,
        "best": found.best,
        "chance": found.chance,
    }


def conformal_of(pools: Sequence[ReplicateOutput], full: Subset) -> Conformal | None:
    """Conformal sets of classes, or intervals of values, by the test items of the first seed; None with few items.

    The promise is checked on halves of the items, drawn anew: these are exchangeable. Whole groups, each by a threshold
    from the others, are told apart.
    """
    scores, target = _together(pools[:1], full)
    if len(scores) < FEWEST:
        return None
    values, groups = nonconformity(scores, target), np.asarray(pools[0].groups)
    coverage, half = resplit(values, LEVEL, draws=DRAWS), len(values) // 2
    low, high = band(half, len(values) - half, LEVEL)
    limit = threshold(values, LEVEL)
    wide = float((1 - scores <= limit).sum(1).mean()) if scores.shape[1] > 1 else 2 * limit
    result: Conformal = {
        "level": LEVEL,
        "kind": "sets" if scores.shape[1] > 1 else "intervals",
        "size": wide,
        "draws": DRAWS,
        "coverage": float(coverage.mean()),
        "single": float(coverage[0]),
        "band": [low, high],
    }
    if len(np.unique(groups)) > 1:
        held = across_groups(values, groups, LEVEL)
        worst = min(held.each, key=lambda g: held.each[g])
        result["by_group"] = {
            "groups": len(held.each),
            "coverage": held.coverage,
            "sd": float(np.std([*held.each.values()], ddof=1)),
            "worst": {"group": worst, "coverage": held.each[worst]},
        }
    return result


def kept_of(replicates: Sequence[tuple[Sequence[Calibrated], ReplicateOutput]]) -> KeptThresholds | None:
    """How the thresholds that a run keeps for its answers do on its test items; None where it keeps none.

    Test items are often of other groups than those of the validation part, of which nothing is promised.

    Args:
        replicates: the thresholds and the test answers of each.
    """
    inside, wide, first = list[NDArray[np.bool_]](), list[Floats](), None
    for kept, output in replicates:
        full = max(output.outputs, key=len)
        scores = np.asarray(output.outputs[full], np.float64)
        for one in (c for c in kept if set(c.modalities) <= set(full)):
            # Each item is answered from what it has.
            own = np.all([output.present[m] == (m in one.modalities) for m in full], 0)
            limit = one.limit(LEVEL)
            inside.append(nonconformity(scores[own], np.asarray(output.target)[own]) <= limit)
            wide.append((1 - scores[own] <= limit).sum(1) if scores.shape[1] > 1 else np.full(own.sum(), 2 * limit))
            first = one if first is None or len(one.modalities) > len(first.modalities) else first
    if first is None or not sum(map(len, inside)):
        return None
    size = float(np.concatenate(wide).mean())
    return {
        "items": first.items,
        "groups": first.groups,
        "coverage": float(np.concatenate(inside).mean()),
        "size": size if np.isfinite(size) else None,
    }


def _together(pools: Sequence[ReplicateOutput], full: Subset) -> tuple[Floats, Floats]:
    """Scores and targets of all items of all seeds."""
    scores = np.concatenate([np.asarray(p.outputs[full], np.float64) for p in pools])
    return scores, np.concatenate([np.asarray(p.target) for p in pools])
