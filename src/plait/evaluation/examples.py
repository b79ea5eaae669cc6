"""Single answers, for tasks whose answers are neither classes nor values, such as texts."""

from __future__ import annotations

import numpy as np

from plait.evaluation.breakdown import main_metric
from plait.evaluation.replicates import ReplicateOutput, Scored, Subset
from plait.evaluation.schema import Example

__all__ = ["LOOKED_AT", "SHOWN", "examples_of"]

SHOWN = 20
"""Nobody reads more examples than that."""

LOOKED_AT = 2000
"""The worst are looked for among at most this many items, evenly chosen: the metric is computed on each alone."""


def examples_of(pool: ReplicateOutput, subset: Subset, task: Scored) -> list[Example]:
    """At most `SHOWN` items of one seed, the worst first; items on which the metric is not defined come last.

    Returns:
        Per item: its id, the main metric on it alone, and truth and answer (None if the task has no ``texts``).
    """
    # Ceiling division, so that never more than `LOOKED_AT` are chosen.
    chosen = np.arange(0, len(pool.items), max(1, -(-len(pool.items) // LOOKED_AT)))
    scores, target = np.asarray(pool.outputs[subset]), np.asarray(pool.target)
    each = getattr(task, "each", None)
    if each is not None:
        values = each(scores[chosen], target[chosen])
    else:
        values = np.array([main_metric(task, scores[[i]], target[[i]]) for i in chosen])
    sign = 1 if task.higher_is_better else -1
    worst = chosen[np.argsort(sign * values, kind="stable")[:SHOWN]]  # NaN is sorted last
    value = dict(zip(chosen.tolist(), values.tolist()))
    texts = getattr(task, "texts", None)
    pairs = texts(scores[worst], target[worst]) if texts else [(None, None)] * len(worst)
    return [
        {"item": pool.items[int(i)], "value": value[int(i)], "truth": truth, "answer": answer}
        for i, (truth, answer) in zip(worst, pairs, strict=True)
    ]
