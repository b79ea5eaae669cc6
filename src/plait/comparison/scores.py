"""The numbers of a comparison: every variant scored on the same items, with the same groups left out in turn."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from plait.comparison.variants import ALONE, FUSION, Variant
from plait.core.errors import DataError
from plait.evaluation.intervals import Floats, Units, difference_of, interval_of
from plait.evaluation.members import MemberOutput, Scored, widths_of
from plait.evaluation.summary import interval_facts, rows_of

__all__ = ["CONSTANT", "key_of", "merged", "scored", "significant", "subsets_for"]

CONSTANT = "constant"
"""The row of the best constant answer."""

Subset = tuple[str, ...]


def key_of(variant: Variant, subset: Subset) -> str:
    """The name of a variant's answers with some of its modalities only."""
    return json.dumps([variant.name, *subset])


def subsets_for(variant: Variant) -> list[Subset]:
    """With which of its modalities a variant answers: with all; a fusion also with each alone and with all but one."""
    full = variant.modalities
    if variant.kind != FUSION:
        return [full]
    fewer = [(m,) for m in full] + [tuple(m for m in full if m != gone) for gone in full]
    return [full, *dict.fromkeys(s for s in fewer if len(s) < len(full))]


def significant(difference: float, low: float, high: float, sd: float | None) -> bool:
    """Whether a paired difference is significant: more than chance.

    Its 95 % interval leaves out 0, and it is no smaller than its own spread over seeds. Where there is no interval
    (NaN: the groups are too few), nothing is claimed.

    >>> significant(0.03, 0.01, 0.05, None), significant(0.03, -0.01, 0.05, None)
    (True, False)
    >>> significant(0.03, math.nan, math.nan, None), significant(0.03, 0.01, 0.05, 0.04)
    (False, False)
    """
    if not all(map(math.isfinite, (difference, low, high))):
        return False
    return (low > 0 or high < 0) and (sd is None or sd < abs(difference))


def merged(member: MemberOutput, answers: Mapping[str, tuple[Floats, Any]]) -> MemberOutput:
    """One member whose outputs are those of all variants, {key: (scores, whether anything was there)}, and a constant.

    Raises:
        DataError: the scores differ in width, since the folds' training parts do not have the same classes.
    """
    nothing = np.zeros(len(member.items), bool)
    return replace(
        member,
        outputs={**{(key,): scores for key, (scores, _) in answers.items()}, (CONSTANT,): member.baseline},
        present={**{key: there for key, (_, there) in answers.items()}, CONSTANT: nothing},
    )


def scored(task: Scored, variants: Sequence[Variant], members: Sequence[MemberOutput]) -> dict[str, Any]:
    """Values, intervals and paired differences of all variants.

    Args:
        members: one a seed and fold, as `merged` makes them.

    Returns:
        ``variants`` (a row each), ``baseline``, ``differences`` (between any two), ``subsets`` (what a fusion answers
        with some of its modalities, beside the variant that was trained for these), ``items``, ``groups``,
        ``intervals`` (how they were computed).
        Differences are in the metric's own units, and above 0 where the first is the better one.
    """
    if len(widths := widths_of(members)) > 1:
        raise DataError(
            f"split: the training parts of the folds have {' and '.join(map(str, sorted(widths)))} classes. Ask for "
            "fewer folds (tune), so that each has all of them."
        )
    rows, left_out, units = rows_of(task, members)
    table = _Table(task, dict(zip([key for (key,) in members[0].outputs], zip(rows, left_out))), units)
    full = {v.name: key_of(v, v.modalities) for v in variants}
    return {
        "items": len({i for m in members for i in m.items}),
        "groups": units.groups,
        "intervals": interval_facts(units),
        "baseline": table.value(CONSTANT),
        "variants": [_facts(v) | table.value(full[v.name]) for v in variants],
        "differences": [
            {"a": a, "b": b, **table.difference(full[a], full[b])} for a, b in itertools.combinations(full, 2)
        ],
        "subsets": [row for v in variants if v.kind == FUSION for row in _subsets(v, variants, table)],
    }


def _facts(variant: Variant) -> dict[str, Any]:
    return {
        "name": variant.name,
        "title": variant.title,
        "kind": variant.kind,
        "family": variant.family,
        "modalities": list(variant.modalities),
        "fusion": None if variant.kind == ALONE else variant.recipe.fusion,
    }


def _subsets(variant: Variant, variants: Sequence[Variant], table: _Table) -> list[dict[str, Any]]:
    """What one model answers with some of its modalities, the one trained for them beside it, and with all of them."""
    whole, found = key_of(variant, variant.modalities), []
    for subset in subsets_for(variant)[1:]:
        own = key_of(variant, subset)
        value = {k: v for k, v in table.value(own).items() if k != "metrics"}
        row = {"variant": variant.name, "modalities": list(subset), **value, "dedicated": None}
        row["gain_of_all"] = table.difference(whole, own)
        for other in variants:
            if other.kind != FUSION and other.modalities == subset:
                row["dedicated"] = other.name
                row["gain_of_dedicated"] = table.difference(key_of(other, subset), own)
        found.append(row)
    return found


class _Table:
    """By key: rows, and the main metric with all and without each unit in turn."""

    def __init__(self, task: Scored, rows: Mapping[str, tuple[dict[str, Any], Floats]], units: Units) -> None:
        self.metric, self.sign = task.main_metric, 1 if task.higher_is_better else -1
        self.rows, self.units = rows, units

    def value(self, key: str) -> dict[str, Any]:
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

    def difference(self, a: str, b: str) -> dict[str, Any]:
        """How much better ``a`` is than ``b``, without the same units."""
        (one, x), (two, y) = self.rows[a], self.rows[b]
        seeds = self.sign * np.subtract(*(r["metrics"][self.metric]["per_seed"] for r in (one, two)))
        interval = asdict(interval_of(self.sign * difference_of(x, y), self.units))
        found = {
            "difference": float(seeds.mean()),
            "low": interval["low"],
            "high": interval["high"],
            "sd": float(seeds.std(ddof=1)) if len(seeds) > 1 else None,
        }
        return found | {"reason": interval["reason"], "significant": significant(**found)}
