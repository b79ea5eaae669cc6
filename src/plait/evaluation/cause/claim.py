"""A claim about the world: only where the user names the treatment, the outcome, and what to adjust for.

Which facts cause which no recording tells (Pearl 2009, "Causality"); the user must say it, and the rest is computed and
checked. The effect is adjusted (`plait.evaluation.cause.aipw`), and told only if it passes these checks:

- **overlap**: all were about as likely to be treated as not (Crump et al. 2009, Biometrika 96, leave out what is
  outside .1 to .9; here nothing is left out, but the claim is refused if more than a few are outside .05 to .95);
- **placebo**: treatments exchanged among items that are alike have no effect more often than by chance;
- **groups**: their share of treated items tells no more of the outcome than the effect explains (Mundlak 1978, "On the
  pooling of time series and cross section data", Econometrica 46); else what is constant within a group, such as the
  person, acts on both;
- **negative control**, if one is named: a fact that cannot act on the outcome has no effect (Lipsitch, Tchetgen
  Tchetgen & Cohen 2010, "Negative controls", Epidemiology 21);
- **selection**, if it is named: a corpus of which everything was chosen by one fact tells nothing of what was not.

Beside an effect stands its E-value: how strong something that was not measured would have to be.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from plait.core.errors import ConfigError, DataError
from plait.core.parts import suggest
from plait.evaluation.cause.aipw import Told, aipw, e_value, effective_sizes, p_of, propensity_of, told_of
from plait.evaluation.cause.shortcuts import LEVEL, MOST_NAMES, columns_of, folds_of
from plait.evaluation.intervals import FEWEST_GROUPS, Floats, Units, leave_one_out
from plait.evaluation.rows import row_of
from plait.evaluation.schema import WorldClaim
from plait.evaluation.slices import holm

__all__ = ["NOTHING", "Claim", "claim_of"]

NOTHING = "none"
"""The adjustment set of a treatment that was given at random."""

FEWEST = 20
"""Items of each arm, and what their weights must be worth."""

RANGE, OUTSIDE = (0.05, 0.95), 0.05
"""Propensities, and the share of the items that may lie outside."""

DRAWS, STRATA, FOLDS = 99, 5, 5

CONFOUNDED = {
    "groups": "groups with more treated items differ by more than the effect: what they share is not adjusted for",
    "control": "the negative control has an effect too: the adjustment set is not enough",
}
"""What it means if a check finds something. Its p-value and that of the effect are corrected together (Holm 1979)."""

Facts = Mapping[str, Mapping[str, object]]


class Claim(NamedTuple):
    """What the user says of the world; each a fact of the items, or ``NAME=VALUE``: whether it has that value.

    Attributes:
        treatment: of two values.
        outcome: numbers, or two values.
        adjust: everything that acts on treatment and outcome both; `NOTHING` for a treatment given at random. Not what
            the treatment itself changes.
        placebo: a fact that cannot act on the outcome, but has the same common causes; empty: none.
        selection: by what the items were chosen: the share of such items that were (then each counts its inverse), or
            a fact that is the same for all; empty: not by treatment or outcome.
    """

    treatment: str = ""
    outcome: str = ""
    adjust: tuple[str, ...] = ()
    placebo: str = ""
    selection: str = ""

    @property
    def lacking(self) -> list[str]:
        """What is not named."""
        return [n for n in ("treatment", "outcome", "adjust") if not getattr(self, n)]


class _Table(NamedTuple):
    """Items of which everything is known: arrays [items, ...]."""

    treated: NDArray[np.bool_]
    outcome: Floats
    columns: Floats
    placebo: NDArray[np.bool_] | None
    weights: Floats
    groups: NDArray[np.str_]
    folds: NDArray[np.intp]


def claim_of(claim: Claim, facts: Facts, groups: Mapping[str, str]) -> WorldClaim:
    """Test a claim.

    Args:
        claim: what the user names.
        facts: by item, what is known of it.
        groups: by item.

    Raises:
        ConfigError: a fact that no item has, or that is not of the kind that is needed.
    """
    if claim.lacking:
        told = " and ".join(claim.lacking)
        return _not_told(f"nobody named {told}: recordings alone do not tell what causes what", claim)
    items = [i for i in facts if all(_known(facts[i], name) for name in _names(claim))]
    for name in _names(claim):
        if not any(_known(facts[i], name) for i in facts):
            every = dict.fromkeys(n for own in facts.values() for n in own)
            raise ConfigError(f"no item has the fact {_split(name)[0]!r}. {suggest(_split(name)[0], every)}")
    values = {name: [_value(facts[i], name) for i in items] for name in _names(claim)}
    row = _not_told("", claim) | {"items": len(items), "left_out": len(facts) - len(items)}
    weights = _weights(claim, values)
    if weights is None:
        return row | {"reason": f"everything here was chosen by {claim.selection}: what was not chosen is not seen"}
    table = _table(claim, values, np.array([groups[i] for i in items]), weights)
    if reason := _too_few(table):
        return row | {"reason": reason}
    try:
        return _tested(table, row)
    except DataError as error:
        return row | {"reason": str(error).rstrip(".")}


def _not_told(reason: str, claim: Claim) -> WorldClaim:
    named = {"treatment": claim.treatment, "outcome": claim.outcome, "adjust": list(claim.adjust)}
    return {"verdict": "cannot be told", "reason": reason, **named}  # type: ignore[typeddict-item]


def _tested(table: _Table, row: WorldClaim) -> WorldClaim:
    units = Units.of(table.groups)
    adjusted = aipw(table.treated, table.outcome, table.columns, table.folds, table.weights)
    told, sizes = told_of(adjusted, units), effective_sizes(adjusted, table.treated)
    low, high = RANGE
    outside = float(((adjusted.propensity < low) | (adjusted.propensity > high)).mean())
    alarms, mean = _exchanged(table, units)
    raw = [np.average(table.outcome[arm], weights=table.weights[arm]) for arm in (table.treated, ~table.treated)]
    ratio = _ratio(told, table.outcome)
    row |= {
        "unadjusted": float(raw[0] - raw[1]),
        "effect": told.effect,
        "interval": row_of(told.interval),
        "p": told.p,
        "propensity": [float(x) for x in np.quantile(adjusted.propensity, [0, 1])],
        "outside": outside,
        "effective_items": [*sizes],
        "placebo_mean": mean,
        "placebo_alarms": alarms,
        "e_value": e_value(ratio[0]) if math.isfinite(ratio[0]) else None,
        "e_value_interval": _of_nearest(ratio),
    }
    within = _within(table, units)
    if within is not None:
        row |= {"within_groups": within[0], "within_p": within[1]}
    control = None
    if table.placebo is not None:
        control = told_of(aipw(table.placebo, table.outcome, table.columns, table.folds, table.weights), units)
        row |= {"control_effect": control.effect, "control_p": control.p}
    if reason := _failed(outside, sizes, alarms, told):
        return row | {"reason": reason}
    # Together: each by itself would make one verdict in fifty wrong, and not one in a hundred.
    names = {"effect": told.p, "groups": within and within[1], "control": control and control.p}
    tested = {name: p for name, p in names.items() if p is not None}
    passed = {name for name, p in zip(tested, holm([*tested.values()])) if p < LEVEL}
    reason = next((why for name, why in CONFOUNDED.items() if name in passed), "")
    found = "effect" if "effect" in passed else "no effect found"
    return row | {"verdict": "cannot be told" if reason else found, "reason": reason}  # type: ignore[return-value]


def _failed(outside: float, sizes: tuple[float, float], alarms: float, told: Told) -> str:
    """The first check that is not passed; empty: all are."""
    if outside > OUTSIDE or min(sizes) < FEWEST:
        return "no overlap: what is adjusted for decides who is treated"
    if told.interval.reason:
        return told.interval.reason
    if stats.binom.sf(round(alarms * DRAWS) - 1, DRAWS, 0.05) < 0.001:
        return f"treatments that were exchanged at random seem to have an effect in {100 * alarms:.0f} % of draws"
    return ""


def _within(table: _Table, units: Units) -> tuple[float, float] | None:
    """The effect within groups, and the p-value of the coefficient of the group's share of treated items beside it.

    By linear regression, each unit left out in turn; None: the treatment does not vary within groups, or its share
    not between groups of which the adjustment set tells the same.
    """
    codes, shares = _shares(table)
    known, share = np.concatenate([np.ones((len(codes), 1)), table.columns], 1), shares[codes]
    left = share - known @ np.linalg.lstsq(known, share, rcond=None)[0]
    if _of_groups(shares) or left.std() < 1e-6:
        return None
    rows = np.concatenate([np.ones((len(codes), 1)), table.treated[:, None], share[:, None], table.columns], 1)
    own = rows * table.weights[:, None]
    parts = [units.codes == u for u in range(units.n)]
    squares = np.stack([own[part].T @ rows[part] for part in parts])
    products = np.stack([own[part].T @ table.outcome[part] for part in parts])
    # A column per name and the intercept are not independent.
    ridge = 1e-6 * np.eye(rows.shape[1])

    def kernel(counts: Floats) -> Floats:
        found: Floats = np.linalg.solve(np.tensordot(counts, squares, 1) + ridge, (counts @ products)[..., None])
        return found[..., 0]

    _, effects, between, *_ = np.moveaxis(leave_one_out([kernel], units)[0], 1, 0)
    return float(effects[0]), p_of(between, units)


def _shares(table: _Table) -> tuple[NDArray[np.intp], Floats]:
    """The group of each item, and of each group the share of its items that are treated."""
    _, codes = np.unique(table.groups, return_inverse=True)
    return codes, np.bincount(codes, table.treated) / np.bincount(codes)


def _of_groups(shares: Floats) -> bool:
    return bool(np.isin(shares, (0, 1)).all())


def _exchanged(table: _Table, units: Units) -> tuple[float, float]:
    """Treatments exchanged among items of like propensity: how often an effect is found at 5 %, and its mean."""
    rng, found = np.random.default_rng(0), []
    codes, shares = _shares(table)
    # A treatment of whole groups is exchanged between groups: that of items would look too sure.
    whole = _of_groups(shares)
    # Of all items together, so that those that are alike have the same.
    propensity = propensity_of(table.treated, table.columns, table.weights)
    propensity = np.bincount(codes, propensity) / np.bincount(codes) if whole else propensity
    propensity = propensity.round(9)
    edges = np.unique(np.quantile(propensity, np.arange(1, STRATA) / STRATA))
    strata, own = np.searchsorted(edges, propensity), shares > 0.5 if whole else table.treated
    for _ in range(DRAWS):
        drawn = own.copy()
        for stratum in np.unique(strata):
            drawn[strata == stratum] = rng.permutation(own[strata == stratum])
        placebo = drawn[codes] if whole else drawn
        found.append(told_of(aipw(placebo, table.outcome, table.columns, table.folds, table.weights), units))
    return float(np.mean([one.p < 0.05 for one in found])), float(np.mean([one.effect for one in found]))


def _ratio(told: Told, outcome: Floats) -> tuple[float, float, float]:
    """The risk ratio and its ends; of numbers exp(.91 d), d in standard deviations (VanderWeele & Ding 2017)."""
    if set(np.unique(outcome)) <= {0.0, 1.0}:
        return told.ratio
    size = float(outcome.std())
    one, low, high = (math.exp(0.91 * x / size) for x in (told.effect, told.interval.low, told.interval.high))
    return one, low, high


def _of_nearest(ratio: tuple[float, float, float]) -> float | None:
    """E-value of the end of the interval that is nearest to no effect; 1 where the interval holds none."""
    _, low, high = ratio
    if not (math.isfinite(low) and math.isfinite(high)):
        return None
    return 1.0 if low <= 1 <= high else min(e_value(low), e_value(high))


def _too_few(table: _Table) -> str:
    groups, arms = len(np.unique(table.groups)), (int(table.treated.sum()), int((~table.treated).sum()))
    if groups < FEWEST_GROUPS:
        return f"{groups} groups; at least {FEWEST_GROUPS} are needed"
    return f"{min(arms)} items of one treatment; at least {FEWEST} are needed" if min(arms) < FEWEST else ""


def _names(claim: Claim) -> list[str]:
    adjust = () if claim.adjust == (NOTHING,) else claim.adjust
    return [n for n in dict.fromkeys([claim.treatment, claim.outcome, *adjust, claim.placebo, claim.selection]) if n]


def _split(name: str) -> tuple[str, str | None]:
    fact, equals, value = name.partition("=")
    return (fact, value) if equals else (name, None)


def _known(own: Mapping[str, object], name: str) -> bool:
    value = own.get(_split(name)[0])
    return value is not None and not (isinstance(value, float) and not math.isfinite(value))


def _value(own: Mapping[str, object], name: str) -> object:
    fact, wanted = _split(name)
    found = own[fact]
    # As YAML and JSON write them, truth values are in small letters.
    return found if wanted is None else wanted in (str(found), str(found).lower())


def _table(claim: Claim, values: Mapping[str, Sequence[object]], groups: NDArray[np.str_], weights: Floats) -> _Table:
    treated, outcome = _two(claim.treatment, values), _outcome(claim.outcome, values)
    placebo = _two(claim.placebo, values) if claim.placebo else None
    adjust = [name for name in claim.adjust if name in values]
    columns, apart = [np.zeros((len(groups), 0))], False
    for name in adjust:
        made = columns_of(values[name])
        if made is None and len({str(x) for x in values[name]}) > 1:
            raise ConfigError(f"{name!r} has more than {MOST_NAMES} names; adjust for numbers, or for fewer names.")
        columns += [] if made is None else [made]
        apart |= _within_groups(values[name], groups)
    # A name that only one group has cannot be learnt from other groups.
    folds = folds_of(np.arange(len(groups)).astype(str) if apart else groups, FOLDS)
    return _Table(treated, outcome, np.concatenate(columns, 1), placebo, weights, groups, folds)


def _within_groups(values: Sequence[object], groups: NDArray[np.str_]) -> bool:
    """Whether a fact is names of which one has one group only."""
    if all(isinstance(x, int | float) and not isinstance(x, bool) for x in values):
        return False
    found: dict[str, set[str]] = {}
    for value, group in zip(values, groups):
        found.setdefault(str(value), set()).add(str(group))
    return any(len(own) == 1 for own in found.values())


def _two(name: str, values: Mapping[str, Sequence[object]]) -> NDArray[np.bool_]:
    """Whether each item has the second of the two values that a fact has."""
    every = sorted({str(x) for x in values[name]})
    if len(every) != 2:
        raise ConfigError(f"{name!r} has {len(every)} values ({', '.join(every[:5])}); expected two. Write NAME=VALUE.")
    return np.array([str(x) == every[1] for x in values[name]])


def _outcome(name: str, values: Mapping[str, Sequence[object]]) -> Floats:
    if all(isinstance(x, int | float) and not isinstance(x, bool) for x in values[name]):
        return np.array(values[name], np.float64)
    return _two(name, values).astype(np.float64)


def _weights(claim: Claim, values: Mapping[str, Sequence[object]]) -> Floats | None:
    """The inverse of each item's chance to be chosen; None where all were chosen by a fact that does not tell it."""
    told = values.get(claim.selection)
    if told is None:
        return np.ones(len(values[claim.treatment]))
    if len({str(x) for x in told}) == 1:
        return None
    shares = [x for x in told if isinstance(x, int | float) and not isinstance(x, bool) and 0 < x <= 1]
    if len(shares) < len(told):
        raise ConfigError(
            f"{claim.selection!r}: expected the share that was chosen, above 0 and at most 1, or one value."
        )
    return 1 / np.array(shares, np.float64)
