"""The base of tasks whose answer is one of several classes."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections import Counter
from collections.abc import Sequence
from typing import Any, Self, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from plait.core.errors import ConfigError, DataError, raise_all
from plait.core.parts import Options, Spec, part_name
from plait.examples.targets import Target
from plait.examples.units.cuts import Label as Name
from plait.metrics import metrics_for
from plait.metrics.functional import Array
from plait.tasks import Task
from plait.tasks.answers import Answer, Label
from plait.tasks.heads import PooledLinear
from plait.tokens import Instants

__all__ = ["OfClasses", "class_key", "classes_of"]


class OfClasses(Task):
    """Base of tasks with one class per item: classes, metrics, baseline and answers.

    A subclass says what an output means: `class_logits`, and how many numbers it has (``n_outputs``) if not one per
    class. It may have another `loss` or `head`.

    A class keeps its JSON type. A number and its text are one class (3, 3.0 and "3"; True and "true"), so
    that labels read from a CSV meet those from JSON; if both occur, the typed form is kept.

    Args:
        targets: the training items' labels.
        metric: by what validation selects: see `plait.tasks.classify.Classify`.
        order: the classes in their order; None: numbers by size, then texts by letter.
        dropout: share of the pooled numbers that a head sets to 0 in training.

    Raises:
        DataError: fewer than two classes, or a label that is neither a text nor a finite number.
        ConfigError: an unknown metric; an ``order`` that lacks a class of the training items, or has one twice.
    """

    def __init__(
        self, targets: list[Target], metric: Spec, *, order: Sequence[Name] | None = None, dropout: float = 0.4
    ) -> None:
        super().__init__()
        self.metric, self.order, self.dropout = metric, order, dropout
        found, where = classes_of(targets), part_name(type(self))
        self.classes: list[Name] = found if order is None else _ordered(found, order)
        if len(self.classes) < 2:
            raise DataError(
                f"the training items have {len(self.classes)} class{'' if len(self.classes) == 1 else 'es'} "
                f"({', '.join(map(repr, self.classes)) or 'no labels at all'}); "
                "expected two or more. Check target and split."
            )
        self._index = {class_key(c): i for i, c in enumerate(self.classes)}
        tally = Counter(self._index[class_key(t)] for t in targets)
        self.counts = [tally[i] for i in range(len(self.classes))]
        self.n_outputs = len(self.classes)
        self._metrics = metrics_for("classes", metric, where=f"{where}.metric", classes=self.n_outputs)
        self.select_by(self._metrics)

    @abstractmethod
    def class_logits(self, output: Tensor) -> Tensor:
        """[batch, n_outputs] -> [batch, classes]: numbers whose softmax are the classes' probabilities."""

    def head(self, dim: int) -> nn.Module:
        return PooledLinear(dim, self.n_outputs, self.dropout)

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        return self.nll(output, target)

    def nll(self, output: Tensor, target: Tensor, doubt: float = 0.0) -> Tensor:
        return super().nll(self.class_logits(output), target, doubt)

    def divergence(self, output: Tensor, teacher: Tensor) -> Tensor:
        return super().divergence(self.class_logits(output), self.class_logits(teacher))

    def scores(self, output: Tensor) -> NDArray[np.float64]:
        """Probabilities [items, classes], float64."""
        return self.readable(output.detach().double()).cpu().numpy()

    def readable(self, output: Tensor) -> Tensor:
        """Probabilities, [items, classes]."""
        return self.class_logits(output).softmax(-1)

    def legend(self) -> Options:
        return {"kind": "classes", "classes": list(self.classes)}

    def encode(self, targets: list[Target]) -> Tensor:
        """The index of each item's class, [batch], long.

        Raises:
            DataError: a label that is not among the training classes.
        """
        keys = [class_key(t) for t in targets]
        strange = sorted({repr(t) for t, k in zip(targets, keys) if k not in self._index})
        raise_all(
            DataError,
            [
                f"label {t} is not among the training classes {self.classes}. Correct it or leave it out."
                for t in strange
            ],
        )
        return torch.tensor([self._index[k] for k in keys], dtype=torch.long)

    def decode(self, output: Tensor, at: Instants | None = None) -> list[Answer]:
        names = [class_key(c) for c in self.classes]
        return [
            Label(self.classes[int(row.argmax())], float(row.max()), {n: float(p) for n, p in zip(names, row)})
            for row in self.scores(output)
        ]

    def metrics(self, scores: NDArray[np.float64], target: NDArray[np.generic]) -> dict[str, float]:
        """The chosen metric, then ``accuracy balanced_accuracy macro_f1 weighted_f1 log_loss ece``, and ``roc_auc``."""
        truth = np.asarray(target, np.int64)
        return {name: metric(truth, scores) for name, metric in self._metrics.items()}

    def baseline(self, train: Array, count: int) -> NDArray[np.float64]:
        """The class frequencies of training, for every item; so the answer is the majority class."""
        tally = np.bincount(np.asarray(train, np.int64), minlength=len(self.classes)).astype(np.float64)
        return np.tile(tally / max(tally.sum(), 1), (count, 1))

    def state(self) -> Options:
        return {"classes": list(self.classes), "counts": list(self.counts)}

    @classmethod
    def restore(cls, state: Options, **options: Any) -> Self:
        task = cls(state["classes"], **options)  # one target per class gives the classes, but not the counts
        task.counts = [int(count) for count in state["counts"]]
        return task


def _ordered(found: Sequence[Name], order: Sequence[Name]) -> list[Name]:
    """The classes in the order given."""
    if isinstance(order, str):
        raise ConfigError(f"task.order: got the text {order!r}; expected a list of classes, such as [low, high].")
    keys = [class_key(c) for c in order]
    if missing := {class_key(c) for c in found} - set(keys):
        raise ConfigError(f"task.order: lacks {sorted(missing)}, which training items have. Give all classes.")
    if twice := sorted({key for key in keys if keys.count(key) > 1}):
        raise ConfigError(f"task.order: has {twice} twice. Name each class once.")
    return list(order)


def class_key(label: Target) -> str:
    """The text that identifies a class: its JSON form; texts stay as they are.

    Raises:
        DataError: neither a text nor a finite number.

    >>> class_key(3.0), class_key("3"), class_key(True), class_key(2.5)
    ('3', '3', 'true', '2.5')
    """
    if isinstance(label, np.generic):
        label = label.item()
    if isinstance(label, bool):  # before numbers, since a bool is an int
        return "true" if label else "false"
    if isinstance(label, str):
        return label
    if not isinstance(label, int | float) or not math.isfinite(label):
        raise DataError(f"label {label!r} cannot name a class; expected a text or a finite number. Leave the item out.")
    return str(int(label)) if label == int(label) else repr(label)


def classes_of(targets: Sequence[Target]) -> list[Name]:
    """The distinct classes: numbers by size, then texts alphabetically."""
    found: dict[str, Name] = {}
    for target in targets:
        plain = target.item() if isinstance(target, np.generic) else target
        if isinstance(plain, float) and plain.is_integer():
            plain = int(plain)
        key = class_key(plain)
        if key not in found or isinstance(found[key], str):
            found[key] = cast("Name", plain)  # `class_key` has refused other types
    return sorted(found.values(), key=lambda c: (isinstance(c, str), isinstance(c, bool), c))
