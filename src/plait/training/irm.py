"""Invariant risk minimisation: answers whose best scale is the same in every environment (Arjovsky et al. 2019)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from plait.core.errors import ConfigError, gathering
from plait.core.parts import find, suggest
from plait.examples.items import Item
from plait.tasks import Task
from plait.tasks.view import View
from plait.training.experiment import Experiment

__all__ = ["check_irm", "environments_of", "irm_loss", "irm_penalty"]

GROUP = "group"
"""The name of the environments that are the groups themselves."""


def irm_penalty(
    loss: Callable[[Tensor, Tensor], Float[Tensor, " batch"]],
    output: Tensor,
    target: Tensor,
    environments: Int[Tensor, " batch"],
) -> Float[Tensor, ""]:
    """The penalty of IRMv1: the sum over environments of the squared slope of the risk at a factor of 1 on the output.

    Arjovsky, Bottou, Gulrajani & Lopez-Paz 2019, "Invariant risk minimization", equation IRMv1; the square is the
    product of the slopes on the two halves of an environment's items, which is unbiased (their appendix D). An
    environment with a single item in the batch has no halves, and adds nothing.

    Args:
        loss: per item, of outputs and targets.
        output: [batch, width].
        target: encoded, [batch, ...].
        environments: number of each item's environment.

    >>> square = lambda out, target: (out[:, 0] - target).square()
    >>> out, target = torch.tensor([[1.0], [2.0]]), torch.tensor([0.0, 0.0])
    >>> irm_penalty(square, out, target, torch.tensor([0, 0])).item()  # slopes 2 * 1 * 1 and 2 * 2 * 2
    16.0
    """
    factor = torch.ones((), dtype=output.dtype, device=output.device, requires_grad=True)
    total = output.new_zeros(())
    for one in environments.unique():
        own = environments == one
        each = loss(output[own] * factor, target[own])
        if len(each) < 2:
            continue
        halves = each[0::2].mean(), each[1::2].mean()
        first, second = (torch.autograd.grad(half, factor, create_graph=True)[0] for half in halves)
        total = total + first * second
    return total


def irm_loss(task: Task, view: View, target: Tensor, environments: Int[Tensor, " batch"], unimodal: float) -> Tensor:
    """The penalty of the fusion's answer, and of each modality's own on the items that have it.

    Args:
        task: its loss.
        view: the outputs.
        target: encoded, [batch, ...].
        environments: number of each item's environment.
        unimodal: weight of the modalities' own answers.
    """
    total = irm_penalty(task.loss, view.fused, target, environments)
    for modality, output in view.unimodal.items() if unimodal else ():
        there = view.encoded[modality].present
        total = total + unimodal * irm_penalty(task.loss, output[there], target[there], environments[there])
    return total


def environments_of(experiment: Experiment, items: Sequence[Item], name: str) -> Tensor:
    """The number of each training item's environment, by a fact of its recording or by its group.

    Raises:
        ConfigError: all items are of one environment, or some of none.
    """
    entries = {entry.id: {**entry.labels, **entry.meta} for entry in experiment.corpus.entries}
    named = [item.group if name == GROUP else entries[item.recording].get(name) for item in items]
    where = "train.irm.environments"
    if lacking := [item.recording for item, value in zip(items, named) if value is None]:
        raise ConfigError(
            f"{where}: {len(lacking)} of {len(items)} training items lack {name!r}, such as {lacking[0]!r}. Add it to "
            "the manifest, or name another fact."
        )
    every, codes = np.unique([str(value) for value in named], return_inverse=True)
    if len(every) < 2:
        raise ConfigError(
            f"{where}: all {len(items)} training items have {name} {every[0]!r}; expected two environments or more, "
            "since in one nothing varies that an answer could be invariant to. Name another fact, or leave irm out."
        )
    return torch.from_numpy(codes.reshape(-1).astype(np.int64))


def check_irm(experiment: Experiment) -> list[str]:
    """What speaks against IRM in this recipe, before anything is prepared or trained."""
    plan = experiment.recipe.train
    if plan.irm is None:
        return []
    problems, name = list[str](), plan.irm.environments
    cls, _ = find(Task, experiment.task, "task")
    if cls.asks != "label" or cls.step is not Task.step:
        told = experiment.task["name"]
        problems.append(f"train.irm: is defined for one class or value per item; task {told} asks for something else.")
    if plan.solver == "ridge" or plan.wide:
        what = "solver: ridge" if plan.solver == "ridge" else "wide: true"
        problems.append(
            f"train.irm: train.{what} is solved in closed form, without the penalty. Leave one of them out."
        )
    facts = {fact for entry in experiment.corpus.entries for fact in (*entry.labels, *entry.meta)}
    if name != GROUP and name not in facts:
        known = suggest(name, [*facts, GROUP])
        return [*problems, f"train.irm.environments: no recording has the fact {name!r}. {known}"]
    for fold in experiment.folds:
        with gathering(problems):
            environments_of(experiment, fold.train, name)
    return list(dict.fromkeys(problems))
