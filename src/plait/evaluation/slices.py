"""Where the model is worse: parts of the items by what is known of them, with a correction for looking at many.

Each part is compared with the rest of the items; groups are left out in turn (`plait.evaluation.intervals`), and the
p-values of all parts together are corrected (Holm 1979, "A simple sequentially rejective multiple test procedure",
Scandinavian Journal of Statistics 6). A part that is one group cannot be left out of itself: it is compared with the
spread of the other groups.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from plait.evaluation.breakdown import main_metric
from plait.evaluation.intervals import (
    FEWEST_GROUPS,
    MOST_BLOCKS,
    Floats,
    Kernel,
    Units,
    difference_of,
    jackknife_p,
    leave_one_out,
)
from plait.evaluation.kernels import kernel_for
from plait.evaluation.replicates import ReplicateOutput, Scored, Subset, scorer_of
from plait.evaluation.rows import interval_row
from plait.evaluation.schema import SliceRow

__all__ = ["FEWEST_ITEMS", "MOST_VALUES", "holm", "slices_of"]

FEWEST_ITEMS = 10
"""Items that a part must have, and leave."""

MOST_VALUES, MOST_PARTS = 30, 3
"""Texts with more values than this are names of single items; more numbers than this are divided into so many parts."""

LONGEST = 100
"""Letters of a value that tell it from others."""

MOST_SLICES = 200
"""The largest parts that are compared."""

SLOW_SLICES, SLOW_BLOCKS = 12, 20
"""Parts, and units that are left out in turn, where each metric is computed anew; of the first seed then."""

Mask = NDArray[np.bool_]


def holm(values: Sequence[float]) -> list[float]:
    """p-values corrected for their number: the chance that any of them is as small though nothing differs.

    NaN stays NaN and does not count.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    known = sorted((p, i) for i, p in enumerate(values) if not math.isnan(p))
    found, most = [math.nan] * len(values), 0.0
    for rank, (p, i) in enumerate(known):
        most = max(most, min(1.0, p * (len(known) - rank)))
        found[i] = most
    return found


def slices_of(
    pools: Sequence[ReplicateOutput], task: Scored, full: Subset, facts: Mapping[str, Mapping[str, object]]
) -> list[SliceRow]:
    """Every part of the items that is large enough, the worst first.

    Args:
        pools: one per seed.
        task: names and computes the main metric.
        full: all modalities.
        facts: by item, what is known of it, by name: texts, truth values or numbers.
    """
    quick = np.ndim(pools[0].target) == 1 and np.ndim(pools[0].outputs[full]) == 2
    # Without sums over items (texts, events) the metric itself is computed without each unit in turn.
    pools, most, blocks = (pools, MOST_SLICES, MOST_BLOCKS) if quick else (pools[:1], SLOW_SLICES, SLOW_BLOCKS)
    items = [item for p in pools for item in p.items]
    told = {item: {**facts.get(item, {}), **own} for item, own in _own_facts(pools).items()}
    parts = [*_parts(items, told)]
    largest = sorted(parts, key=lambda part: -int(part[2].sum()))[:most]
    comparison = _Comparison(pools, task, full, blocks)
    rows = [row for name, value, mask in largest if (row := comparison.row(name, value, mask)) is not None]
    for row, p in zip(rows, holm([math.nan if row["p"] is None else row["p"] for row in rows])):
        row["p_corrected"] = None if math.isnan(p) else p
    sign = 1 if task.higher_is_better else -1
    return sorted(rows, key=lambda row: sign * (row["value"] - row["rest"]))


def _own_facts(pools: Sequence[ReplicateOutput]) -> dict[str, dict[str, object]]:
    """What the answers themselves tell of each item: its group, and the streams that it lacks."""
    found: dict[str, dict[str, object]] = {}
    for p in pools:
        lacking = [", ".join(m for m, there in p.present.items() if not there[i]) for i in range(len(p.items))]
        for item, group, gone in zip(p.items, p.groups, lacking):
            found[item] = {"group": str(group), "missing": gone or "none"}
    return found


def _parts(items: Sequence[str], told: Mapping[str, Mapping[str, object]]) -> Iterator[tuple[str, str, Mask]]:
    """Name, value, and which entries it holds for, of each part that is large enough and leaves enough."""
    for name in dict.fromkeys(name for own in told.values() for name in own):
        values = [told[item].get(name) for item in items]
        for value, mask in _divided(values):
            if len({i for i, m in zip(items, mask) if m}) >= FEWEST_ITEMS and (~mask).sum() >= FEWEST_ITEMS:
                yield name, value, mask


def _divided(values: Sequence[object]) -> Iterator[tuple[str, Mask]]:
    numbers = [x for x in values if isinstance(x, int | float) and not isinstance(x, bool) and math.isfinite(x)]
    if numbers and len(set(numbers)) > MOST_PARTS:
        column = np.array([x if isinstance(x, int | float) else math.nan for x in values], np.float64)
        edges = np.unique(np.quantile(numbers, np.arange(1, MOST_PARTS) / MOST_PARTS))
        place = np.where(np.isfinite(column), np.searchsorted(edges, column), -1)
        names = [f"up to {edges[0]:.3g}", *(f"{a:.3g} to {b:.3g}" for a, b in itertools.pairwise(edges))]
        for i, text in enumerate([*names, f"above {edges[-1]:.3g}"]):
            yield text, place == i
        return
    texts = np.array([str(x)[:LONGEST] if isinstance(x, str | bool | int | float) else "" for x in values], object)
    counts = Counter(t for t in texts if t)
    if 1 < len(counts) <= MOST_VALUES:
        for text in counts:
            yield str(text), np.asarray(texts == text, bool)


class _Comparison:
    """The main metric on parts of the items, mean over seeds, with the same groups left out in all."""

    def __init__(self, pools: Sequence[ReplicateOutput], task: Scored, full: Subset, blocks: int) -> None:
        self.pools, self.task, self.full = pools, task, full
        self.groups = np.array([str(g) for p in pools for g in p.groups])
        self.units = Units.of(self.groups, blocks)
        self.starts = np.cumsum([0, *(len(p.items) for p in pools)])

    def row(self, name: str, value: str, mask: Mask) -> SliceRow | None:
        kernels = [self._kernel(mask), self._kernel(~mask)]
        inside, outside = leave_one_out(kernels, self.units)
        if not (math.isfinite(inside[0]) and math.isfinite(outside[0])):
            return None
        groups = len(set(self.groups[mask]))
        gap = difference_of(inside, outside)
        p = self._of_group(mask, float(inside[0])) if groups == 1 else self._p(gap, mask)
        return {
            "name": name,
            "part": value,
            "items": len({i for i, m in zip((i for pool in self.pools for i in pool.items), mask) if m}),
            "groups": groups,
            "value": float(inside[0]),
            "rest": float(outside[0]),
            "interval": interval_row(gap, self.units),
            "p": p,
            "p_corrected": None,
        }

    def _kernel(self, mask: Mask) -> Kernel:
        made = []
        for pool, start, stop in zip(self.pools, self.starts, self.starts[1:]):
            own = mask[start:stop]
            if own.any():
                scores, target = np.asarray(pool.outputs[self.full])[own], np.asarray(pool.target)[own]
                units = Units(self.units.codes[start:stop][own], self.units.n, self.units.groups)
                made.append(kernel_for(scorer_of(self.task, scores, target), scores, target, units))
        return lambda counts: np.mean([kernel(counts) for kernel in made], axis=0)

    def _p(self, gap: Floats, mask: Mask) -> float | None:
        """Two-sided, by Student's t with as many degrees of freedom as the fewer of the units on one side allow."""
        sides = min(len(set(self.units.codes[mask])), len(set(self.units.codes[~mask])))
        p = math.nan if sides < FEWEST_GROUPS else jackknife_p(gap, sides - 1)
        return None if math.isnan(p) else p

    def _of_group(self, mask: Mask, value: float) -> float | None:
        """A further group, compared with the others by their spread."""
        others = []
        for group in np.unique(self.groups[~mask]):
            found = []
            for pool, start, stop in zip(self.pools, self.starts, self.starts[1:]):
                own = self.groups[start:stop] == group
                if own.any():
                    scores, target = np.asarray(pool.outputs[self.full])[own], np.asarray(pool.target)[own]
                    found.append(main_metric(self.task, scores, target))
            others.append(float(np.mean(found)))
        known = np.array([x for x in others if math.isfinite(x)])
        if len(known) < FEWEST_GROUPS or known.std() == 0:
            return None
        error = float(known.std(ddof=1)) * math.sqrt(1 + 1 / len(known))
        return float(2 * stats.t.sf(abs(value - float(known.mean())) / error, len(known) - 1))
