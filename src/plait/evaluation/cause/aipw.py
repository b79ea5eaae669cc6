"""The adjusted effect of a treatment, from what was recorded: augmented inverse probability weighting, cross-fitted.

The mean outcome if all had been treated, less that if nobody had (Robins, Rotnitzky & Zhao 1994, "Estimation of
regression coefficients when some regressors are not always observed", JASA 89). It is right if either the propensity
or the outcome regression is; both are fitted on other items than they are used for (Chernozhukov et al. 2018,
"Double/debiased machine learning", Econometrics Journal 21), here on other groups. Whether the adjustment set is enough
no computation can tell.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

from plait.core.errors import DataError
from plait.evaluation.intervals import Floats, Interval, Units, from_sums, interval_of, leave_one_out

__all__ = ["Adjusted", "Told", "aipw", "e_value", "effective_sizes", "p_of", "propensity_of", "told_of"]

PENALTY = 1.0
"""Ridge of both regressions, in items."""


class Adjusted(NamedTuple):
    """Attributes:
    scores: what each item says of the mean outcome of all if treated and if not, [items, 2].
    propensity: of being treated, of items that it was not fitted to, [items].
    weights: how much each item counts, [items].
    """

    scores: Floats
    propensity: Floats
    weights: Floats


class Told(NamedTuple):
    """Attributes:
    effect: difference of the two means, in the outcome's unit.
    interval: of it, over groups.
    p: two-sided; NaN where there is no interval.
    ratio: of the two means, and the ends of its interval; NaN where a mean is not above 0.
    """

    effect: float
    interval: Interval
    p: float
    ratio: tuple[float, float, float]


def aipw(
    treated: NDArray[np.bool_], outcome: Floats, columns: Floats, folds: NDArray[np.intp], weights: Floats | None = None
) -> Adjusted:
    """Score each item by regressions that were fitted without its fold.

    ``m1 + t (y - m1) / e`` and ``m0 + (1 - t) (y - m0) / (1 - e)``, with the propensity ``e`` by logistic regression
    and the outcomes ``m1``, ``m0`` by linear regression in each arm.

    Args:
        treated: [items].
        outcome: [items].
        columns: the adjustment set, [items, columns]; none for a treatment that was given at random.
        folds: [items].
        weights: [items]; None: all alike.

    Raises:
        DataError: without one of the folds, nobody is treated, or everybody.
    """
    weight = np.ones(len(outcome)) if weights is None else np.asarray(weights, np.float64)
    rows = np.concatenate([np.ones((len(outcome), 1)), columns], 1)
    propensity, scores = np.empty(len(outcome)), np.empty((len(outcome), 2))
    start = _logistic(rows, treated, weight, np.zeros(rows.shape[1]))  # saves steps, changes no result
    for fold in np.unique(folds):
        out, rest = folds == fold, folds != fold
        arms = [rest & treated, rest & ~treated]
        if not all(arm.any() for arm in arms):
            raise DataError("without some of the groups, only one of the two treatments is left.")
        propensity[out] = special.expit(rows[out] @ _logistic(rows[rest], treated[rest], weight[rest], start))
        for k, arm in enumerate(arms):
            scores[out, k] = rows[out] @ _ridge(rows[arm], outcome[arm], weight[arm])
    chance = np.stack([propensity, 1 - propensity], 1)
    got = np.stack([treated, ~treated], 1)
    scores += np.where(got, (outcome[:, None] - scores) / np.maximum(chance, 1e-6), 0.0)
    return Adjusted(scores, propensity, weight)


def propensity_of(treated: NDArray[np.bool_], columns: Floats, weights: Floats) -> Floats:
    """The chance of each item to be treated, fitted to all of them, [items]; arguments as for `aipw`."""
    rows = np.concatenate([np.ones((len(treated), 1)), columns], 1)
    found: Floats = special.expit(rows @ _logistic(rows, treated, weights, np.zeros(rows.shape[1])))
    return found


def told_of(adjusted: Adjusted, units: Units) -> Told:
    """The effect of `aipw`, with its interval over groups."""
    weighted = adjusted.scores * adjusted.weights[:, None]
    sums: Floats = np.concatenate([weighted, adjusted.weights[:, None]], 1)
    kernels = [from_sums(sums, units, lambda s: (s[:, 0] - s[:, 1]) / s[:, 2]), from_sums(sums, units, _log_ratio)]
    effects, ratios = leave_one_out(kernels, units)
    interval, of_ratio = interval_of(effects, units), interval_of(ratios, units)
    ends = tuple(math.exp(x) for x in (float(ratios[0]), of_ratio.low, of_ratio.high))
    p = math.nan if interval.reason else p_of(effects, units)
    return Told(float(effects[0]), interval, p, (ends[0], ends[1], ends[2]))


def p_of(values: Floats, units: Units) -> float:
    """Two-sided p-value that a number is 0, [1 + units] as `leave_one_out` gives it, by Student's t."""
    n = len(values) - 1
    error = math.sqrt((n - 1) / n * float(np.square(values[1:] - values[0]).sum()))
    return float(2 * stats.t.sf(abs(float(values[0])) / error, units.df)) if error > 0 else math.nan


def effective_sizes(adjusted: Adjusted, treated: NDArray[np.bool_]) -> tuple[float, float]:
    """How many equally weighted items the inverse weights of the treated and of the others are worth (Kish 1965).

    >>> found = Adjusted(np.zeros((4, 2)), np.full(4, 0.5), np.ones(4))
    >>> effective_sizes(found, np.array([True, True, True, False]))
    (3.0, 1.0)
    """
    found = []
    for arm, chance in ((treated, adjusted.propensity), (~treated, 1 - adjusted.propensity)):
        own = adjusted.weights[arm] / np.maximum(chance[arm], 1e-6)
        found.append(float(own.sum() ** 2 / np.square(own).sum()) if len(own) else 0.0)
    return found[0], found[1]


def e_value(ratio: float) -> float:
    """How strongly something unmeasured would have to go with both treatment and outcome, as risk ratios, to explain a
    ratio away (VanderWeele & Ding 2017, "Sensitivity analysis in observational research: introducing the E-value",
    Annals of Internal Medicine 167).

    >>> round(e_value(3.9), 2), e_value(1.0), round(e_value(1 / 3.9), 2)
    (7.26, 1.0, 7.26)
    """
    above = max(ratio, 1 / ratio)
    return above + math.sqrt(above * (above - 1))


def _log_ratio(sums: Floats) -> Floats:
    both = np.where((sums[:, :2] > 0).all(1, keepdims=True), sums[:, :2], np.nan)
    found: Floats = np.log(both[:, 0] / both[:, 1])
    return found


def _ridge(rows: Floats, wanted: Floats, weights: Floats) -> Floats:
    own = rows * weights[:, None]
    return np.asarray(np.linalg.solve(rows.T @ own + _penalty(rows), own.T @ wanted), np.float64)


def _logistic(rows: Floats, wanted: NDArray[np.bool_], weights: Floats, start: Floats) -> Floats:
    """Logistic regression by Newton's method."""
    penalty, found = _penalty(rows), start
    for _ in range(25):
        said = special.expit(rows @ found)
        slope = rows.T @ (weights * (said - wanted)) + penalty @ found
        step = np.linalg.solve((rows * (weights * said * (1 - said) + 1e-9)[:, None]).T @ rows + penalty, slope)
        found = np.asarray(found - step, np.float64)
        if np.abs(step).max() < 1e-7:
            break
    return found


def _penalty(rows: Floats) -> Floats:
    found = PENALTY * np.eye(rows.shape[1])
    found[0, 0] = 1e-6  # the intercept is free
    return found
