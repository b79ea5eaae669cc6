"""How many bits about the class two modalities give redundantly, each alone, and only together.

Williams & Beer 2010, "Nonnegative decomposition of multivariate information"; redundant and unique parts as in
Bertschinger et al. 2014 (`plait.evaluation.contribution.broja`). These depend on what each modality says alone, so they
are taken from the modalities' own answers. Synergy cannot be seen there: the answers to both together give the whole,

    S = I(y; 1, 2) - R - U1 - U2,

with each information the entropy of the class less the log-loss of answers to held-out items. Such a figure is of what
the model found, a lower bound of what there is. Liang et al. 2023, "Quantifying & modeling multimodal interactions: an
information decomposition framework" (NeurIPS), cluster features instead; tables of counts have a bias that looks like
synergy (with shuffled classes too).

Answers are calibrated on other groups first (`plait.evaluation.contribution.recalibration`). Then each answer's
evidence has one factor, fitted on the items themselves (`weighed`): answers that know nothing give 0 bits, and not
less. The states of a modality, for its relation with the class, are the class that it names and how sure it is.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from plait.core.errors import DataError
from plait.evaluation.contribution.broja import information, union_information
from plait.evaluation.contribution.recalibration import recalibrated
from plait.evaluation.intervals import Floats, Units
from plait.evaluation.replicates import NOT_ASKED, ReplicateOutput, Scored, Subset, frames_of
from plait.evaluation.rows import interval_row
from plait.evaluation.schema import Bits, Information

__all__ = ["Decomposition", "decompose", "decompositions", "information_of", "weighed"]

FLOOR = 1e-9
"""Least probability of an answer."""

CELLS = 60_000
"""The most cells of a joint distribution; fewer levels of sureness are told apart where there are many classes."""

TOLERANCE = 1e-5
"""Bits: far below what sampling leaves open, and ten times as fast as a hundredth of it."""

MOST_PAIRS, MOST_ROWS = 10, 20_000
"""Most pairs of modalities, and most answers, drawn at random, of which information is computed."""

MOST_BLOCKS = 40
"""Groups, or blocks of groups, that are left out in turn: each takes a decomposition of its own."""


class Decomposition(NamedTuple):
    """Bits about the class.

    Attributes:
        redundancy: in both modalities alike.
        unique: in the first only, and in the second only.
        synergy: only in both together.
        first, second, both: what the first tells alone, the second alone, and both together.
    """

    redundancy: float
    unique: tuple[float, float]
    synergy: float
    first: float
    second: float
    both: float


def weighed(scores: Floats, target: NDArray[np.integer], prior: Floats) -> Floats:
    """Probabilities with the evidence of all items multiplied by the factor of least log-loss, [items, classes].

    The evidence is the log of the ratio to the ``prior``; a factor of 0 leaves the prior. Temperature scaling (Guo et
    al. 2017, "On calibration of modern neural networks") about the prior.

    Args:
        scores: probabilities, [items, classes].
        target: the true classes, [items].
        prior: their shares, [classes], all above 0.

    >>> weighed(np.array([[0.9, 0.1], [0.9, 0.1]]), np.array([0, 1]), np.array([0.5, 0.5])).round(3).tolist()
    [[0.5, 0.5], [0.5, 0.5]]
    """
    evidence, base, rows = np.log(np.maximum(scores, FLOOR)) - np.log(prior), np.log(prior), np.arange(len(target))

    def told(factor: float) -> Floats:
        logs = base + factor * evidence
        logs = logs - logs.max(1, keepdims=True)
        found: Floats = logs - np.log(np.exp(logs).sum(1, keepdims=True))
        return found

    best = minimize_scalar(lambda x: -told(x)[rows, target].mean(), bounds=(0.0, 4.0), method="bounded")
    # The minimiser does not look at the ends of its range.
    return np.exp(told(min((0.0, float(best.x)), key=lambda x: -told(x)[rows, target].mean())))


def decompose(
    first: Floats, second: Floats, both: Floats, target: NDArray[np.integer], *, start: Floats | None = None
) -> Decomposition:
    """The decomposition of what two modalities tell about the class, from answers to held-out items.

    Args:
        first, second: probabilities of the classes from each modality alone, [items, classes].
        both: from both together.
        target: the true classes, [items].

    Raises:
        DataError: items of fewer than two classes.
    """
    return _decomposed(first, second, both, target, start)[0]


def decompositions(
    first: Floats, second: Floats, both: Floats, target: NDArray[np.integer], groups: NDArray[np.str_]
) -> tuple[Floats, Units]:
    """Redundancy, the unique parts and synergy of all items, and without each unit in turn, [4, 1 + units].

    Args:
        first, second, both, target: as for `decompose`.
        groups: of each item.
    """
    units = Units.of(groups, MOST_BLOCKS)
    whole, start = _decomposed(first, second, both, target, None)
    columns = [_column(whole)]
    for unit in range(units.n):
        kept = units.codes != unit
        if len(np.unique(target[kept])) < 2:
            columns.append(np.full(4, np.nan))
            continue
        columns.append(_column(_decomposed(first[kept], second[kept], both[kept], target[kept], start)[0]))
    return np.stack(columns, 1), units


def information_of(pools: Sequence[ReplicateOutput], task: Scored, full: Subset) -> list[Information]:
    """The decomposition for each pair of modalities, with intervals over groups and beside it that of shuffled classes.

    Empty where answers are not one class of several, and of more than `MOST_PAIRS` pairs.

    Args:
        pools: one per seed; their items together are decomposed.
        task: see `plait.evaluation.replicates.frames_of`.
        full: all modalities.
    """
    pairs = [*itertools.combinations(full, 2)]
    wanted = {s for a, b in pairs for s in ((a,), (b,), (a, b))}
    if not pairs or len(pairs) > MOST_PAIRS or not wanted <= set(pools[0].outputs):
        return []
    rows = {s: [frames_of(task, np.asarray(p.outputs[s]), np.asarray(p.target)) for p in pools] for s in wanted}
    told = {s: np.concatenate([scores for scores, _ in own]) for s, own in rows.items()}
    target = np.concatenate([t for _, t in rows[pairs[0]]])
    if target.ndim != 1 or not np.issubdtype(target.dtype, np.integer) or told[pairs[0]].ndim != 2:
        return []
    if len(np.unique(target)) < 2 or told[pairs[0]].shape[1] < 2:
        return []
    groups = np.concatenate([_groups_of(p) for p in pools])
    if len(groups) != len(target):
        return []  # a task that counts otherwise than by its instants
    chosen = np.random.default_rng(0).permutation(len(target))[:MOST_ROWS]
    target, groups = target[chosen], groups[chosen]
    told = {s: scores[chosen] for s, scores in told.items()}
    return [_row(pair, [told[s] for s in (pair[:1], pair[1:], pair)], target, groups) for pair in pairs]


def _groups_of(pool: ReplicateOutput) -> NDArray[np.str_]:
    """The group of each row that `frames_of` gives."""
    target, own = np.asarray(pool.target), np.asarray(pool.groups)
    if target.ndim == 1:
        return own
    asked = (target != NOT_ASKED).reshape(len(target), -1).sum(1)
    return np.repeat(own, asked)


def _row(
    pair: tuple[str, str], told: list[Floats], target: NDArray[np.integer], groups: NDArray[np.str_]
) -> Information:
    first, second, both = [recalibrated(x, target, groups) for x in told]
    values, units = decompositions(first, second, both, target, groups)
    whole = decompose(first, second, both, target)
    shuffled = np.random.default_rng(0).permutation(target)
    one, two, together = [recalibrated(x, shuffled, groups) for x in told]
    null = _column(decompose(one, two, together, shuffled))
    parts: list[Bits] = [
        {"bits": float(row[0]), "null": float(zero), "interval": interval_row(row, units)}
        for row, zero in zip(values, null)
    ]
    return {
        "modalities": [*pair],
        "first": whole.first,
        "second": whole.second,
        "both": whole.both,
        "redundancy": parts[0],
        "unique_first": parts[1],
        "unique_second": parts[2],
        "synergy": parts[3],
    }


def _column(found: Decomposition) -> Floats:
    return np.array([found.redundancy, *found.unique, found.synergy])


def _decomposed(
    first: Floats, second: Floats, both: Floats, target: NDArray[np.integer], start: Floats | None
) -> tuple[Decomposition, Floats]:
    seen, codes = np.unique(target, return_inverse=True)
    if len(seen) < 2:
        raise DataError("items of one class: there is no information to decompose. Give items of two classes or more.")
    prior = np.bincount(codes) / len(codes)
    told = [weighed(_of_classes(x, seen), codes, prior) for x in (first, second, both)]
    entropy = -float((prior * np.log2(prior)).sum())
    own, other, whole = (entropy + float(np.log2(x[np.arange(len(codes)), codes]).mean()) for x in told)
    levels = max(1, min(4, int((CELLS / len(seen) ** 3) ** 0.5)))
    one, two = (_table(x, levels, prior) for x in told[:2])
    if start is not None and start.shape != (len(one), len(two)):
        start = None  # a class that only the left-out group has
    union = union_information(one, two, start, tolerance=TOLERANCE)
    redundancy = information(one) + information(two) - union.bits
    # What is lost by taking states for answers is nobody's redundancy.
    redundancy = float(np.clip(redundancy, 0.0, max(0.0, min(own, other))))
    unique = (own - redundancy, other - redundancy)
    return Decomposition(redundancy, unique, whole - redundancy - sum(unique), own, other, whole), union.joint


def _of_classes(scores: Floats, seen: NDArray[np.integer]) -> Floats:
    """Probabilities of the classes that occur, given that it is one of them."""
    own = np.maximum(scores[:, seen], FLOOR)
    found: Floats = own / own.sum(1, keepdims=True)
    return found


def _table(told: Floats, levels: int, prior: Floats) -> Floats:
    """Joint distribution of a modality's state and the class, [states, classes]."""
    named, sure = told.argmax(1), told.max(1)
    state = named * levels
    for name in np.unique(named):
        own = named == name
        # Levels of as equal size as ties allow: cut at quantiles of this class's own sureness.
        cuts = np.quantile(sure[own], np.arange(1, levels) / levels)
        state[own] += np.searchsorted(cuts, sure[own], side="left")
    table = np.zeros((told.shape[1] * levels, told.shape[1]))
    np.add.at(table, state, told / len(told))
    # Both modalities must agree on how frequent the classes are.
    scaled: Floats = table * (prior / table.sum(0))
    return scaled
