"""One number per item."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from plait.core.errors import ConfigError, DataError, raise_all
from plait.core.parts import Options, Spec, part_name
from plait.examples.future import Future
from plait.examples.scenes import Scene
from plait.examples.targets import Annotated, Named, Target
from plait.metrics import metrics_for
from plait.metrics.sentiment import SENTIMENT
from plait.tasks import Task
from plait.tasks.answers import Answer, Value
from plait.tasks.claims import Claim
from plait.tasks.heads import PooledLinear
from plait.tokens import Instants

__all__ = ["Regress"]


def _discordance(output: Tensor, target: Tensor, reduction: str = "none") -> Tensor:
    """Shares of 1 less the concordance correlation of a batch; their mean is exactly that, [batch].

    Squared errors over the two variances plus the squared difference of the means: Lin 1989, equation 1.
    """
    apart = output.var(correction=0) + target.var(correction=0) + (output.mean() - target.mean()).square()
    return F.mse_loss(output, target, reduction=reduction) / (apart + 1e-6)


_LOSSES: dict[str, Callable[..., Tensor]] = {
    "mae": F.l1_loss,
    "mse": F.mse_loss,
    "huber": F.huber_loss,
    "ccc": _discordance,
}


class Regress(Task):
    """A number per item, in the units of the training targets.

    Targets are standardised inside by the training mean and standard deviation. Losses are of standardised numbers;
    answers and metrics are in the original units.

    Args:
        targets: the training items' numbers (or their texts).
        loss: ``mae``, ``mse``, ``huber`` (quadratic within one standard deviation), or ``ccc``: 1 less the concordance
            correlation of the batch (Trigeorgis et al., "Adieu features?", ICASSP 2016), which compares its items, so
            that batches should have 32 or more. Answers then keep the spread of the targets.
        dropout: share of the pooled numbers that a head sets to 0 in training.
        metric: the metric by which validation selects: a `plait.metrics.Metric` of values, by its name or the dotted
            path of your own.
        sentiment: whether to add the usual metrics of CMU-MOSI, targets from -3 to 3: see `plait.metrics.sentiment`.

    Raises:
        DataError: no targets, or one that is not a finite number.
        ConfigError: an unknown loss or metric.

    >>> task = Regress([1.0, 3.0])
    >>> task.state(), task.decode(torch.tensor([[1.0]]))
    ({'mean': 2.0, 'std': 1.0}, [Value(value=3.0)])
    """

    main_metric = "mae"
    higher_is_better = False
    is_numeric = True
    linear = True
    n_outputs = 1

    def __init__(
        self,
        targets: list[Target],
        *,
        loss: str = "mae",
        dropout: float = 0.4,
        metric: Spec = "mae",
        sentiment: bool = False,
    ) -> None:
        super().__init__()
        if loss not in _LOSSES:
            raise ConfigError(f"regress: loss {loss!r}; expected one of {[*_LOSSES]}.")
        self.loss_name, self.dropout, self.metric, self.sentiment = loss, dropout, metric, sentiment
        self._metrics = metrics_for("values", metric, where="regress.metric")
        self._metrics |= {
            part_name(cls): cls() for cls in SENTIMENT if sentiment and part_name(cls) not in self._metrics
        }
        self.select_by(self._metrics)
        values = _numbers(targets)
        if not len(values):
            raise DataError("there are no training targets to regress on. Check label and split.")
        self._set(float(values.mean()), float(values.std()))

    def _set(self, mean: float, std: float) -> None:
        self.mean, self.std = mean, std if std > 0 else 1.0  # equal targets have no deviation to divide by

    @property
    def options(self) -> Options:
        """The options that it was made with. The option `loss` is kept as `loss_name`, since `loss` is a method."""
        return {
            "loss": self.loss_name,
            "dropout": self.dropout,
            "metric": self.metric,
            "sentiment": self.sentiment,
        }

    def head(self, dim: int) -> nn.Module:
        return PooledLinear(dim, 1, self.dropout)

    def encode(self, targets: list[Target]) -> Tensor:
        """Targets in their original units, [batch] float32."""
        return torch.tensor(_numbers(targets), dtype=torch.float32)

    def goals(self, target: Tensor) -> Tensor:
        return ((target - self.mean) / self.std)[:, None]

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        return _LOSSES[self.loss_name](output[:, 0], (target - self.mean) / self.std, reduction="none")

    def decode(self, output: Tensor, at: Instants | None = None) -> list[Answer]:
        return [Value(float(v)) for v in self.scores(output)[:, 0]]

    def claims(self, output: Tensor, at: Instants | None = None) -> list[list[Claim]]:
        return [[claim._replace(unit=self.std) for claim in own] for own in super().claims(output, at)]

    def scores(self, output: Tensor) -> NDArray[np.float64]:
        """Values in the original units [items, 1], float64."""
        return self.readable(output.detach().double()).cpu().numpy()

    def readable(self, output: Tensor) -> Tensor:
        """Values in the original units, [items, 1]."""
        return output * self.std + self.mean

    def legend(self) -> Options:
        return {"kind": "value"}

    def metrics(self, scores: NDArray[np.float64], target: NDArray[np.generic]) -> dict[str, float]:
        """The chosen metric, then ``mae rmse corr``, and with ``sentiment`` those of `plait.metrics.sentiment`."""
        truth = np.asarray(target, np.float64)
        return {name: metric(truth, scores[:, 0]) for name, metric in self._metrics.items()}

    def baseline(self, train: NDArray[np.generic], count: int) -> NDArray[np.float64]:
        """The training median for every item: the constant with the least absolute error."""
        return np.full((count, 1), float(np.median(np.asarray(train, np.float64))))

    def state(self) -> Options:
        return {"mean": self.mean, "std": self.std}

    @classmethod
    def restore(cls, state: Options, **options: Any) -> Regress:
        task = cls([0.0], **options)  # any target will do: its mean and deviation are replaced
        task._set(float(state["mean"]), float(state["std"]))
        return task


def _numbers(targets: list[Target]) -> NDArray[np.float64]:
    values, problems = [], []
    for target in targets:
        try:
            # float(True) would be 1.0, but a truth value is a class.
            value = math.nan if isinstance(target, bool | Annotated | Named | Future | Scene) else float(target)
        except (TypeError, ValueError):
            value = math.nan
        values.append(value)
        if not math.isfinite(value):
            problems.append(f"target {target!r} is not a finite number. Correct it, leave it out, or classify instead.")
    raise_all(DataError, sorted(set(problems)))
    return np.array(values, np.float64)
