"""Metrics: how good answers are. Models are selected and reported by them. One file per metric."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any, ClassVar, Literal

from plait.core.errors import ConfigError
from plait.core.parts import Spec, build, find, part_name, parts

__all__ = ["Metric", "Sort", "known_bounds", "metrics_for", "sort_of"]

Sort = Literal["classes", "labels", "values", "quantiles", "relations", "spans", "texts", "pairs", "references"]


class Metric(ABC):
    """How good answers are, as one number.

    In a recipe a task names it: ``task: {name: classify, metric: macro_f1}``. A class of your own is named by its
    dotted path: ``metric: mylab.metrics.Kappa``, or with options ``metric: {name: mylab.metrics.FBeta, beta: 2}``.
    Options are keyword-only arguments. The metric chosen selects the model, and it stands first in every report, under
    its class's name in snake_case.
    """

    of: ClassVar[Sort]
    """What the metric scores, and so which arguments it gets:

    - ``classes``: target [rows] int, scores [rows, classes] probabilities. Rows are items, or instants of items.
    - ``values``: target [rows], scores [rows], both in the target's units.
    - ``quantiles``: target [rows], scores are `plait.metrics.quantiles.Quantiles` [rows, levels] in the same units.
    - ``relations``: target [items, relations * 4] and scores [items, answers * 4]; see `plait.metrics.relation_recall`.
    - ``labels``, several per row: target [rows, labels] 0 or 1, scores [rows, labels], one probability per label.
    - ``spans``: target and scores are lists of `plait.metrics.spans.Span`, of all items.
    - ``texts``: target and scores are lists of texts, one per item.
    - ``pairs``: target [rows], the group of each row; scores [rows, 2, width]: its embeddings as a query, and as a row
      of the index. Rows of one group are right answers to each other.
    - ``references``, texts with several right answers: target is a list of one or more texts for each item, scores a
      list of texts.
    """

    higher_is_better: ClassVar[bool] = True

    bounds: ClassVar[tuple[float, float]] = (-math.inf, math.inf)
    """Smallest and largest value; confidence intervals are clipped to them."""

    percent: ClassVar[bool] = False
    """Whether reports show it in percent."""

    standard: ClassVar[bool] = True
    """Whether every task of its sort reports it; if False, only tasks that name it."""

    rank: ClassVar[int] = 50
    """Order in reports: smaller ranks come first."""

    @classmethod
    def fits(cls, classes: int) -> bool:
        """Whether the metric is defined for this number of classes."""
        return True

    @abstractmethod
    def __call__(self, target: Any, scores: Any) -> float:
        """The metric; nan where it is undefined, and always nan for empty input.

        Args:
            target: the truth, as `of` says.
            scores: the answers.

        Raises:
            DataError: target and scores do not fit together, or are not numbers.
        """


def known_bounds(name: str) -> tuple[float, float]:
    """The bounds of one of plait's own metrics, by name; infinite for any other name.

    >>> known_bounds("corr"), known_bounds("profit")
    ((-1.0, 1.0), (-inf, inf))
    """
    cls = parts(Metric).get(name)
    return cls.bounds if cls else (-math.inf, math.inf)


def metrics_for(of: Sort, chosen: Spec, *, where: str, classes: int = 0) -> dict[str, Metric]:
    """The metrics that a task reports, by name: the chosen one, then the standard ones of its sort.

    Args:
        of: what the task answers with.
        chosen: a metric's name, or its spec with options.
        where: place in the recipe, for error messages.
        classes: number of classes; 0 if the task has none.

    Raises:
        ConfigError: there is no such metric, or it scores another sort of answers.

    >>> list(metrics_for("values", "rmse", where="regress.metric"))
    ['rmse', 'mae', 'corr']
    """
    main = build(Metric, chosen, where=where)
    name = part_name(type(main))
    if not _usable(type(main), of, classes):
        known = [n for n, cls in parts(Metric).items() if _usable(cls, of, classes)]
        what = f"with {classes} classes" if classes else f"of {of}"
        raise ConfigError(f"{where}: got {name!r}; {what} there are: {', '.join(known)}.")
    standard = [(n, cls) for n, cls in parts(Metric).items() if cls.standard and _usable(cls, of, classes)]
    ranked = sorted(standard, key=lambda pair: pair[1].rank)
    return {name: main, **{n: cls() for n, cls in ranked if n != name}}


def sort_of(chosen: Spec, *, where: str) -> Sort:
    """What a metric scores, given its name or its spec with options.

    Raises:
        ConfigError: there is no such metric.
    """
    return find(Metric, chosen, where)[0].of


def _usable(cls: type[Metric], of: Sort, classes: int) -> bool:
    return cls.of == of and (not classes or cls.fits(classes))
