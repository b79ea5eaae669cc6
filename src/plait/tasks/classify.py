"""One class per item."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from plait.core.errors import ConfigError
from plait.core.options import Unit
from plait.core.parts import Spec
from plait.examples.targets import Target
from plait.tasks.of_classes import OfClasses

__all__ = ["Classify"]


class Classify(OfClasses):
    """The class of each item, among those of the training targets; outputs are logits of a softmax.

    Args:
        targets: the training items' labels, see `plait.tasks.of_classes.OfClasses`.
        smoothing: label smoothing (Szegedy et al. 2016, section 7): this share of the target goes to all
            classes alike.
        class_weight: None, or ``balanced``: an item counts ``n / (classes * n of its class)``; or a number from 0 to 1:
            that to this power, between the two.
        dropout: share of the pooled numbers that a head sets to 0 in training.
        metric: the metric by which validation selects: a `plait.metrics.Metric` of classes, by its name or the dotted
            path of your own. ``roc_auc`` needs exactly two classes; the second is the positive one.

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
        class_weight: Literal["balanced"] | Unit | None = None,
        dropout: float = 0.4,
        metric: Spec = "accuracy",
    ) -> None:
        super().__init__(targets, metric, dropout=dropout)
        share = 0.0 if class_weight is None else 1.0 if class_weight == "balanced" else class_weight
        if not isinstance(share, int | float) or not 0 <= share <= 1:
            raise ConfigError(
                f"classify.class_weight: got {class_weight!r}; expected null, 'balanced', or a number from 0 to 1."
            )
        if not 0 <= smoothing < 1:
            raise ConfigError(f"classify.smoothing: got {smoothing}; expected 0 or more, below 1.")
        self.smoothing, self.class_weight, self._power = smoothing, class_weight, share

    def _weight(self) -> Tensor:
        """How much an item of each class counts, [classes]."""
        return torch.tensor([(sum(self.counts) / (len(self.counts) * max(c, 1))) ** self._power for c in self.counts])

    def class_logits(self, output: Tensor) -> Tensor:
        return output

    def prior(self) -> Tensor:
        """Logarithms of the classes' shares of the training items, as ``class_weight`` counts them."""
        shares = torch.tensor(self.counts, dtype=torch.float32) * self._weight()
        # A class that no training item has counts half an item: its logarithm stays finite.
        return (shares.clamp(min=0.5) / shares.sum()).log()

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        # Not by its argument `weight`: with smoothing that would weigh the terms of the other classes too.
        raw = F.cross_entropy(self.class_logits(output), target, label_smoothing=self.smoothing, reduction="none")
        return raw * self._weight().to(raw.device)[target]
