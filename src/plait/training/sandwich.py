"""The sandwich rule: a step trains the largest model, and the smallest one or a random one, with the same weights.

Yu & Huang 2019, "Universally slimmable networks and improved training techniques", ICCV (arXiv 1903.05134), sections
3.2 and 4.1: the sandwich rule, and distillation in place: the smaller ones learn from the largest one's answers of the
same step. Departures: the smaller ones learn from the labels too; the smallest and a random one take turns by chance,
instead of the smallest and several random ones in each step: two models to train and not three, which ranked the
models of UTD-MHAD in `benchmarks/tune.py` alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from plait.core.errors import ConfigError
from plait.models.model import Model
from plait.models.slicing import Within
from plait.tasks import Task
from plait.tasks.view import View
from plait.tokens import Tokens

__all__ = ["Sandwich", "distillation", "hidden_as"]

SMALLEST = 0.5
"""Share of the steps that train the smallest model, besides the largest."""


class Sandwich:
    """The smaller models that are trained with a model, on slices of its weights.

    Args:
        large: the model.
        smaller: structures of smaller ones (`plait.models.slicing.Slices`).

    Raises:
        ConfigError: one is no slice of ``large``; or the task learns otherwise than from one view of each item.
    """

    def __init__(self, large: Model, smaller: Sequence[Model]) -> None:
        if _learns_otherwise(large.task):
            raise ConfigError(
                "weight sharing: this task learns from several views of an item, from other items' embeddings, or has "
                "heads that are solved in closed form, which no smaller model shares. Take another sampler."
            )
        by_size = sorted(smaller, key=lambda model: sum(p.numel() for p in model.parameters()))
        self.large, self.models = large, [Within(large, model) for model in by_size]

    @property
    def per_step(self) -> int:
        """How many models a step trains, the largest included."""
        return 2

    def drawn(self) -> Within:
        """The smallest, or one of the others at random; on the device of the largest."""
        first, *others = self.models
        found = first
        if others and torch.rand(()) >= SMALLEST:
            found = others[int(torch.randint(len(others), ()))]
        return found.train().to(next(self.large.parameters()).device)


def _learns_otherwise(task: Task) -> bool:
    closed = type(task).begin is not Task.begin or type(task).complete is not Task.complete
    return task.views != 1 or bool(task.momentum) or task.remembers or task.sees_features or closed


def distillation(student: Model, view: View, teacher: View) -> Tensor:
    """How far a smaller model's answers are from the largest one's: the fusion's, and those of the own heads."""
    task, told = student.task, {id(out): teacher.unimodal[m].detach() for m, out in view.unimodal.items()}
    own = view.over_modalities(lambda out: task.divergence(out, told[id(out)]))
    return task.divergence(view.fused, teacher.fused.detach()).mean() + student.unimodal_weight * own


def hidden_as(encoded: Mapping[str, Tokens], seen: Mapping[str, Tokens]) -> dict[str, Tokens]:
    """``encoded`` with those modalities of an item hidden that are not in ``seen``."""
    return {m: t._replace(mask=t.mask & seen[m].present[:, None]) for m, t in encoded.items()}
