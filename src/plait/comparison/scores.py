"""The numbers of a comparison: every variant scored on the same items, with the same groups left out in turn."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from plait.comparison.schema import Gap, Scores, SubsetRow, ValueRow, VariantFacts
from plait.comparison.variants import ALONE, FUSION, Variant
from plait.core.errors import DataError
from plait.evaluation.intervals import Floats, Units, difference_of, interval_of
from plait.evaluation.replicates import ReplicateOutput, Scored, widths_of
from plait.evaluation.schema import SubsetRow as MetricsRow
from plait.evaluation.summary import interval_facts, rows_of

__all__ = ["CONSTANT", "key_of", "merged", "scored", "significant", "subsets_for"]

CONSTANT = "constant"
"""The row of the best constant answer."""

Subset = tuple[str, ...]


def key_of(variant: Variant, subset: Subset) -> str:
    """The name of a variant's answers with some of its modalities only."""
    # JSON, as any sign that could join the names may stand in a modality's name.
    return json.dumps([variant.name, *subset])


def subsets_for(variant: Variant) -> list[Subset]:
    """The subsets of its modalities that a variant answers with: all; a fusion also with each alone and all but one."""
    full = variant.modalities
    if variant.kind != FUSION:
        return [full]
    fewer = [(m,) for m in full] + [tuple(m for m in full if m != gone) for gone in full]
    return [full, *dict.fromkeys(s for s in fewer if len(s) < len(full))]


def significant(difference: float, low: float, high: float, sd: float | None) -> bool:
    """Whether a paired difference is significant: more than chance.

    Its 95 % interval leaves out 0, and the difference is larger than its standard deviation over seeds. Without an
    interval (NaN: too few groups) nothing is claimed.

    >>> significant(0.03, 0.01, 0.05, None), significant(0.03, -0.01, 0.05, None)
    (True, False)
    >>> significant(0.03, math.nan, math.nan, None), significant(0.03, 0.01, 0.05, 0.04)
    (False, False)
    """
    if not all(map(math.isfinite, (difference, low, high))):
        return False
    return (low > 0 or high < 0) and (sd is None or sd < abs(difference))


def merged(replicate: ReplicateOutput, answers: Mapping[str, tuple[Floats, NDArray[np.bool_]]]) -> ReplicateOutput:
    """A replicate with the outputs of all variants, {key: (scores, whether any modality was there)}, and a constant's.

    Raises:
        DataError: the scores differ in width, since the folds' training parts do not have the same classes.
    """
    # Variants take the place of modalities, so that one call scores them all with the same groups left out.
    nothing = np.zeros(len(replicate.items), bool)
    return replace(
        replicate,
        outputs={**{(key,): scores for key, (scores, _) in answers.items()}, (CONSTANT,): replicate.baseline},
        present={**{key: there for key, (_, there) in answers.items()}, CONSTANT: nothing},
    )


def scored(task: Scored, variants: Sequence[Variant], replicates: Sequence[ReplicateOutput]) -> Scores:
    """Values, intervals and paired differences of all variants.

    Args:
        replicates: one per seed and fold, as `merged` makes them.

    Returns:
        The rows of variants, of all pairs, and of what fusions answer with some of their modalities. Differences are in
        the metric's own units, and above 0 where the first is the better one.
    """
    # Checked here too, where the remedy (tune) is known.
    if len(widths := widths_of(replicates)) > 1:
        raise DataError(
            f"split: the training parts of the folds have {' and '.join(map(str, sorted(widths)))} classes. Ask for "
            "fewer folds (tune), so that each has all of them."
        )
    rows, left_out, units = rows_of(task, replicates)
    table = _Table(task, dict(zip([key for (key,) in replicates[0].outputs], zip(rows, left_out))), units)
    full = {v.name: key_of(v, v.modalities) for v in variants}
    return {
        "items": len({i for m in replicates for i in m.items}),
        "groups": units.groups,
        "intervals": interval_facts(units),
        "baseline": table.value(CONSTANT),
        "variants": [{**_facts(v), **table.value(full[v.name])} for v in variants],
        "differences": [
            {"a": a, "b": b, **table.difference(full[a], full[b])} for a, b in itertools.combinations(full, 2)
        ],
        "subsets": [row for v in variants if v.kind == FUSION for row in _subsets(v, variants, table)],
    }


def _facts(variant: Variant) -> VariantFacts:
    return {
        "name": variant.name,
        "title": variant.title,
        "kind": variant.kind,
        "family": variant.family,
        "modalities": list(variant.modalities),
        "fusion": None if variant.kind == ALONE else variant.recipe.fusion,
    }


def _subsets(variant: Variant, variants: Sequence[Variant], table: _Table) -> list[SubsetRow]:
    """A row per subset: one model's answer with it, against all modalities and against the model trained for it."""
    whole = key_of(variant, variant.modalities)
    found: list[SubsetRow] = []
    for subset in subsets_for(variant)[1:]:
        own = key_of(variant, subset)
        value = table.value(own)
        row: SubsetRow = {
            "variant": variant.name,
            "modalities": list(subset),
            "value": value["value"],
            "sd": value["sd"],
            "per_seed": value["per_seed"],
            "low": value["low"],
            "high": value["high"],
            "reason": value["reason"],
            "answered": value["answered"],
            "dedicated": None,
            "gain_of_all": table.difference(whole, own),
        }
        for other in variants:
            if other.kind != FUSION and other.modalities == subset:
                row["dedicated"] = other.name
                row["gain_of_dedicated"] = table.difference(key_of(other, subset), own)
        found.append(row)
    return found


class _Table:
    """By key: rows, and the main metric of all units and without each unit in turn."""

    def __init__(self, task: Scored, rows: Mapping[str, tuple[MetricsRow, Floats]], units: Units) -> None:
        self.metric, self.sign = task.main_metric, 1 if task.higher_is_better else -1
        self.rows, self.units = rows, units

    def value(self, key: str) -> ValueRow:
        row, _ = self.rows[key]
        main, interval = row["metrics"][self.metric], row["interval"]
        return {
            "value": main["mean"],
            "sd": main["sd"],
            "per_seed": main["per_seed"],
            "low": interval["low"],
            "high": interval["high"],
            "reason": interval["reason"],
            "answered": row["answered"],
            "metrics": {name: found["mean"] for name, found in row["metrics"].items()},
        }

    def difference(self, a: str, b: str) -> Gap:
        """How much better ``a`` is than ``b``; the same units are left out of both."""
        (one, x), (two, y) = self.rows[a], self.rows[b]
        per_seed = [np.asarray(r["metrics"][self.metric]["per_seed"], np.float64) for r in (one, two)]
        # Paired by seed, as `sd` is to be the spread of the difference, and not of either value.
        seeds = self.sign * np.subtract(*per_seed)
        difference, sd = float(seeds.mean()), float(seeds.std(ddof=1)) if len(seeds) > 1 else None
        interval = interval_of(self.sign * difference_of(x, y), self.units)
        return {
            "difference": difference,
            "low": interval.low,
            "high": interval.high,
            "sd": sd,
            "reason": interval.reason,
            "significant": significant(difference, interval.low, interval.high, sd),
        }
