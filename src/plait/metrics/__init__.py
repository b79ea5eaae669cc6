"""Metrics: how good answers are, by which a model is selected and reported. One file a metric."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any, ClassVar, Literal

from plait.core.errors import ConfigError
from plait.core.parts import Spec, build, find, part_name, parts

__all__ = ["Metric", "Sort", "known_bounds", "metrics_for", "sort_of"]

Sort = Literal["classes", "labels", "values", "spans", "texts"]


class Metric(ABC):
    """How good answers are, as one number.

    In a recipe a task names it: ``task: {name: classify, metric: macro_f1}``, or ``metric: mylab.metrics.Kappa`` of
    one's own, with options ``metric: {name: mylab.metrics.FBeta, beta: 2}``. Its options are its keyword-only
    arguments. It is then selected by, and stands first in every report, under its class's name in snake_case.
    """

    of: ClassVar[Sort]
    """What it is of, and so what it is given:

    - ``classes``: target [rows] int, scores [rows, classes] probabilities. Rows are items, or instants of items.
    - ``values``: target [rows], scores [rows], both in units.
    - ``labels``, several at once: target [rows, labels] 0 or 1, scores [rows, labels] probabilities, each by itself.
    - ``spans``: target and scores are lists of `plait.metrics.spans.Span`, of all items.
    - ``texts``: target and scores are lists of texts, one an item.
    """

    higher_is_better: ClassVar[bool] = True

    bounds: ClassVar[tuple[float, float]] = (-math.inf, math.inf)
    """Between what it lies: an interval stays within."""

    percent: ClassVar[bool] = False
    """Whether people read it in percent."""

    standard: ClassVar[bool] = True
    """Whether it is reported of every task of its sort; if not, only where it is named."""

    rank: ClassVar[int] = 50
    """Of several that are reported the one with the smaller number comes first."""

    @classmethod
    def fits(cls, classes: int) -> bool:
        """Whether it is defined for so many classes."""
        return True

    @abstractmethod
    def __call__(self, target: Any, scores: Any) -> float:
        """The metric; nan where it is not defined, of nothing at all in any case.

        Args:
            target: the truth, as `of` says.
            scores: the answers.

        Raises:
            DataError: they do not fit together, or are no numbers.
        """


def known_bounds(name: str) -> tuple[float, float]:
    """The bounds of one of plait's own metrics, by its name; of any other none.

    >>> known_bounds("corr"), known_bounds("profit")
    ((-1.0, 1.0), (-inf, inf))
    """
    cls = parts(Metric).get(name)
    return cls.bounds if cls else (-math.inf, math.inf)


def metrics_for(of: Sort, chosen: Spec, *, where: str, classes: int = 0) -> dict[str, Metric]:
    """What a task reports, by name: the metric chosen, then the standard ones of its sort.

    Args:
        of: what the task answers with.
        chosen: a metric's name, or its spec with options.
        where: in the recipe, for messages.
        classes: how many there are; 0: none.

    Raises:
        ConfigError: there is no such metric, or it is of something else.

    >>> list(metrics_for("values", "rmse", where="regress.metric"))
    ['rmse', 'mae', 'corr']
    """
    main = build(Metric, chosen, where=where)
    name = part_name(type(main))
    if not _usable(type(main), of, classes):
        known = [n for n, cls in parts(Metric).items() if _usable(cls, of, classes)]
        what = f"with {classes} classes" if classes else f"of {of}"
        raise ConfigError(f"{where}: got {name!r}; {what} there is: {', '.join(known)}.")
    standard = [(n, cls) for n, cls in parts(Metric).items() if cls.standard and _usable(cls, of, classes)]
    ranked = sorted(standard, key=lambda pair: pair[1].rank)
    return {name: main, **{n: cls() for n, cls in ranked if n != name}}


def sort_of(chosen: Spec, *, where: str) -> Sort:
    """What a metric, by its name or its spec with options, is of.

    Raises:
        ConfigError: there is no such metric.
    """
    return find(Metric, chosen, where)[0].of


def _usable(cls: type[Metric], of: Sort, classes: int) -> bool:
    return cls.of == of and (not classes or cls.fits(classes))
