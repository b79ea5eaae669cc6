"""Whether a model leans on something that should not matter: a person, the length, the background.

A nuisance (a number or a name that is known of each item) is a shortcut if two things hold, and each is tested:

- it **predicts**: by itself it tells the class of other groups' items, better than with shuffled nuisances;
- it is **used**: among items of the same class, the model is the surer of a class the more the nuisance points to it.
  Within a class nothing is left to learn about it, so a model that looks at the class's own evidence gives no such
  relation. Tested by exchanging nuisances among the items of a class (a conditional permutation test: Berrett, Wang,
  Barber & Samworth 2020, "The conditional permutation test for independence while controlling for confounders", JRSS B
  82; here the condition is a class, so the exchange is exact).

Negative controls: a nuisance that has no relation to the class gives no alarm, whatever the model does with it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from plait.core.errors import DataError
from plait.evaluation.intervals import Floats
from plait.evaluation.replicates import ReplicateOutput, Subset
from plait.evaluation.schema import ShortcutRow
from plait.evaluation.slices import holm

__all__ = ["LEVEL", "MOST_NAMES", "Shortcut", "columns_of", "folds_of", "shortcut_of", "shortcuts_of"]

LEVEL = 0.01
"""Of clean items, how often an alarm may be given."""

PENALTY = 1.0
"""Ridge, in items, of the regression from the nuisance to the classes."""

MOST_NAMES = 30
"""Names with more values than this are names of single items."""


class Shortcut(NamedTuple):
    """Attributes:
    predicts: share of right answers from the nuisance alone, on other groups, less the share of the commonest class.
    predicts_p: of that, beside shuffled nuisances.
    used: correlation, within classes, of what the model says with what the nuisance says.
    used_p: of that, beside nuisances that are exchanged within classes; one-sided.
    """

    predicts: float
    predicts_p: float
    used: float
    used_p: float

    def alarm(self, level: float = 0.01) -> bool:
        """Whether both hold at a level."""
        return self.predicts_p < level and self.used_p < level


def columns_of(values: Sequence[object]) -> Floats | None:
    """A nuisance as columns, [items, columns]: a number as it is, its square beside it; a name as a column per name.

    None where it is the same for all, or a name for nearly each.

    >>> columns_of(["a", "b", "a"]).tolist()
    [[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]
    """
    if all(isinstance(x, int | float) and not isinstance(x, bool) for x in values):
        column = np.array(values, np.float64)
        known = np.isfinite(column)
        if not known.any() or column[known].std() == 0:
            return None
        scaled = np.where(known, (column - column[known].mean()) / column[known].std(), 0.0)
        return np.stack([scaled, scaled**2], 1)
    names = [str(x) for x in values]
    every = sorted(set(names))
    if not 1 < len(every) <= MOST_NAMES:
        return None
    found: Floats = (np.array(names)[:, None] == np.array(every)).astype(np.float64)
    return found


def shortcut_of(
    scores: Floats,
    target: NDArray[np.integer],
    nuisance: Floats,
    groups: NDArray[np.str_],
    *,
    permutations: int = 199,
    seed: int = 0,
) -> Shortcut:
    """Test whether a nuisance is a shortcut to the class, and whether the model takes it.

    Args:
        scores: the model's probabilities, [items, classes].
        target: true classes, [items].
        nuisance: from `columns_of`, [items, columns].
        groups: [items]; the nuisance is judged on groups that it was not fitted to.
        permutations: how many exchanges.
        seed: draws them.

    Raises:
        DataError: items of one class, or of one group.
    """
    if len(np.unique(target)) < 2 or len(np.unique(groups)) < 2:
        raise DataError("a shortcut is told of items of two classes or more, and of two groups or more.")
    rng, folds = np.random.default_rng(seed), folds_of(groups)
    truth = np.eye(scores.shape[1])[target]
    most = np.bincount(target).max() / len(target)

    def right(columns: Floats) -> tuple[float, Floats]:
        said = _crossed(columns, truth, folds)
        return float((said.argmax(1) == target).mean()), said

    own, said = right(nuisance)
    shuffled = [right(nuisance[rng.permutation(len(target))])[0] for _ in range(permutations)]
    model = _within(np.log(np.maximum(scores, 1e-9)), target)
    told = _within(said, target)
    used = _correlation(model, told)
    exchanged = [_correlation(model, told[_exchange(target, rng)]) for _ in range(permutations)]
    return Shortcut(own - most, _p(own, shuffled), used, _p(used, exchanged))


def shortcuts_of(
    pools: Sequence[ReplicateOutput], full: Subset, facts: Mapping[str, Mapping[str, object]]
) -> list[ShortcutRow]:
    """Every fact of the items as a possible shortcut, of the first seed; p-values are corrected for their number.

    Empty where answers are not one class per item, or the items have no two classes and groups.

    Args:
        pools: one per seed.
        full: all modalities.
        facts: by item, what is known of it.
    """
    pool = pools[0]
    scores, target, groups = np.asarray(pool.outputs[full]), np.asarray(pool.target), np.asarray(pool.groups)
    fits = scores.ndim == 2 and scores.shape[1] > 1 and target.ndim == 1 and np.issubdtype(target.dtype, np.integer)
    if not fits or len(np.unique(target)) < 2 or len(np.unique(groups)) < 2:
        return []
    told: list[tuple[str, Shortcut]] = []
    for name in dict.fromkeys(name for item in pool.items for name in facts.get(item, {})):
        values = [facts.get(item, {}).get(name, math.nan) for item in pool.items]
        columns = columns_of(values)
        if columns is not None:
            told.append((name, shortcut_of(np.asarray(scores, np.float64), target, columns, groups)))
    both = [holm([one.predicts_p for _, one in told]), holm([one.used_p for _, one in told])]
    return [
        {
            "name": name,
            "predicts": one.predicts,
            "predicts_p": predicts,
            "used": one.used,
            "used_p": used,
            "alarm": predicts < LEVEL and used < LEVEL,
        }
        for (name, one), predicts, used in zip(told, *both)
    ]


def _p(value: float, null: Sequence[float]) -> float:
    """One-sided, by the normal distribution with the mean and deviation of the exchanges.

    Sums over exchanged items are nearly normal (Hoeffding 1951, "A combinatorial central limit theorem"); counting
    exchanges would need a hundred times as many to correct for the number of nuisances.
    """
    spread = float(np.std(null, ddof=1))
    # A relation that only rounding gives is none.
    return float(stats.norm.sf((value - float(np.mean(null))) / spread)) if spread > 1e-12 else 1.0


def folds_of(groups: NDArray[np.str_], most: int = 10) -> NDArray[np.intp]:
    names, codes = np.unique(groups, return_inverse=True)
    order = np.random.default_rng(0).permutation(len(names))
    return np.asarray(order[codes] % min(most, len(names)), np.intp)


def _crossed(columns: Floats, truth: Floats, folds: NDArray[np.intp]) -> Floats:
    """What a ridge regression from the columns says of the classes of items that it was not fitted to."""
    rows = np.concatenate([np.ones((len(columns), 1)), columns], 1)
    found = np.zeros_like(truth)
    every, wanted = rows.T @ rows, rows.T @ truth
    penalty = PENALTY * np.eye(rows.shape[1])
    penalty[0, 0] = 1e-9
    for fold in np.unique(folds):
        out = folds == fold
        # Sums over all less those of the fold: one solution for each fold.
        left = every - rows[out].T @ rows[out]
        found[out] = rows[out] @ np.linalg.solve(left + penalty, wanted - rows[out].T @ truth[out])
    return found


def _within(values: Floats, target: NDArray[np.integer]) -> Floats:
    """Values less their mean over the items of the same class."""
    count = np.bincount(target)
    means = np.stack([np.bincount(target, column) for column in values.T], 1) / np.maximum(count, 1)[:, None]
    found: Floats = values - means[target]
    return found


def _correlation(one: Floats, other: Floats) -> float:
    size = float(np.sqrt(np.square(one).sum() * np.square(other).sum()))
    return float((one * other).sum()) / size if size > 0 else 0.0


def _exchange(target: NDArray[np.integer], rng: np.random.Generator) -> NDArray[np.intp]:
    """An order of the items in which each has the place of one of its class."""
    order = np.arange(len(target))
    for name in np.unique(target):
        (own,) = np.nonzero(target == name)
        order[own] = own[rng.permutation(len(own))]
    return order
