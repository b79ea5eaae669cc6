"""One number an item."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from plait import metrics
from plait.core.errors import ConfigError, DataError, raise_all
from plait.examples.targets import Target
from plait.tasks import Task
from plait.tasks.answers import Answer, Value
from plait.tasks.heads import PooledLinear
from plait.tokens import Instants

__all__ = ["Regress"]

_LOWER = {"mae": False, "rmse": False, "corr": True}
_LOSSES = {"mae": F.l1_loss, "mse": F.mse_loss, "huber": F.huber_loss}


class Regress(Task):
    """How much, in the units of the training targets.

    Targets are standardised inside by the training mean and standard deviation; losses are of standardised
    numbers, answers and metrics in units again.

    Args:
        targets: the training items' numbers (or their texts).
        loss: ``mae``, ``mse`` or ``huber`` (quadratic within one standard deviation).
        dropout: share of the pooled numbers that a head sets to 0 in training.
        metric: by what validation selects: ``mae``, ``rmse`` or ``corr``.
        sentiment: also the usual metrics of CMU-MOSI, targets from -3 to 3: see `sentiment_metrics`.

    Raises:
        DataError: no targets, or one that is not a finite number.
        ConfigError: an unknown loss or metric.

    >>> task = Regress([1.0, 3.0])
    >>> task.state(), task.decode(torch.tensor([[1.0]]))
    ({'mean': 2.0, 'std': 1.0}, [Value(value=3.0)])
    """

    main_metric = "mae"
    higher_is_better = False
    values = True
    linear = True
    width = 1

    def __init__(
        self,
        targets: list[Target],
        *,
        loss: str = "mae",
        dropout: float = 0.4,
        metric: str = "mae",
        sentiment: bool = False,
    ) -> None:
        super().__init__()
        if loss not in _LOSSES or metric not in _LOWER:
            raise ConfigError(
                f"regress: loss {loss!r}, metric {metric!r}; expected one of {[*_LOSSES]} and of {[*_LOWER]}."
            )
        self.loss_name, self.dropout, self.metric, self.sentiment = loss, dropout, metric, sentiment
        self.main_metric, self.higher_is_better = metric, _LOWER[metric]  # type: ignore[misc]
        values = _numbers(targets)
        if not len(values):
            raise DataError("there are no training targets to regress on. Check label and split.")
        self._set(float(values.mean()), float(values.std()))

    def _set(self, mean: float, std: float) -> None:
        self.mean, self.std = mean, std if std > 0 else 1.0

    @property
    def options(self) -> dict[str, Any]:
        """The options that it was made with (`loss` the option and `loss` the method share a name)."""
        return {
            "loss": self.loss_name,
            "dropout": self.dropout,
            "metric": self.metric,
            "sentiment": self.sentiment,
        }

    def head(self, dim: int) -> nn.Module:
        return PooledLinear(dim, 1, self.dropout)

    def encode(self, targets: list[Target]) -> Tensor:
        """Targets in units, [batch] float32."""
        return torch.tensor(_numbers(targets), dtype=torch.float32)

    def goals(self, target: Tensor) -> Tensor:
        return ((target - self.mean) / self.std)[:, None]

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        return _LOSSES[self.loss_name](output[:, 0], (target - self.mean) / self.std, reduction="none")

    def decode(self, output: Tensor, at: Instants | None = None) -> list[Answer]:
        return [Value(float(v)) for v in self.scores(output)[:, 0]]

    def scores(self, output: Tensor) -> NDArray[np.float64]:
        """Values in units [items, 1], float64."""
        return output.detach().double().cpu().numpy() * self.std + self.mean

    def metrics(self, scores: NDArray[np.float64], target: NDArray[Any]) -> dict[str, float]:
        """``mae rmse corr``, and with ``sentiment`` those of `sentiment_metrics`."""
        guess, truth = scores[:, 0], np.asarray(target, np.float64)
        found = {
            "mae": metrics.mean_absolute_error(truth, guess),
            "rmse": metrics.root_mean_squared_error(truth, guess),
            "corr": metrics.correlation(truth, guess),
        }
        more = sentiment_metrics(truth, guess) if self.sentiment else {}
        return {self.main_metric: found[self.main_metric], **found, **more}

    def baseline(self, train: NDArray[Any], count: int) -> NDArray[np.float64]:
        """The training median, for every item: the constant with the least absolute error."""
        return np.full((count, 1), float(np.median(np.asarray(train, np.float64))))

    def state(self) -> dict[str, Any]:
        return {"mean": self.mean, "std": self.std}

    @classmethod
    def restore(cls, state: dict[str, Any], **options: Any) -> Regress:
        task = cls([0.0], **options)
        task._set(float(state["mean"]), float(state["std"]))
        return task


def sentiment_metrics(truth: NDArray[np.float64], guess: NDArray[np.float64]) -> dict[str, float]:
    """What papers on CMU-MOSI report (Zadeh et al. 2016, and Tsai et al. 2019 for the two kinds of Acc-2).

    ``acc2_nonzero`` and ``f1_nonzero``: negative against positive, items whose truth is 0 left out (a guess
    of exactly 0 counts as negative). ``acc2_nonneg`` and ``f1_nonneg``: negative against the rest, all items.
    F1 is weighted by class.
    ``acc7``: both clipped to -3..3 and rounded (halves to even).

    >>> sentiment_metrics(np.array([-1.0, 0.0, 2.0]), np.array([-0.2, 0.3, -1.0]))["acc2_nonzero"]
    0.5
    """
    some = truth != 0
    signed, other = truth[some] > 0, guess[some] > 0
    seven = [np.round(np.clip(v, -3, 3)) for v in (truth, guess)]
    return {
        "acc2_nonzero": metrics.accuracy(signed, other),
        "f1_nonzero": metrics.f1(signed, other, weighted=True),
        "acc2_nonneg": metrics.accuracy(truth >= 0, guess >= 0),
        "f1_nonneg": metrics.f1(truth >= 0, guess >= 0, weighted=True),
        "acc7": metrics.accuracy(*seven),
    }


def _numbers(targets: list[Target]) -> NDArray[np.float64]:
    values, problems = [], []
    for target in targets:
        try:
            value = math.nan if isinstance(target, bool) else float(target)
        except (TypeError, ValueError):
            value = math.nan
        values.append(value)
        if not math.isfinite(value):
            problems.append(f"target {target!r} is not a finite number. Correct it, leave it out, or classify instead.")
    raise_all(DataError, sorted(set(problems)))
    return np.array(values, np.float64)
