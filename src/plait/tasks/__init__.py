"""Tasks: a task states its problem; it owns heads, loss, decoding and metrics. One file a task."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from plait.core.parts import options_of

__all__ = ["Task"]

Target = str | int | float | bool


class Task(nn.Module, ABC):
    """Constructed as ``Cls(targets, *, options)`` from the training targets, which decide its classes or scale.

    The model asks `head` for one head a modality and one for the joint tokens, adds their outputs, and
    leaves everything about the problem to the task.
    """

    main_metric: ClassVar[str]
    """The one metric by which validation selects."""

    higher_is_better: ClassVar[bool] = True

    values: ClassVar[bool] = False
    """Whether outputs are values in units, so that the mean of two answers is one; if not, logits of classes."""

    labelled: ClassVar[bool] = True
    """Whether it learns from targets; if not, from the batches themselves (`plait.tasks.pretrain`)."""

    linear: ClassVar[bool] = False
    """Whether its heads are linear maps of pooled tokens, and `goals` what these are to give, so that they can be
    solved in closed form."""

    width: int
    """Numbers an item in the output (classes; 1 for a scalar)."""

    @property
    def options(self) -> dict[str, Any]:
        """The options that it was made with, as a saved run keeps them: each is kept under its own name."""
        return {name: getattr(self, name) for name in options_of(type(self))}

    def expect(self, dims: Mapping[str, int], dim: int) -> None:
        """Told once, by the model, before any weights are loaded: widths of the features, and of the tokens."""

    @abstractmethod
    def head(self, dim: int) -> nn.Module:
        """A new head: Tokens [batch, time, dim] -> [batch, width]."""

    @abstractmethod
    def encode(self, targets: list[Target]) -> Tensor:
        """Targets as the loss takes them, [batch].

        Raises:
            DataError: a target that the task does not know.
        """

    @abstractmethod
    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        """Loss an item, [batch], of output [batch, width] and encoded targets [batch]."""

    def goals(self, target: Tensor) -> Tensor:
        """What a linear head is regressed on, [batch, width], of encoded targets [batch].

        Of classes 1 in the column of the item's class and 0 elsewhere; a task of values gives its standardised targets.
        """
        return F.one_hot(target, self.width).to(self.prior().dtype)

    def prior(self) -> Tensor:
        """The output of who knows nothing of an item, [width]: of classes the logarithms of their shares, by default
        all alike; of values 0."""
        return torch.zeros(self.width)

    def nll(self, output: Tensor, target: Tensor, doubt: float = 0.0) -> Tensor:
        """How badly an output, taken at its word, foretells the target, an item, [batch]: what calibration makes small.

        Of classes the negative log-likelihood, without the weights and the smoothing that `loss` may learn by; of
        values the `loss`.

        Args:
            output: [batch, width].
            target: encoded targets, [batch].
            doubt: the share of each target that goes to all classes alike.
        """
        if self.values:
            return self.loss(output, target)
        return F.cross_entropy(output, target, label_smoothing=doubt, reduction="none")

    def gap(self, output: Tensor, teacher: Tensor) -> Tensor:
        """How far an output is from another's, an item, [batch]: what distillation makes small.

        Of values the mean square of the difference. Of logits the Kullback-Leibler divergence of the probabilities from
        the teacher's (Hinton et al. 2015, "Distilling the knowledge in a neural network", at temperature 1).
        """
        if self.values:
            return (output - teacher).square().mean(-1)
        return F.kl_div(output.log_softmax(-1), teacher.log_softmax(-1), log_target=True, reduction="none").sum(-1)

    @abstractmethod
    def decode(self, output: Tensor) -> list[dict[str, Any]]:
        """What the output says, an item: ``{"label", "confidence", "probabilities": {class: p}}`` or ``{"value"}``."""

    @abstractmethod
    def scores(self, output: Tensor) -> NDArray[np.float64]:
        """Outputs as evaluation takes them: probabilities [items, classes] or values [items, 1]."""

    @abstractmethod
    def metrics(self, scores: NDArray[np.float64], target: NDArray[Any]) -> dict[str, float]:
        """All metrics by name, of `scores` and encoded targets; the main one first."""

    @abstractmethod
    def baseline(self, train: NDArray[Any], count: int) -> NDArray[np.float64]:
        """Scores of the best constant answer, learnt from the training targets, for ``count`` items."""

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """What was learnt from the training targets (classes, mean, scale), as JSON; kept with the run."""

    @classmethod
    @abstractmethod
    def restore(cls, state: dict[str, Any], **options: Any) -> Task:
        """The task again, from `state` and its options."""
