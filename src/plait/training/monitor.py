"""What each modality learns while a model is trained: its own losses, how fast, and what the fused answer makes of it.

Numbers of an epoch, one column per modality (``NAME.modality`` in the log):

- ``train_loss``, ``valid_loss``, ``valid_METRIC``: of its own head, over the items that have it. The training side is
  that of the steps themselves: augmented, with dropout, while the weights change.
- ``speed``: the mean likelihood of its own head on training items over the mean of the others'; above 1 it is ahead
  (discrepancy ratio of Peng et al. 2022, "Balanced multimodal learning via on-the-fly gradient modulation", as in
  `ogm_ge`).
- ``lean``: how far the fused answer moves on validation if the modality is hidden (`Task.divergence`).
- ``use``: by how much the loss of the fused answer rises then: for losses what the conditional utilization rate is for
  accuracies (Wu et al. 2022, "Characterizing and overcoming the greedy nature of learning in multi-modal deep neural
  networks").

and ends of intervals over groups (`ends`), from which `plait.training.alarms` draws its conclusions:

- ``learnt_low``, ``learnt_high``: whether its own answers fit their items better than those of other items do
  (`mismatch`), in units of the standard deviation (Cohen's d).
- ``fitted_low``: by how much its loss on training items is below that of the constant answer, in the same unit.
- ``excess_low``: by how much its loss on validation items is above that of the constant answer, likewise.
- ``unused_low``: whether its own answers tell something that the fused ones do not (`unused`), likewise.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy import stats
from scipy.optimize import minimize_scalar
from torch import Tensor

from plait.core.errors import PlaitError
from plait.examples.data import ItemData
from plait.models.ensemble import Encoded
from plait.models.model import Model
from plait.tasks import Task
from plait.tasks.view import View
from plait.tokens import Instants

__all__ = ["Monitor", "ends", "mismatch", "unused"]

Floats = NDArray[np.float64]

FEWEST_GROUPS = 5
"""With fewer groups there is no interval: it cannot be told."""

LEVEL = 0.95
SHIFTS = 4
"""With how many other items' targets each answer is compared."""


class Monitor:
    """Collects an epoch's outputs and makes its numbers. It draws no random numbers and leaves the model as it is.

    Args:
        model: in training.
        train: training items.
        valid: validation items; None: there are none, and only the training side is known.
    """

    def __init__(self, model: Model, train: ItemData, valid: ItemData | None) -> None:
        self.model = model
        self.groups = [_codes(data) for data in (train, valid) if data is not None]
        self._trained: list[tuple[dict[str, Tensor], Tensor]] = []
        self._seen: list[tuple[dict[str, Tensor], Tensor, Tensor]] = []

    @staticmethod
    def suits(model: Model) -> bool:
        """Whether the modalities' own heads are trained and answer what is asked."""
        task = model.task
        plain = type(task).answer is Task.answer and not task.gathers and task.main_metric != "loss"
        return plain and task.scored and model.unimodal_weight > 0

    @torch.no_grad()
    def train(self, view: View, target: Tensor, items: Tensor) -> None:
        """Note a training step."""
        task = self.model.task
        found = {"": task.nll(_constant(task, view.fused), target)}
        for m, out in view.unimodal.items():
            found[f"own.{m}"] = torch.where(view.encoded[m].present, task.nll(out, target), math.nan)
        self._trained.append((found, items))

    @torch.no_grad()
    def valid(self, encoded: Encoded, target: Tensor, items: Tensor, at: Instants | None) -> None:
        """Note a batch of validation items, as `Model.encode` gives it."""
        model, task = self.model, self.model.task
        own = model.ensemble.unimodal(encoded, at)
        fused = model.fused(encoded, own, at)
        found, loss = {"": fused}, task.nll(fused, target)
        for m, tokens in encoded.items():
            found[f"own.{m}"], found[f"there.{m}"] = own[m], tokens.present
            # emptied and not left out, as in `Model.opinions`
            nothing = {m: tokens.emptied()}
            rest = {**own, **model.ensemble.unimodal(nothing, at)}
            without = model.fused({**encoded, **nothing}, rest, at)
            found[f"lean.{m}"], found[f"use.{m}"] = task.divergence(without, fused), task.nll(without, target) - loss
        self._seen.append(({name: value.cpu() for name, value in found.items()}, target.cpu(), items.cpu()))

    def epoch(self) -> dict[str, float]:
        """The numbers of an epoch, by column, without those that are not known; the next one begins."""
        trained, seen, self._trained, self._seen = self._trained, self._seen, [], []
        found = dict[str, float]()
        if trained:
            losses = {name: torch.cat([one[name] for one, _ in trained]) for name in trained[0][0]}
            found |= _of_training(losses, self.groups[0][_joined(items for _, items in trained)])
        if seen:
            outputs = {name: torch.cat([one[name] for one, _, _ in seen]) for name in seen[0][0]}
            target, groups = torch.cat([t for _, t, _ in seen]), self.groups[1][_joined(items for _, _, items in seen)]
            for m in self.model.modalities:
                found |= _of_validation(self.model.task, outputs, target, groups, m)
        return {name: value for name, value in found.items() if math.isfinite(value)}


def _joined(items: Iterable[Tensor]) -> NDArray[np.int64]:
    """Positions of all batches' items, [items]."""
    found: NDArray[np.int64] = torch.cat([*items]).cpu().numpy()
    return found


def _codes(data: ItemData) -> NDArray[np.intp]:
    """The number of each item's group."""
    return np.unique([item.group for item in data.items], return_inverse=True)[1]


def _constant(task: Task, output: Tensor) -> Tensor:
    """The output when nothing is known of any item."""
    return task.prior().to(output).expand_as(output)


def _of_training(losses: Mapping[str, Tensor], groups: NDArray[np.intp]) -> dict[str, float]:
    """From losses [items] of own heads (NaN where the modality is missing) and, under "", of the constant answer."""
    own = {name.removeprefix("own."): _floats(loss) for name, loss in losses.items() if name}
    own = {m: loss for m, loss in own.items() if np.isfinite(loss).any()}
    likely = {m: float(np.nanmean(np.exp(-loss))) for m, loss in own.items()}
    found = {}
    for m, loss in own.items():
        rest = [value for other, value in likely.items() if other != m]
        found[f"train_loss.{m}"] = float(np.nanmean(loss))
        if rest:
            found[f"speed.{m}"] = likely[m] / max(float(np.mean(rest)), 1e-9)
        found[f"fitted_low.{m}"] = ends(_floats(losses[""]) - loss, groups, scaled=True)[0]
    return found


def _of_validation(
    task: Task, outputs: Mapping[str, Tensor], target: Tensor, groups: NDArray[np.intp], modality: str
) -> dict[str, float]:
    """From outputs [items, ...] of own heads and the fused head, over the items that have the modality."""
    there = outputs[f"there.{modality}"]
    if not there.any():
        return {}
    own, fused, *moved = (
        outputs[name][there] for name in (f"own.{modality}", "", f"lean.{modality}", f"use.{modality}")
    )
    target, groups = target[there], groups[there.numpy()]
    loss = _floats(task.nll(own, target))
    found = {
        "valid_loss": float(loss.mean()),
        f"valid_{task.main_metric}": _metric(task, own, target),
        "excess_low": ends(loss - _floats(task.nll(_constant(task, own), target)), groups, scaled=True)[0],
    }
    found["learnt_low"], found["learnt_high"] = ends(mismatch(task, own, target), groups, scaled=True)
    if sum(name.startswith("own.") for name in outputs) > 1:
        found["lean"], found["use"] = (float(_floats(one).mean()) for one in moved)
        found["unused_low"] = ends(unused(task, fused, own, target), groups, scaled=True)[0]
    return {f"{name}.{modality}": value for name, value in found.items()}


def _metric(task: Task, output: Tensor, target: Tensor) -> float:
    try:
        return task.main(task.quick_scores(output), target.numpy())
    except (ValueError, ArithmeticError, PlaitError):
        return math.nan  # not defined on these items, such as on those of one class


def _floats(values: Tensor) -> Floats:
    return values.detach().double().cpu().numpy()


def ends(values: ArrayLike, groups: ArrayLike, *, level: float = LEVEL, scaled: bool = False) -> tuple[float, float]:
    """The interval of a mean of values of items in groups, by Student's t.

    The variance is that of sums over groups (Liang & Zeger 1986, "Longitudinal data analysis using generalized linear
    models", with the factor ``groups / (groups - 1)``).

    Args:
        values: [items]; those that are not finite do not count.
        groups: of each item.
        level: how often it contains the truth.
        scaled: divide by the values' standard deviation (Cohen's d).

    Returns:
        Low and high; NaN with fewer than `FEWEST_GROUPS` groups, or if the values are all the same.

    >>> low, high = ends([1.0, 2.0, 3.0, 4.0, 5.0], list("abcde"))
    >>> round(low, 2), round(high, 2)
    (1.04, 4.96)
    """
    table, names = np.asarray(values, np.float64), np.asarray(groups)
    known = np.isfinite(table)
    found, codes = table[known], np.unique(names[known], return_inverse=True)[1]
    n, spread = int(codes.max(initial=-1)) + 1, float(found.std()) if len(found) else 0.0
    if n < FEWEST_GROUPS or spread <= 1e-12:
        return math.nan, math.nan
    mean, unit = float(found.mean()), spread if scaled else 1.0
    sums = np.bincount(codes, found - mean)
    error = math.sqrt(n / (n - 1) * float(np.square(sums).sum())) / len(found)
    half = float(stats.t.ppf((1 + level) / 2, n - 1)) * error
    return (mean - half) / unit, (mean + half) / unit


def mismatch(task: Task, output: Tensor, target: Tensor) -> Floats:
    """How much better outputs fit their own items' targets than other items' targets, [items].

    ``(loss(i, j) + loss(j, i)) / 2 - loss(i, i)``, mean over some other items j. Its mean over all items is 0 for
    answers that know nothing, however sure they are and whatever the classes' shares; and it is above 0 for those of an
    overfitted head that knows something, though its loss may be above that of a constant answer.
    """
    n = len(target)
    matched, other = _floats(task.nll(output, target)), np.zeros(n)
    shifts = sorted({max(1, n * k // (SHIFTS + 1)) for k in range(1, SHIFTS + 1)})
    for shift in shifts:
        apart = _floats(task.nll(output, target.roll(shift, 0)))
        other += (apart + np.roll(apart, -shift)) / 2
    return other / len(shifts) - matched


def unused(task: Task, fused: Tensor, own: Tensor, target: Tensor) -> Floats:
    """How much each item's loss falls per unit of ``own`` that is added to ``fused``, [items]: what it adds.

    The efficient score of Rao 1948 ("Large sample tests of statistical hypotheses concerning several parameters") for
    b = 0 in the model ``a * fused + b * own``, with a at its best: so a fused answer that is only too sure, or not sure
    enough, does not count. Above 0 in the mean: the own head knows something that the fused answer does not say.
    """
    fused, own = fused.double(), own.double()
    a, step = _sureness(task, fused, target), 1e-3
    at, more, less = (_scores(task, fused, own, target, a + d) for d in (0.0, step, -step))
    with np.errstate(invalid="ignore"):  # an infinite loss gives NaN, which does not count
        slope = (more - less).mean(1) / (2 * step)  # of both scores with a
        share = slope[1] / slope[0] if abs(slope[0]) > 1e-12 else 0.0
        found: Floats = at[1] - share * at[0]
    return found


def _scores(task: Task, fused: Tensor, own: Tensor, target: Tensor, a: float) -> Floats:
    """Minus the derivatives of each item's loss by a and b, at b = 0, [2, items]."""
    shape = (len(target), *[1] * (fused.ndim - 1))
    with torch.enable_grad():
        factors = [torch.full(shape, value, dtype=fused.dtype, requires_grad=True) for value in (a, 0.0)]
        loss = task.nll(factors[0] * fused + factors[1] * own, target)
        found = torch.autograd.grad(loss.sum(), factors)
    return -np.stack([_floats(one.flatten()) for one in found])


def _sureness(task: Task, fused: Tensor, target: Tensor) -> float:
    """The factor of ``fused`` with the least loss, from 1/64 to 8."""
    best = minimize_scalar(
        lambda log: float(task.nll(2**log * fused, target).mean()),
        bounds=(-6, 3),
        method="bounded",
        options={"xatol": 0.01},
    )
    return float(2**best.x)
