"""Training a smaller model by labels and by the answers of the original."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor, nn

from plait.augmentations import Setting, Vary
from plait.compression import Lesson
from plait.core.errors import ConfigError
from plait.examples.data import Batch, loader
from plait.models.ensemble import Encoded
from plait.models.file import Described
from plait.models.model import Model, remade
from plait.tasks.view import Moment
from plait.tokens import Instants, Tokens
from plait.training.bands import fit_bands
from plait.training.missing import dropout_now
from plait.training.sandwich import hidden_as
from plait.training.temperatures import fit_postprocessing, fit_temperatures
from plait.training.thresholds import fit_thresholds

__all__ = ["narrower", "retaught", "settle", "taught"]


def narrower(model: Model, dim: int) -> Model:
    """A fresh model with tokens of another width and without a wide part; features are scaled as before."""
    plain = {**model.describe(), "dim": dim}
    found = remade(Described.model_validate({k: v for k, v in plain.items() if k not in ("wide", "conformal")}))
    for m in model.modalities:
        found.backbone.set_scale(m, model.backbone.mean(m).numpy(), model.backbone.std(m).numpy())
    return found


def retaught(student: Model, model: Model, lesson: Lesson, *, steps: int) -> Model:
    """Train a narrower model in place of ``model``, for ``steps`` (0: the recipe's); the wide part stays."""
    train, items = lesson.recipe.train, len(lesson.train)
    taught(student, lesson, steps=steps or train.epochs_for(items) * -(-items // train.batch), lr=train.lr)
    if model.wide is not None:
        student.widen(model.wide)
    settle(student, lesson)
    return student


def taught(
    student: Model,
    lesson: Lesson,
    *,
    steps: int,
    lr: float,
    after: Callable[[float], None] = lambda done: None,
) -> None:
    """Train ``student`` in place, by the recipe's losses and augmentations, and towards the teacher's answers.

    Hinton et al. 2015, "Distilling the knowledge in a neural network", at temperature 1; the teacher sees the same
    augmented items, with the same modalities hidden (Beyer et al. 2022, "Knowledge distillation: a good teacher is
    patient and consistent", CVPR). The fusion learns from the teacher's whole answer, a wide part's share included;
    each modality's own head from the teacher's.

    Args:
        student, lesson: see `Lesson`.
        steps: of gradient descent.
        lr: learning rate.
        after: called after each step with the share of the training that is done.

    Raises:
        ConfigError: the task learns from more than one view of an item, or from embeddings of others.
    """
    if (task := student.task).views != 1 or task.momentum or task.remembers or task.sees_features:
        raise ConfigError("compress: this task's training does not suit a teacher. Take fp16, int8 or int4.")
    train = lesson.recipe.train
    optimizer = torch.optim.AdamW(student.parameters(), lr=lr, weight_decay=train.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=steps + 1)
    for step, (epoch, epochs, batch) in enumerate(_batches(student, lesson, steps)):
        torch.manual_seed((lesson.seed + 1) * 1_000_003 + step)
        student.train()
        optimizer.zero_grad()
        loss = _loss(student, lesson, batch, epoch, epochs)
        loss.backward()
        nn.utils.clip_grad_norm_(student.parameters(), train.clip)
        optimizer.step()
        schedule.step()
        after((step + 1) / steps)
    student.eval()


def _batches(student: Model, lesson: Lesson, steps: int) -> Iterator[tuple[int, int, Batch]]:
    """``steps`` batches, each with its epoch and the number of epochs."""
    epoch, done = 0, 0
    found = loader(lesson.train, student.dims, batch=lesson.recipe.train.batch, seed=lesson.seed, epoch=lambda: epoch)
    epochs = -(-steps // len(found))
    while done < steps:
        for batch in found:
            if done < steps:
                yield epoch, epochs, batch
                done += 1
        epoch += 1


def _loss(student: Model, lesson: Lesson, batch: Batch, epoch: int, epochs: int) -> Tensor:
    augment, train, task = lesson.recipe.augment, lesson.recipe.train, student.task
    setting = Setting(lesson.train.regular(), lambda m: _spread(student, m))
    varied = Vary(augment.kinds)(batch.inputs, setting._replace(at=batch.at))
    at, drop = varied.at, dropout_now(augment.modality_dropout, epoch, epochs)
    encoded = student.encode(task.corrupt(varied, drop))
    seen = task.obscure(encoded, drop)
    view = student.view(encoded, seen, None, at)
    losses = task.step([view], batch.targets, Moment(batch.items, epoch / epochs))
    own = student.unimodal_weight
    weights = {"unimodal": own, "self_distillation": own * train.self_distillation}
    parts = [weights.get(name.partition(".")[0], 1.0) * loss for name, loss in losses.items()]
    answer, heads = _told(lesson.teacher, varied, seen, at)
    parts.append(task.divergence(view.fused, answer).mean())
    told = {id(out): heads[m] for m, out in view.unimodal.items()}
    parts.append(own * view.over_modalities(lambda out: task.divergence(out, told[id(out)])))
    return torch.stack([*parts, *student.backbone.auxiliary_losses(encoded, seen).values()]).sum()


def _spread(model: Model, modality: str) -> Tensor:
    spread = model.backbone.std(modality)
    return torch.zeros_like(spread) if model.backbone.symbolic(modality) else spread


@torch.no_grad()
def _told(
    teacher: Model, batch: Mapping[str, Tokens], seen: Mapping[str, Tokens], at: Instants | None
) -> tuple[Tensor, dict[str, Tensor]]:
    """The teacher's answer from what the student's fusion sees, and the outputs of its own heads."""
    encoded = teacher.encode(batch)
    heads = teacher.ensemble.unimodal(encoded, at)
    return teacher.forward_subset(_hidden(encoded, seen), at=at)[""], heads


def _hidden(encoded: Encoded, seen: Mapping[str, Tokens]) -> Encoded:
    found = Encoded(hidden_as(encoded, seen))
    found.wide = None if encoded.wide is None else _hidden(encoded.wide, seen)
    return found


def settle(student: Model, lesson: Lesson) -> None:
    """Decide all that held-out items decide; without such items everything is the teacher's."""
    if lesson.valid is None:
        student.set_factors(lesson.teacher.factors())
        return
    if student.task.calibrated and lesson.recipe.train.temperature_scaling:
        fit_temperatures(student, [lesson.valid])
        fit_postprocessing(student, lesson.valid)
    fit_bands([(student, lesson.valid)])
    fit_thresholds(student, lesson.valid)
