"""What each modality brings: left out, and as its Shapley share, overall and by item, class and group."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from plait.evaluation.breakdown import MOST_GROUPS
from plait.evaluation.contribution.item_values import ItemValues, item_values
from plait.evaluation.contribution.shapley import MOST, game_of, interactions, shapley
from plait.evaluation.intervals import Floats, Units, difference_of
from plait.evaluation.replicates import ReplicateOutput, Scored, Subset
from plait.evaluation.rows import interval_row
from plait.evaluation.schema import Contribution, Interaction, ItemShares, ShareRow

__all__ = ["contributions_of", "interactions_of", "item_shares"]

MOST_ROWS = 2000
"""Items whose shares are kept one by one."""


def contributions_of(
    left_out: Mapping[Subset, Floats], constant: Floats, full: Subset, sign: int, units: Units
) -> list[Contribution]:
    """What each modality adds to the others, the most needed first, and its Shapley value; above 0 is better.

    Args:
        left_out: the main metric of each subset, of all units and without each in turn, [1 + units].
        constant: the same of the constant answer.
        full: all modalities.
        sign: -1 where a lower metric is better.
        units: what is left out together.
    """
    game = game_of(left_out, full, constant) if len(full) <= MOST else None
    fair = [None] * len(full) if game is None else sign * shapley(game)
    found: list[tuple[float, Contribution]] = []
    for gone, share in zip(full, fair):
        rest = left_out.get(tuple(m for m in full if m != gone))
        if rest is not None:
            gain = sign * difference_of(left_out[full], rest)
            row: Contribution = {"modality": gone, "gain": float(gain[0]), "interval": interval_row(gain, units)}
            if share is not None:
                row |= {"shapley": float(share[0]), "shapley_interval": interval_row(_rounded(share), units)}
            found.append((float(gain[0]), row))
    ranked = sorted(found, key=lambda f: -f[0] if math.isfinite(f[0]) else math.inf)
    return [row for _, row in ranked]


def interactions_of(
    left_out: Mapping[Subset, Floats], constant: Floats, full: Subset, sign: int, units: Units
) -> list[Interaction]:
    """How much more each two modalities bring together than each alone; arguments as for `contributions_of`."""
    game = game_of(left_out, full, constant) if len(full) <= MOST else None
    if game is None:
        return []
    table = sign * interactions(game)
    return [
        {
            "modalities": [full[i], full[j]],
            "value": float(table[i, j, 0]),
            "interval": interval_row(_rounded(table[i, j]), units),
        }
        for i in range(len(full))
        for j in range(i + 1, len(full))
    ]


def item_shares(
    pools: Sequence[ReplicateOutput], task: Scored, full: Subset, classes: Sequence[str]
) -> ItemShares | None:
    """Shapley shares of each item's value, and their means by class and group; mean over seeds.

    None where the task has no value of one item, or where a subset was not answered.

    Args:
        pools: one per seed.
        task: see `item_values`.
        full: all modalities.
        classes: names of the classes, if there are any.
    """
    found = [_of_pool(p, task, full) for p in pools]
    told = [one for one in found if one is not None]
    if len(told) < len(pools) or len(full) > MOST:
        return None
    table = np.concatenate([values for values, _ in told], 1)
    items, groups = ([x for p in pools for x in getattr(p, name)] for name in ("items", "groups"))
    rows = _means(table, items, dict(zip(items, groups)))
    result: ItemShares = {
        "unit": told[0][1],
        "modalities": list(full),
        "mean": _mean(table).tolist(),
        "per_class": [],
        "per_group": _grouped(table, groups) if len(set(groups)) <= MOST_GROUPS else [],
        "items": rows[:MOST_ROWS],
        "more": max(len(rows) - MOST_ROWS, 0),
    }
    if classes and np.ndim(pools[0].target) == 1:
        truth = [classes[int(t)] if 0 <= t < len(classes) else "" for p in pools for t in np.asarray(p.target)]
        result["per_class"] = _grouped(table, truth)
    return result


def _of_pool(pool: ReplicateOutput, task: Scored, full: Subset) -> tuple[Floats, str] | None:
    """The share of each modality and item of one seed, [modalities, items], and its unit."""
    target = np.asarray(pool.target)
    values: dict[Subset, ItemValues] = {}
    for subset, scores in {**pool.outputs, (): pool.baseline}.items():
        own = item_values(task, np.asarray(scores), target)
        if own is None:
            return None
        values[subset] = own
    game = game_of({s: v.values for s, v in values.items()}, full, values[()].values)
    return None if game is None else (shapley(game), values[()].unit)


def _mean(table: Floats) -> Floats:
    known = np.isfinite(table).all(0)
    mean: Floats = table[:, known].mean(1) if known.any() else np.full(len(table), np.nan)
    return mean


def _grouped(table: Floats, names: Sequence[str]) -> list[ShareRow]:
    own = np.asarray(names)
    return [
        {"name": str(name), "items": int((own == name).sum()), "values": _mean(table[:, own == name]).tolist()}
        for name in np.unique(own)
    ]


def _means(table: Floats, items: Sequence[str], groups: Mapping[str, str]) -> list[ShareRow]:
    """A row per item, its mean over seeds."""
    names, codes = np.unique(np.asarray(items), return_inverse=True)
    counts = np.bincount(codes)
    means = np.stack([np.bincount(codes, row) / counts for row in table], 1)
    return [
        {"name": str(name), "items": 1, "group": str(groups[str(name)]), "values": row.tolist()}
        for name, row in zip(names, means)
    ]


def _rounded(values: Floats) -> Floats:
    """Shares that differ by rounding only become one, so that they have no interval of that width."""
    return np.where(np.abs(values - values[0]) <= 1e-12 * max(1.0, float(np.abs(values[0]))), values[0], values)
