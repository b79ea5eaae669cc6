"""Which modalities' errors are the same in all environments: speakers, sites, devices, days.

If modalities cause the target, and the model reads them right, its errors have the same distribution wherever it is
used; of modalities that only go with the target here, they need not. As in invariant causal prediction (Peters,
Bühlmann & Meinshausen 2016, JRSS B 78, method II): of each subset of the modalities, none of them included, the errors
of one model are compared between environments; what is in every subset that is accepted is invariant.

Errors are the truth less the answer: of classes, one number for each class, of which the means are compared; of values
also their distances from the median (Levene's test, as there). The null is environments exchanged at random: among
whole groups where each group is in one environment, within groups where groups are in several, among items where the
groups themselves are the environments (items are then taken for independent). Departures: one model answers for all
subsets and is not fitted to each, so a rejected subset may also be one that the model reads badly; p-values are
corrected by Holm. That errors differ is of this model; that a modality is a cause follows only if nothing else acts on
the target in other ways between environments.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from plait.core.errors import ConfigError
from plait.core.parts import suggest
from plait.evaluation.cause.shortcuts import LEVEL
from plait.evaluation.intervals import Floats
from plait.evaluation.replicates import ReplicateOutput, Subset
from plait.evaluation.schema import Invariance
from plait.evaluation.slices import FEWEST_ITEMS, MOST_VALUES, holm

__all__ = ["GROUP", "errors_of", "invariance_of", "same_errors"]

GROUP = "group"
"""The name of the environments that are the groups themselves."""

PERMUTATIONS = 200
"""Exchanges per subset, so that the smallest p-value is below the level after correction."""


def same_errors(
    errors: Sequence[Floats],
    environments: NDArray[np.generic],
    groups: NDArray[np.str_],
    *,
    permutations: int = 999,
    seed: int = 0,
) -> list[float]:
    """p-values that errors have the same means in all environments, of several kinds of errors by the same exchanges.

    The statistic is the sum of squares between environments, of errors of deviation 1.

    Args:
        errors: [items, columns] each.
        environments: of each item.
        groups: of each item.
        permutations: exchanges of the environments; a p-value is at least ``1 / (permutations + 1)``.
        seed: draws them.

    >>> rng = np.random.default_rng(0)
    >>> place, group = np.repeat(["x", "y"], 50), np.repeat(list("abcdefghij"), 10)
    >>> same_errors([(place == "x")[:, None] + rng.normal(0, 0.1, (100, 1))], place, group)[0] < 0.02
    True
    """
    rng = np.random.default_rng(seed)
    names, codes = np.unique(environments, return_inverse=True)
    columns = np.concatenate([_scaled(one) for one in errors], 1)
    starts = np.cumsum([0, *(one.shape[1] for one in errors)])[:-1]

    def between(own: NDArray[np.intp]) -> Floats:
        member = np.eye(len(names))[own]
        squares = np.square(member.T @ columns) / np.maximum(member.sum(0), 1)[:, None]
        found: Floats = np.add.reduceat(squares.sum(0), starts)
        return found

    value = between(codes)
    # Equal within rounding counts as exceeding, so that ties do not look sure.
    exceeding = np.zeros(len(errors))
    for _ in range(permutations):
        exceeding += between(_exchanged(codes, groups, rng)) >= value * (1 - 1e-9)
    return [float(x) for x in (1 + exceeding) / (permutations + 1)]


def errors_of(scores: Floats, target: NDArray[np.generic]) -> Floats:
    """Truth less answer, [items, columns]: of classes a column for each, of values their distance from the median too.

    >>> errors_of(np.array([[0.8, 0.2]]), np.array([1])).tolist()
    [[-0.8, 0.8]]
    """
    if scores.shape[1] > 1:
        return np.asarray(np.eye(scores.shape[1])[np.asarray(target, np.intp)] - scores, np.float64)
    error = np.asarray(target, np.float64).reshape(-1, 1) - scores
    return np.concatenate([error, np.abs(error - np.median(error))], 1)


def invariance_of(
    pools: Sequence[ReplicateOutput], facts: Mapping[str, Mapping[str, object]], environments: str = GROUP
) -> Invariance | None:
    """Compare the errors of every subset between environments, of the first seed; None where answers are not one class
    or value per item.

    Args:
        pools: one per seed.
        facts: by item, what is known of it.
        environments: the fact that names them, or `GROUP`.

    Raises:
        ConfigError: no item has such a fact.
    """
    pool = pools[0]
    target, groups = np.asarray(pool.target), np.asarray(pool.groups, np.str_)
    outputs = {(): pool.baseline, **pool.outputs}
    if target.ndim != 1 or any(np.ndim(x) != 2 for x in outputs.values()):
        return None
    named = _environments(pool, facts, environments)
    kept = {name: n for name, n in zip(*np.unique(named, return_counts=True)) if name and n >= FEWEST_ITEMS}
    sizes = {str(name): int(n) for name, n in sorted(kept.items(), key=lambda one: -one[1])[:MOST_VALUES]}
    if reason := _untold(sizes, named, environments):
        return {"environments": environments, "sizes": sizes, "subsets": [], "invariant": [], "reason": reason}
    own, every = np.isin(named, [*sizes]), sorted(outputs, key=len)
    some, places = groups[own], named[own]
    draws = max(999, PERMUTATIONS * len(every) - 1)
    told = [errors_of(np.asarray(outputs[s], np.float64)[own], target[own]) for s in every]
    values = same_errors(told, places, some, permutations=draws)
    return _verdict(environments, sizes, every, values)


def _verdict(environments: str, sizes: dict[str, int], every: Sequence[Subset], values: Sequence[float]) -> Invariance:
    corrected = holm(values)
    accepted = [set(s) for s, p in zip(every, corrected) if p >= LEVEL]
    invariant = [m for m in max(every, key=len) if accepted and all(m in s for s in accepted)]
    reason = ""
    if not accepted:
        reason = "no subset has the same errors everywhere"
    elif set() in accepted:
        reason = "a constant answer has the same errors everywhere too: nothing differs that a modality could explain"
    elif not invariant:
        reason = "several subsets have the same errors everywhere, and share no modality"
    return {
        "environments": environments,
        "sizes": sizes,
        "subsets": [
            {"modalities": [*s], "p": p, "p_corrected": q, "accepted": q >= LEVEL}
            for s, p, q in zip(every, values, corrected)
        ],
        "invariant": invariant,
        "reason": reason,
    }


def _environments(pool: ReplicateOutput, facts: Mapping[str, Mapping[str, object]], name: str) -> NDArray[np.str_]:
    """The environment of each item; empty where it is not known."""
    if name == GROUP:
        return np.asarray(pool.groups, np.str_)
    every = dict.fromkeys(fact for item in pool.items for fact in facts.get(item, {}))
    if name not in every:
        raise ConfigError(f"environments: no item has the fact {name!r}. {suggest(name, [*every, GROUP])}")
    return np.array([str(facts.get(item, {}).get(name, "")) for item in pool.items])


def _untold(sizes: Mapping[str, int], named: NDArray[np.str_], environments: str) -> str:
    if len({*named.tolist()} - {""}) < 2:
        return f"all items are of one environment ({environments}): nothing varies that errors could be compared over"
    if len(sizes) < 2:
        return f"fewer than two environments ({environments}) have {FEWEST_ITEMS} items"
    return ""


def _scaled(errors: Floats) -> Floats:
    centred = errors - errors.mean(0)
    spread = centred.std(0)
    found: Floats = centred / np.where(spread > 1e-12, spread, 1.0)
    return found


def _exchanged(codes: NDArray[np.intp], groups: NDArray[np.str_], rng: np.random.Generator) -> NDArray[np.intp]:
    """Environments exchanged: see the head of this file."""
    _, group = np.unique(groups, return_inverse=True)
    pairs = np.unique(np.stack([group, codes]), axis=1)
    count = group.max() + 1
    if pairs.shape[1] > count:  # some group is in several: the places within each group are shuffled
        order = np.lexsort((rng.random(len(codes)), group))
        found = np.empty_like(codes)
        found[np.argsort(group, kind="stable")] = codes[order]
        return found
    if len(np.unique(codes)) == count:
        return rng.permutation(codes)
    return np.asarray(rng.permutation(pairs[1])[group], np.intp)
