"""Several targets of each item in one model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn

from plait.core.errors import ConfigError, DataError, gathering, raise_all
from plait.core.parts import Options, Spec, build, find, full_spec
from plait.examples.targets import Named, Target
from plait.tasks import Task
from plait.tasks.answers import Answer, Several
from plait.tasks.claims import Claim
from plait.tasks.view import Moment, View
from plait.tokens import Instants, Tokens

__all__ = ["Multi"]


class Multi(Task):
    """Classes and values together: each target has its own task, heads and losses; encoders and fusion are shared.

    An output is the outputs of all tasks side by side. Losses are named by kind and target, such as ``fused.mood``, and
    weighted by their kind and by ``weights``. Metrics are named ``mood.accuracy``; the first target's one selects.

    Args:
        targets: the training items' `plait.examples.targets.Named` targets.
        tasks: by target, the spec of a task that answers once per item: ``{mood: classify, valence: {name: regress}}``.
            A target is the label on the annotation tier of that name, else of the recording's labels or metadata.
        weights: of the losses, by target; 1 if left out (Caruana, "Multitask learning", Machine Learning 28, 1997).

    Raises:
        ConfigError: no tasks, one that does not answer once per item, or weights of other targets or below 0.
        DataError: a target that its task does not know.

    >>> targets = [Named({"a": "x", "b": 1.0}), Named({"a": "y", "b": 3.0})]
    >>> task = Multi(targets, tasks={"a": "classify", "b": "regress"})
    >>> print(task.decode(torch.tensor([[0.0, 9.0, 1.0]]))[0])
    a: y (100%), b: 3.000
    """

    asks = "several"

    def __init__(
        self, targets: list[Target], *, tasks: Mapping[str, Spec], weights: Mapping[str, float] | None = None
    ) -> None:
        super().__init__()
        _check(tasks, weights or {})
        named = [_named(target, tasks) for target in targets]
        self._hold(
            tasks,
            weights,
            [build(Task, spec, [t.labels[n] for t in named], where=f"task.tasks.{n}") for n, spec in tasks.items()],
        )

    def _hold(self, tasks: Mapping[str, Spec], weights: Mapping[str, float] | None, parts: Sequence[Task]) -> None:
        self.tasks = {name: full_spec(Task, spec, "task.tasks") for name, spec in tasks.items()}
        self.weights, self.names = weights, list(tasks)
        self.parts = nn.ModuleList(parts)
        self._each = list(parts)
        self.n_outputs = sum(part.n_outputs for part in parts)
        self._outputs = _slices([part.n_outputs for part in parts])
        self._columns = _slices([part.scores(torch.zeros(1, part.n_outputs)).shape[1] for part in parts])
        self.main_metric = f"{self.names[0]}.{parts[0].main_metric}"  # type: ignore[misc]  # of one task, not its class
        self.higher_is_better = parts[0].higher_is_better  # type: ignore[misc]
        self.bounds = getattr(parts[0], "bounds", (-np.inf, np.inf))

    def _summed(self, measure: Callable[[Task, Tensor, int], Tensor], output: Tensor) -> Tensor:
        """A measure per item of each task's own output, summed by the weights."""
        weights = self.weights or {}
        each = [
            weights.get(name, 1.0) * measure(part, output[:, own], k)
            for k, (name, part, own) in enumerate(zip(self.names, self._each, self._outputs))
        ]
        return torch.stack(each).sum(0)

    def _target(self, target: Tensor, k: int) -> Tensor:
        return target[:, k] if self._each[k].is_numeric else target[:, k].long()

    def head(self, dim: int) -> nn.Module:
        return _Heads([part.head(dim) for part in self._each])

    def encode(self, targets: list[Target]) -> Tensor:
        """[batch, tasks] float32: indices of classes, and values in their units."""
        named = [_named(target, self.tasks) for target in targets]
        columns = [part.encode([t.labels[name] for t in named]) for name, part in zip(self.names, self._each)]
        return torch.stack([column.float() for column in columns], 1)

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        return self._summed(lambda part, own, k: part.loss(own, self._target(target, k)), output)

    def nll(self, output: Tensor, target: Tensor, doubt: float = 0.0) -> Tensor:
        return self._summed(lambda part, own, k: part.nll(own, self._target(target, k), doubt), output)

    def divergence(self, output: Tensor, teacher: Tensor) -> Tensor:
        return self._summed(lambda part, own, k: part.divergence(own, teacher[:, self._outputs[k]]), output)

    def step(self, views: Sequence[View], target: Tensor, moment: Moment | None = None) -> dict[str, Float[Tensor, ""]]:
        found: dict[str, Tensor] = {}
        for k, (name, part) in enumerate(zip(self.names, self._each)):
            own = [_of(view, self._outputs[k]) for view in views]
            weight = (self.weights or {}).get(name, 1.0)
            losses = part.step(own, self._target(target, k), moment)
            found |= {f"{kind}.{name}": weight * loss for kind, loss in losses.items()}
        return found

    def prior(self) -> Tensor:
        return torch.cat([part.prior() for part in self._each])

    def decode(self, output: Tensor, at: Instants | None = None) -> list[Answer]:
        each = [part.decode(output[:, own]) for part, own in zip(self._each, self._outputs)]
        return [Several(dict(zip(self.names, answers))) for answers in zip(*each)]

    def claims(self, output: Tensor, at: Instants | None = None) -> list[list[Claim]]:
        """One for each task. Targets: the number of the task, and its own claim."""
        each = [part.claims(output[:, own]) for part, own in zip(self._each, self._outputs)]
        return [
            [
                own._replace(text=f"{name}: {own.text}", target=torch.stack([torch.tensor(k), own.target]))
                for k, (name, (own, *_)) in enumerate(zip(self.names, claims))
            ]
            for claims in zip(*each)
        ]

    def claimed(self, output: Tensor, target: Tensor) -> Tensor:
        each = [part.claimed(output[:, own], target[:, 1]) for part, own in zip(self._each, self._outputs)]
        return torch.stack(each, 1).gather(1, target[:, :1])[:, 0]

    def scores(self, output: Tensor) -> NDArray[np.float64]:
        """Each task's scores side by side: [items, columns]."""
        return np.concatenate([part.scores(output[:, own]) for part, own in zip(self._each, self._outputs)], 1)

    def readable(self, output: Tensor) -> Tensor:
        return torch.cat([part.readable(output[:, own]) for part, own in zip(self._each, self._outputs)], 1)

    def legend(self) -> Options:
        """Of each task by name its legend and its columns; empty if one has none."""
        legends = [part.legend() for part in self._each]
        ends = [(own.start, own.stop) for own in self._columns]
        parts = {name: {**legend, "columns": own} for name, legend, own in zip(self.names, legends, ends)}
        return {"kind": "several", "parts": parts} if all(legends) else {}

    def metrics(self, scores: NDArray[np.float64], target: NDArray[np.generic]) -> dict[str, float]:
        """Metrics of every target, as ``target.metric``."""
        return {
            f"{name}.{metric}": value
            for k, (name, part) in enumerate(zip(self.names, self._each))
            for metric, value in part.metrics(scores[:, self._columns[k]], self._truth(target, k)).items()
        }

    def lead(
        self, scores: NDArray[np.float64], target: NDArray[np.generic]
    ) -> tuple[Task, NDArray[np.float64], NDArray[np.generic]]:
        """The task of the first target, which selects, with its scores and encoded targets."""
        return self._each[0], scores[:, self._columns[0]], self._truth(target, 0)

    def main(self, scores: NDArray[np.float64], target: NDArray[np.generic]) -> float:
        first, own, truth = self.lead(scores, target)
        return first.main(own, truth)

    def baseline(self, train: NDArray[np.generic], count: int) -> NDArray[np.float64]:
        """The best constant answer of each task."""
        return np.concatenate([part.baseline(self._truth(train, k), count) for k, part in enumerate(self._each)], 1)

    def _truth(self, target: NDArray[np.generic], k: int) -> NDArray[np.generic]:
        own = np.asarray(target)[:, k]
        return own if self._each[k].is_numeric else own.astype(np.int64)

    def state(self) -> Options:
        return {"tasks": {name: part.state() for name, part in zip(self.names, self._each)}}

    @classmethod
    def restore(cls, state: Options, **options: Any) -> Multi:
        tasks = options["tasks"]
        parts = []
        for name, spec in tasks.items():
            kind, own = find(Task, spec, f"task.tasks.{name}")
            parts.append(kind.restore(state["tasks"][name], **own))
        task = cls.__new__(cls)  # not from targets, but from what was learnt of them
        Task.__init__(task)
        task._hold(tasks, options.get("weights"), parts)
        return task


class _Heads(nn.Module):
    """The heads of several tasks, their outputs side by side: [batch, time, dim] -> [batch, width]."""

    def __init__(self, heads: Sequence[nn.Module]) -> None:
        super().__init__()
        self.heads = nn.ModuleList(heads)

    def forward(self, tokens: Tokens) -> Float[Tensor, "batch width"]:
        return torch.cat([head(tokens) for head in self.heads], -1)


def _of(view: View, own: slice) -> View:
    """The part of a view that belongs to one task."""

    def part(output: Tensor | None) -> Any:
        return None if output is None else output[:, own]

    unimodal = {m: output[:, own] for m, output in view.unimodal.items()}
    whole = {name: part(getattr(view, name)) for name in ("fused", "whole", "partial", "teacher")}
    return replace(view, unimodal=unimodal, **whole)


def _slices(widths: Sequence[int]) -> list[slice]:
    ends = np.cumsum([0, *widths]).tolist()
    return [slice(a, b) for a, b in pairwise(ends)]


def _named(target: Target, tasks: Mapping[str, object]) -> Named:
    if not isinstance(target, Named) or (missing := [name for name in tasks if name not in target.labels]):
        lacking = missing if isinstance(target, Named) else [*tasks]
        raise DataError(f"target {target!r} has no {', '.join(lacking)}; expected a label for each of task.tasks.")
    return target


def _check(tasks: Mapping[str, Spec], weights: Mapping[str, float]) -> None:
    problems = [] if tasks else ["task.tasks: is empty. Give a task for each target."]
    for name, spec in tasks.items():
        with gathering(problems):
            if find(Task, spec, f"task.tasks.{name}")[0].asks != "label":
                problems.append(f"task.tasks.{name}: answers over time, or has no target. Choose one per item.")
    problems += [f"task.weights.{n}: {w}; expected a target of task.tasks, and 0 or more."
                 for n, w in weights.items() if n not in tasks or not w >= 0]  # fmt: skip
    raise_all(ConfigError, problems)
