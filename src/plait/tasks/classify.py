"""One class an item."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from plait.core.errors import ConfigError, DataError, raise_all
from plait.core.parts import Spec
from plait.examples.targets import Target
from plait.examples.units.cuts import Label as Name
from plait.metrics import metrics_for
from plait.tasks import Task
from plait.tasks.answers import Answer, Label
from plait.tasks.heads import PooledLinear
from plait.tokens import Instants

__all__ = ["Classify"]


class Classify(Task):
    """Which of the classes that the training targets name.

    A class keeps its JSON type. A number and its text are one class (3, 3.0 and "3"; True and "true"), so
    that labels read from a CSV meet those from JSON; the typed form is kept if either occurs.

    Args:
        targets: the training items' labels.
        smoothing: label smoothing (Szegedy et al. 2016, section 7): this share of the target goes to all
            classes alike.
        class_weight: None, or ``balanced``: an item counts ``n / (classes * n of its class)``.
        dropout: share of the pooled numbers that a head sets to 0 in training.
        metric: by what validation selects: a `plait.metrics.Metric` of classes, by its name or the dotted path of your
            own. ``roc_auc`` is of two classes only; the second one is the positive.

    Raises:
        DataError: fewer than two classes, or a label that is neither a text nor a finite number.
        ConfigError: an unknown metric or class weight.

    >>> task = Classify(["walk", "run", "walk"])
    >>> task.classes, task.encode(["walk", "run"]).tolist()
    (['run', 'walk'], [1, 0])
    """

    main_metric = "accuracy"
    linear = True

    def __init__(
        self,
        targets: list[Target],
        *,
        smoothing: float = 0.1,
        class_weight: str | None = None,
        dropout: float = 0.4,
        metric: Spec = "accuracy",
    ) -> None:
        super().__init__()
        classes = classes_of(targets)
        index = {class_key(c): i for i, c in enumerate(classes)}
        tally = Counter(index[class_key(t)] for t in targets)
        self._set(classes, [tally[i] for i in range(len(classes))])
        self.smoothing, self.class_weight, self.dropout = smoothing, class_weight, dropout
        self._choose(metric)

    def _set(self, classes: list[Name], counts: list[int]) -> None:
        if len(classes) < 2:
            raise DataError(
                f"the training items have {len(classes)} class{'' if len(classes) == 1 else 'es'} "
                f"({', '.join(map(repr, classes)) or 'no labels at all'}); "
                "expected two or more. Check label and split."
            )
        self.classes, self.counts, self.width = classes, counts, len(classes)
        self._index = {class_key(c): i for i, c in enumerate(classes)}

    def _choose(self, metric: Spec) -> None:
        if self.class_weight not in (None, "balanced"):
            raise ConfigError(f"classify.class_weight: got {self.class_weight!r}; expected null or 'balanced'.")
        if not 0 <= self.smoothing < 1:
            raise ConfigError(f"classify.smoothing: got {self.smoothing}; expected 0 or more, below 1.")
        self.metric = metric
        self._metrics = metrics_for("classes", metric, where="classify.metric", classes=self.width)
        self.main_metric, main = next(iter(self._metrics.items()))  # type: ignore[misc]
        self.higher_is_better, self.bounds = main.higher_is_better, main.bounds  # type: ignore[misc]
        balanced = [sum(self.counts) / (self.width * max(c, 1)) for c in self.counts]
        weights = balanced if self.class_weight else [1.0] * self.width
        self.register_buffer("weight", torch.tensor(weights), persistent=False)

    def head(self, dim: int) -> nn.Module:
        return PooledLinear(dim, self.width, self.dropout)

    def encode(self, targets: list[Target]) -> Tensor:
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

    def prior(self) -> Tensor:
        """Logarithms of the classes' shares of the training items, as ``class_weight`` counts them."""
        shares = torch.tensor(self.counts, dtype=torch.float32) * self.get_buffer("weight").cpu()
        return (shares.clamp(min=0.5) / shares.sum()).log()

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        raw = F.cross_entropy(output, target, label_smoothing=self.smoothing, reduction="none")
        return raw * self.get_buffer("weight")[target]

    def decode(self, output: Tensor, at: Instants | None = None) -> list[Answer]:
        names = [class_key(c) for c in self.classes]
        return [
            Label(self.classes[int(row.argmax())], float(row.max()), {n: float(p) for n, p in zip(names, row)})
            for row in self.scores(output)
        ]

    def scores(self, output: Tensor) -> NDArray[np.float64]:
        """Probabilities [items, classes], float64."""
        return output.detach().double().softmax(-1).cpu().numpy()

    def metrics(self, scores: NDArray[np.float64], target: NDArray[np.generic]) -> dict[str, float]:
        """The chosen one, then ``accuracy balanced_accuracy macro_f1 weighted_f1 log_loss ece``; ``roc_auc`` of two."""
        truth = np.asarray(target, np.int64)
        return {name: metric(truth, scores) for name, metric in self._metrics.items()}

    def baseline(self, train: NDArray[Any], count: int) -> NDArray[np.float64]:
        """The training frequencies, for every item: so the guess is the majority class."""
        tally = np.bincount(np.asarray(train, np.int64), minlength=self.width).astype(np.float64)
        return np.tile(tally / max(tally.sum(), 1), (count, 1))

    def state(self) -> dict[str, Any]:
        return {"classes": list(self.classes), "counts": list(self.counts)}

    @classmethod
    def restore(cls, state: dict[str, Any], **options: Any) -> Classify:
        task = cls(state["classes"], **options)
        task._set(state["classes"], [int(c) for c in state["counts"]])
        task._choose(task.metric)
        return task


def class_key(label: Target) -> str:
    """The text under which a class is known: that of its JSON form, texts as they are.

    Raises:
        DataError: neither a text nor a finite number.

    >>> class_key(3.0), class_key("3"), class_key(True), class_key(2.5)
    ('3', '3', 'true', '2.5')
    """
    if isinstance(label, np.generic):
        label = label.item()
    if isinstance(label, bool):
        return "true" if label else "false"
    if isinstance(label, str):
        return label
    if not isinstance(label, int | float) or not math.isfinite(label):
        raise DataError(f"label {label!r} cannot name a class; expected a text or a finite number. Leave the item out.")
    return str(int(label)) if label == int(label) else repr(label)


def classes_of(targets: Sequence[Target]) -> list[Name]:
    """Classes without repetition: numbers by size, then texts by letter."""
    found: dict[str, Name] = {}
    for target in targets:
        plain = target.item() if isinstance(target, np.generic) else target
        if isinstance(plain, float) and plain.is_integer():
            plain = int(plain)
        key = class_key(plain)
        if key not in found or isinstance(found[key], str):
            found[key] = cast("Name", plain)  # `class_key` takes no other
    return sorted(found.values(), key=lambda c: (isinstance(c, str), isinstance(c, bool), c))
