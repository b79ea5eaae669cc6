"""Sets of classes, and intervals of values, that hold the truth as often as they promise; kept with a model.

Split conformal prediction: Vovk, Gammerman & Shafer 2005, "Algorithmic learning in a random world"; sets of classes by
the least ambiguous ones (Sadinle, Lei & Wasserman 2019, "Least ambiguous set-valued classifiers with bounded error
levels", JASA 114), intervals by absolute errors (Lei et al. 2018, "Distribution-free predictive inference for
regression", JASA 113).

The promise is about items that are exchangeable with those of the calibration: further items of the same people. It
says nothing of new people, of whom only as many are known as there are groups; so beside it is kept how often the sets
of a group that was left out hold the truth, without a promise.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from plait.core.errors import ConfigError, DataError
from plait.tasks.answers import Answer, Label, Value

__all__ = [
    "LEVELS",
    "Calibrated",
    "Within",
    "calibrated",
    "checked_level",
    "nonconformity",
    "one_each",
    "read_calibrated",
    "threshold",
]

LEVELS = [percent / 100 for percent in range(50, 100)]
"""Levels for which thresholds are kept."""

NEAR = 1e-6
"""What single precision may change in a probability, so that an item of the calibration stays in its own set."""

Floats = NDArray[np.float64]


def one_each(scores: NDArray[np.generic], target: NDArray[np.generic], *, values: bool) -> bool:
    """Whether there is one class, or one value, per item: what sets and intervals are made of.

    >>> one_each(np.zeros((5, 3)), np.zeros(5), values=False), one_each(np.zeros((5, 2, 3)), np.zeros(5), values=False)
    (True, False)
    """
    return target.ndim == 1 and scores.ndim == 2 and (scores.shape[1] == 1 if values else scores.shape[1] > 1)


def nonconformity(scores: Floats, target: NDArray[np.generic]) -> Floats:
    """How badly the truth fits the answer, [items]: 1 less its probability, or the absolute error of a value.

    >>> nonconformity(np.array([[0.75, 0.25]]), np.array([1])).tolist()
    [0.75]
    >>> nonconformity(np.array([[2.0]]), np.array([5.0])).tolist()
    [3.0]
    """
    if scores.shape[1] > 1:
        return np.asarray(1 - scores[np.arange(len(scores)), np.asarray(target, np.intp)], np.float64)
    return np.abs(scores[:, 0] - np.asarray(target, np.float64))


def threshold(calibration: Floats, level: float = 0.9) -> float:
    """The greatest nonconformity that is still taken into a set; infinite with too few items for the level.

    The ``ceil((n + 1) * level)``-th smallest of n: a further item stays at or below it with probability ``level`` at
    least.

    Args:
        calibration: nonconformity of items that neither trained the model nor are tested, [items].
        level: how often sets hold the truth.

    Raises:
        DataError: the level is not between 0 and 1.

    >>> threshold(np.arange(1.0, 10.0), 0.8), threshold(np.arange(3.0), 0.9)
    (8.0, inf)
    """
    if not 0 < level < 1:
        raise DataError(f"level of conformal sets {level}; expected between 0 and 1, such as 0.9.")
    return _limits(np.sort(calibration), [level])[0]


def _limits(rising: Floats, levels: Sequence[float]) -> list[float]:
    """The thresholds of values that are sorted already."""
    ranks = [math.ceil((len(rising) + 1) * level - 1e-9) for level in levels]
    return [float(rising[rank - 1]) if rank <= len(rising) else math.inf for rank in ranks]


def checked_level(level: float) -> float:
    """A level for which thresholds are kept.

    Raises:
        ConfigError: it is not a whole percentage from 50 to 99.

    >>> checked_level(0.9)
    0.9
    """
    if not any(abs(level - kept) < 1e-9 for kept in LEVELS):
        raise ConfigError(f"level {level}: expected a whole percentage from 0.5 to 0.99, such as 0.9.")
    return round(level, 2)


@dataclass(frozen=True)
class Within:
    """What the truth is among, as often as ``level`` says.

    Attributes:
        level: how often.
        classes: of the set; None: it is an interval.
        interval: lowest and highest value; None: it is a set, or nothing is promised.
        items, groups: that it was calibrated by.
        left_out: how often the truth of a group is held by a threshold from the others; None: groups are single items,
            or there is one.
        indirect: whether another model, trained without these items, was calibrated instead.
        note: why all classes or all values are in it; or "".

    >>> one = Within(0.9, ("run", "walk"), None, 40, 4, 0.8)
    >>> print(one)
    90 %: {run, walk}
    >>> one.promise().partition(";")[0]
    'the set holds the truth of 90 % of further items of the same 4 groups (40 items) that it was calibrated by'
    """

    level: float
    classes: tuple[str, ...] | None
    interval: tuple[float, float] | None
    items: int
    groups: int
    left_out: float | None = None
    indirect: bool = False
    note: str = ""

    def __str__(self) -> str:
        if self.classes is not None:
            told = "any class" if self.note else f"{{{', '.join(self.classes)}}}" if self.classes else "no class"
        else:
            told = "any value" if self.interval is None else f"{self.interval[0]:.3f} to {self.interval[1]:.3f}"
        return f"{_percent(self.level)}: {told}"

    def promise(self) -> str:
        """What is promised, and what is not, in a sentence."""
        if self.note:
            return self.note
        what = "set" if self.classes is not None else "interval"
        told = f"the {what} holds the truth of {_percent(self.level)} of further items"
        by = "a model like this one, trained without them," if self.indirect else "it"
        if self.left_out is None:
            return f"{told} like the {self.items} that {by} was calibrated by"
        return (
            f"{told} of the same {self.groups} groups ({self.items} items) that {by} was calibrated by; of new groups "
            f"nothing is promised: with each of these left out in turn, {_percent(self.left_out)} were held"
        )

    def to_json(self) -> dict[str, object]:
        """One object; ``set`` or ``interval`` (null: any value), and what they rest on."""
        own: dict[str, object] = {"level": self.level}
        own |= {"set": [*self.classes]} if self.classes is not None else {"interval": self.interval}
        own |= {"items": self.items, "groups": self.groups, "groups_left_out": self.left_out}
        return {**own, "indirect": self.indirect, "promise": self.promise()}


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


class Calibrated(BaseModel):
    """Thresholds of one subset of the modalities, as JSON keeps them.

    Attributes:
        modalities: the subset.
        items, groups: that decided; each item has all of these modalities.
        thresholds: by `LEVELS`; None: there are too few items.
        groups_left_out: by `LEVELS`, how often truths of a group are held by a threshold from the others; None: each
            item is a group, or there is one group.
        indirect: whether another model, trained without these items, was calibrated instead.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    modalities: list[str]
    items: int = Field(ge=0)
    groups: int = Field(ge=0)
    thresholds: list[float | None] = Field(min_length=len(LEVELS), max_length=len(LEVELS))
    groups_left_out: list[float] | None = Field(default=None, min_length=len(LEVELS), max_length=len(LEVELS))
    indirect: bool = False

    def limit(self, level: float) -> float:
        """The threshold of a level; infinite with too few items."""
        found = self.thresholds[LEVELS.index(checked_level(level))]
        return math.inf if found is None else found

    def around(self, answer: Answer | None, level: float = 0.9) -> Within | None:
        """The set of classes, or the interval of values, around an answer; None for another kind of answer.

        Args:
            answer: of the model, from these modalities.
            level: how often it is to hold the truth.

        Raises:
            ConfigError: see `checked_level`.
        """
        limit, note, inside, ends = self.limit(level), "", None, None
        if math.isinf(limit):
            fewest = math.ceil(level / (1 - level) - 1e-9)
            note = f"nothing is left out: {self.items} items calibrate it, and {_percent(level)} needs {fewest}"
        if isinstance(answer, Label):
            inside = tuple(name for name, p in answer.probabilities.items() if 1 - p <= limit + NEAR)
        elif isinstance(answer, Value):
            ends = None if note else (answer.value - limit, answer.value + limit)
        else:
            return None
        each = self.groups_left_out
        left_out = None if each is None else each[LEVELS.index(checked_level(level))]
        return Within(level, inside, ends, self.items, self.groups, left_out, self.indirect, note)


def read_calibrated(found: object) -> list[Calibrated]:
    """Thresholds from JSON.

    Raises:
        DataError: they are garbled.
    """
    try:
        return TypeAdapter(list[Calibrated]).validate_python(found)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise DataError(f"factors: conformal, {'.'.join(map(str, first['loc']))}: {first['msg']}.") from error


def calibrated(
    modalities: Iterable[str], values: Floats, groups: NDArray[np.generic], *, indirect: bool = False
) -> Calibrated:
    """The thresholds of items that were not trained on.

    Args:
        modalities: that they were answered from.
        values: nonconformity, [items].
        groups: of each item.
        indirect: whether another model will answer.

    >>> found = calibrated(["imu"], np.arange(1.0, 20.0), np.arange(19))
    >>> found.limit(0.9), found.limit(0.99)
    (18.0, inf)
    """
    limits = _limits(np.sort(values), LEVELS)
    names = np.unique(groups)
    return Calibrated(
        modalities=[*modalities],
        items=len(values),
        groups=len(names),
        thresholds=[None if math.isinf(x) else x for x in limits],
        groups_left_out=_left_out(values, groups) if 1 < len(names) < len(values) else None,
        indirect=indirect,
    )


def _left_out(values: Floats, groups: NDArray[np.generic]) -> list[float]:
    """By level, the share of items at or below a threshold from all other groups."""
    held = np.zeros(len(LEVELS))
    for name in np.unique(groups):
        own = groups == name
        held += (values[own, None] <= _limits(np.sort(values[~own]), LEVELS)).sum(0)
    return [float(x) for x in held / len(values)]
