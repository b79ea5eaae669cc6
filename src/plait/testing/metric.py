"""The laws of metrics."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from plait.metrics import Metric
from plait.metrics.quantiles import Quantiles
from plait.metrics.spans import Span
from plait.testing.laws import require

__all__ = ["check_metric"]

Side = Any
"""Targets or scores, of the sort that the metric takes."""

Pair = tuple[Side, Side]

ITEMS = 40
VOCABULARY = ["a", "bc", "def", "ghij"]


def check_metric(cls: type[Metric], **options: object) -> None:
    """Check the laws of a metric on random answers.

    Best (perfect answers give the best value, worse ones a worse value); order (of items does not matter, nor that of
    spans in their list); bounds (values stay within them); nan (only for empty input, unless the docstring mentions
    nan); inputs (they are not changed).

    Args:
        cls: the class, constructed as ``cls(**options)``.
        options: its options.

    Raises:
        LawBroken: which law, and how.
    """
    metric = cls(**options)
    low, high = cls.bounds
    require(low < high, cls, "bounds", f"{cls.bounds}; expected a lower one and a higher one")
    drawn = [pair for seed in range(8) for pair in _drawn(cls, seed)]
    require(bool(drawn), cls, "best", "it fits neither two nor three classes, so that nothing can be checked")
    values = []
    for target, scores in drawn:
        values.append(_value(cls, metric, target, scores))
        _check_order(cls, metric, target, scores)
    _check_best(cls, metric, values, drawn)
    for target, scores in _odd(cls):
        _check_nan(cls, _value(cls, metric, target, scores), len(target))


def _value(cls: type[Metric], metric: Metric, target: Side, scores: Side) -> float:
    # repr serves arrays, lists and spans alike; 40 items are few enough for numpy to print them all.
    before = repr((target, scores))
    found = metric(target, scores)
    require(repr((target, scores)) == before, cls, "inputs", "it changes what it is given")
    require(isinstance(found, float), cls, "bounds", f"it gives {type(found).__name__}; expected a float")
    low, high = cls.bounds
    within = math.isnan(found) or low - 1e-9 <= found <= high + 1e-9
    require(within, cls, "bounds", f"it gives {found}; expected {low} to {high}")
    return found


def _drawn(cls: type[Metric], seed: int) -> Iterator[Pair]:
    """Answers better than chance, in which all classes occur."""
    rng = np.random.default_rng(seed)
    if cls.of == "values":
        target = rng.normal(size=ITEMS)
        yield target, target + rng.normal(size=ITEMS)
    elif cls.of == "quantiles":
        value = rng.normal(size=ITEMS)
        near, rival = (value[:, None] + rng.normal(size=(ITEMS, 1)) + [-0.5, 0.0, 0.5] for _ in range(2))
        yield value, Quantiles((0.1, 0.5, 0.9), near, rival)
    elif cls.of == "texts":
        texts = [" ".join(rng.choice(VOCABULARY, 4)) for _ in range(ITEMS)]
        yield texts, [" ".join(rng.choice([*text.split(), "x"], 4)) for text in texts]
    elif cls.of == "pairs":
        groups = np.repeat(np.arange(ITEMS // 2), 2)
        pairs = np.eye(ITEMS)[groups][:, None] + 0.6 * rng.normal(size=(ITEMS, 2, ITEMS))
        yield groups, pairs / np.linalg.norm(pairs, axis=-1, keepdims=True)
    elif cls.of == "references":
        several = [[" ".join(rng.choice(VOCABULARY, 5)) for _ in range(2)] for _ in range(ITEMS)]
        yield several, [" ".join(rng.choice([*texts[0].split(), "x"], 5)) for texts in several]
    elif cls.of == "spans":
        true = [Span(i, 10 * k, 10 * k + int(rng.integers(3, 9)), k % 3) for i in range(ITEMS) for k in range(4)]
        ends = [(s.start + int(rng.integers(0, 2)), s.stop + int(rng.integers(0, 7))) for s in true]
        said = [s._replace(start=a, stop=b, score=float(rng.random())) for s, (a, b) in zip(true, ends)]
        yield true, [s for s in said if rng.random() < 0.9]
    elif cls.of == "relations":
        yield _relations(rng)
    elif cls.of == "labels":
        truth = rng.integers(0, 2, (ITEMS, 3))
        yield truth, (rng.random((ITEMS, 3)) + 0.5 * truth) / 1.5
    else:
        for classes in (2, 3):
            if cls.fits(classes):
                yield _classes(rng, classes)


def _relations(rng: np.random.Generator) -> Pair:
    """Two pairs per item, each with one of four predicates; one predicate of each is answered, often the true one."""
    true = np.stack([np.tile([0, 1], (ITEMS, 1)), rng.integers(0, 4, (ITEMS, 2))], -1)
    target = np.concatenate([true, rng.integers(0, 2, (ITEMS, 2, 1)), np.full((ITEMS, 2, 1), 2)], -1)
    said = np.where(rng.random((ITEMS, 2)) < 0.6, true[..., 1], (true[..., 1] + 1) % 4)
    scores = np.stack([true[..., 0], said, np.full((ITEMS, 2), 0.5), np.ones((ITEMS, 2))], -1)
    return target.reshape(ITEMS, -1), scores.reshape(ITEMS, -1)


def _classes(rng: np.random.Generator, classes: int) -> Pair:
    target = rng.permutation(np.resize(np.arange(classes), ITEMS))
    scores = rng.dirichlet(np.ones(classes), ITEMS) + 0.3 * np.eye(classes)[target]
    return target, scores / scores.sum(-1, keepdims=True)


def _perfect(cls: type[Metric], target: Side, scores: Side) -> Side:
    if cls.of in ("values", "texts", "spans"):
        return target
    if cls.of == "references":
        return [texts[0] for texts in target]
    if cls.of == "quantiles":
        return replace(scores, values=np.repeat(target[:, None], len(scores.levels), 1))
    if cls.of == "labels":
        return target.astype(float)
    if cls.of == "pairs":
        return np.repeat(np.eye(ITEMS)[target][:, None], 2, 1)
    if cls.of == "relations":
        rows = target.reshape(len(target), -1, 4)[..., [0, 1, 3, 3]].astype(float)
        return np.where(np.arange(4) < 2, rows, 1.0).reshape(len(target), -1)
    return np.eye(scores.shape[-1])[np.maximum(target, 0)]


def _check_best(cls: type[Metric], metric: Metric, values: list[float], drawn: list[Pair]) -> None:
    require(not any(map(math.isnan, values)), cls, "nan", "it gives nan on ordinary answers")
    best, sign = cls.bounds[1 if cls.higher_is_better else 0], 1 if cls.higher_is_better else -1
    for value, (target, scores) in zip(values, drawn):
        perfect = _value(cls, metric, target, _perfect(cls, target, scores))
        reached = math.isinf(best) or abs(perfect - best) < 1e-6
        require(reached, cls, "best", f"perfect answers give {perfect}; expected {best}")
        require(sign * (perfect - value) > 0, cls, "best", f"perfect answers give {perfect}, and worse ones {value}")


def _check_order(cls: type[Metric], metric: Metric, target: Side, scores: Side) -> None:
    rng = np.random.default_rng(0)
    order = rng.permutation(len(target))
    # Spans carry their item, so that scores have an order of their own; other sorts match by position.
    turned = (_taken(target, order), _taken(scores, rng.permutation(len(scores)) if cls.of == "spans" else order))
    one, two = metric(target, scores), metric(*turned)
    require(math.isclose(one, two, rel_tol=1e-9, abs_tol=1e-9), cls, "order", f"{one}, in another order {two}")


def _taken(values: Side, order: Side) -> Side:
    return [values[i] for i in order] if isinstance(values, list) else values[order]


def _odd(cls: type[Metric]) -> Iterator[Pair]:
    """Empty input, one item, and identical items."""
    for target, scores in _drawn(cls, 0):
        yield target[:0], scores[:0]
        yield _taken(target, [0]), _taken(scores, [0])
        yield _taken(target, [0] * 5), _taken(scores, [0] * 5)
        if cls.of == "values":
            yield np.zeros(5), scores[:5]


def _check_nan(cls: type[Metric], value: float, items: int) -> None:
    told = "nan" in (cls.__doc__ or "").lower()
    require(
        not math.isnan(value) or not items or told,
        cls,
        "nan",
        f"nan of {items} items; its docstring mentions none",
    )
    require(math.isnan(value) or bool(items), cls, "nan", f"{value} for empty input; expected nan")
