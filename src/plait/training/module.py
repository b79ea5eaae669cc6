"""The Lightning module: loss, augmentation, learning rate schedule, and metrics at the end of each epoch."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import lightning as L
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor

from plait.augmentations import Setting, Vary
from plait.core.errors import DataError
from plait.examples.data import Batch
from plait.models.model import Model
from plait.recipe import Augment, Train
from plait.tasks.view import Moment, View
from plait.tokens import Instants, Tokens
from plait.tokens.dropout import Shares
from plait.training.irm import irm_loss
from plait.training.missing import dropout_now, ogm_ge
from plait.training.monitor import Monitor
from plait.training.sandwich import Sandwich, distillation, hidden_as

__all__ = ["TrainingModule"]

FUSED = ("cpu", "cuda")
"""Devices for which torch has a fused AdamW: the same step in a third of the time."""


Given = tuple[Mapping[str, Tokens], Instants | None]
"""A batch's features, and the instants at which answers are wanted."""


class TrainingModule(L.LightningModule):
    """Trains a `Model`. An epoch depends only on seed, epoch and weights, so a resumed run gives the same numbers."""

    def __init__(
        self,
        model: Model,
        train: Train,
        augment: Augment,
        *,
        seed: int,
        steps: int,
        regular: set[str],
        environments: Tensor | None = None,
        monitor: Monitor | None = None,
        smaller: Sequence[Model] = (),
    ) -> None:
        super().__init__()
        self.environments = environments
        self.sandwich = Sandwich(model, smaller) if smaller else None
        self.model, self.train_plan, self.augment, self.seed = model, train, augment, seed
        self.steps, self.vary = steps, Vary(augment.kinds)
        self.setting = Setting(regular, self._spread)
        self._seen: list[tuple[Tensor, Tensor]] = []
        self._step: tuple[View, Tensor]
        self.monitor = monitor
        self.slow = copy.deepcopy(model).requires_grad_(False).eval() if model.task.momentum else None
        self.weights = {
            "unimodal": model.unimodal_weight,
            "modality_distillation": train.modality_distillation,
            "self_distillation": train.self_distillation * model.unimodal_weight,
        }
        """Weights of a step's losses; all others count 1."""

    def _spread(self, modality: str) -> Tensor:
        """The deviations of a modality's features; 0 for ids, on which noise would make other words."""
        spread = self.model.backbone.std(modality)
        return torch.zeros_like(spread) if self.model.backbone.symbolic(modality) else spread

    def epoch_now(self) -> int:
        """The epoch that a data loader begins. On resuming, `current_epoch` is behind until that epoch has begun."""
        now: Any = self.trainer.fit_loop.epoch_progress.current  # Lightning types it as less than it is
        return int(now.processed)

    def training_step(self, batch: Batch, index: int) -> Tensor:
        tokens, target, items, at = batch
        # Seeded per step: dropout and augmentation are the same after resuming, without a saved generator.
        torch.manual_seed(((self.seed + 1) * 100_003 + self.current_epoch) * 100_003 + index)
        task, done = self.model.task, self.current_epoch / (self.train_plan.epochs or 1)
        moment = Moment(items, done, self._unvaried(tokens, at) if task.remembers else None)
        varied = [self.vary(tokens, self.setting._replace(at=at)) for _ in range(task.views)]
        given = [(one, one.at) for one in varied]
        loss, views, seen = self._loss(self.model, given, target, moment)
        self._check_finite(loss, views[-1], index)
        self._step = (views[-1], target)
        if self.monitor is not None:
            self.monitor.train(views[-1], target, items)
        self.log("train_loss", loss, on_step=False, on_epoch=True, prog_bar=True, batch_size=len(target))
        if self.sandwich is None:
            return loss
        largest = views[-1], seen
        return loss + self.sandwich.drawn().do(lambda one: self._smaller(one, given, target, moment, largest))

    def _smaller(
        self,
        model: Model,
        batches: Sequence[Given],
        target: Tensor,
        moment: Moment | None,
        largest: tuple[View, Mapping[str, Tokens]],
    ) -> Tensor:
        """The loss of a smaller model: as that of the largest, and by its answers; ``largest``: its view, and what its
        fusion saw."""
        told, seen = largest
        own, (view,), _ = self._loss(model, batches, target, moment, seen)
        return own + distillation(model, view, told)

    def _loss(
        self,
        model: Model,
        batches: Sequence[Given],
        target: Tensor,
        moment: Moment | None,
        like: Mapping[str, Tokens] | None = None,
    ) -> tuple[Tensor, list[View], Mapping[str, Tokens]]:
        """The loss of a model, its views, and what its fusion saw; ``like``: the fusion is to see no more than this."""
        drop = dropout_now(self.augment.modality_dropout, self.current_epoch, self.train_plan.epochs or 1)
        looked = [self._view(model, tokens, at, drop, like) for tokens, at in batches]
        losses = model.task.step([view for view, _, _ in looked], target, moment)
        more = [loss for _, own, _ in looked for loss in own.values()]
        if moment is not None and self.environments is not None and self.train_plan.irm is not None:
            where, own_heads = self.environments[moment.items.cpu()].to(target.device), self.weights["unimodal"]
            penalty = irm_loss(model.task, looked[-1][0], target, where, own_heads)
            more.append(self.train_plan.irm.weight * penalty)
        # A task of several targets names its losses kind.target.
        weights = {name: self.weights.get(name.partition(".")[0], 1.0) for name in losses}
        parts = [
            weights[name] * loss for name, loss in losses.items() if weights[name]
        ]  # 0: not in the backward pass either
        return torch.stack([*parts, *more]).sum(), [view for view, _, _ in looked], looked[-1][2]

    def _view(
        self,
        model: Model,
        tokens: Mapping[str, Tokens],
        at: Instants | None,
        drop: Shares,
        like: Mapping[str, Tokens] | None,
    ) -> tuple[View, dict[str, Tensor], Mapping[str, Tokens]]:
        """A batch as the model sees it with parts hidden, the losses of fusion and imputer, and the parts."""
        shown = model.task.corrupt(tokens, drop)
        encoded = model.encode(shown)
        part = model.task.obscure(encoded, drop) if like is None else hidden_as(encoded, like)
        whole = bool(self.train_plan.modality_distillation)  # then the fusion answers twice: from all, and from a part
        seen = encoded if whole else part
        view = model.view(encoded, seen, part if whole else None, at)
        if model.task.sees_features:
            view = replace(view, features={m: model.backbone.prepare(m, t) for m, t in tokens.items()}, shown=shown)
        return view, model.backbone.auxiliary_losses(encoded, seen), part

    @torch.no_grad()
    def _unvaried(self, tokens: Mapping[str, Tokens], at: Instants | None) -> View:
        model = self.slow or self.model.eval()  # no dropout: embeddings of different batches are compared
        view = model.eval().view(model.encode(tokens), at=at)
        self.model.train()
        return view

    @torch.no_grad()
    def on_train_batch_end(self, outputs: object, batch: object, batch_idx: int) -> None:
        # He et al. 2020, "Momentum contrast", equation 2
        if self.slow is not None:
            for old, new in zip(self.slow.parameters(), self.model.parameters()):
                old.lerp_(new, 1 - self.model.task.momentum)

    def _check_finite(self, loss: Tensor, view: View, index: int) -> None:
        """Stop at once if a loss is NaN or infinite: every later one would be too.

        Raises:
            DataError: with epoch, step and the modalities whose output is not finite.
        """
        if bool(loss.isfinite()):
            return
        blame = [m for m, out in view.unimodal.items() if not bool(out.isfinite().all())]
        what = f"the answers from {', '.join(blame)} are" if blame else "the answer or its loss is"
        raise DataError(
            f"epoch {self.current_epoch + 1}, step {index + 1}: {what} NaN or infinite, so training cannot "
            f"go on. Lower train.lr (it is {self.train_plan.lr:g}), or look for extreme values in targets and features "
            "with: plait check --deep --signals"
        )

    def on_after_backward(self) -> None:
        if self.train_plan.ogm_ge and self.model.task.main_metric != "loss":
            ogm_ge(self.model, *self._step, self.train_plan.ogm_ge)

    def validation_step(self, batch: Batch, index: int) -> None:
        tokens, target, items, at = batch
        if self.model.task.main_metric == "loss":
            torch.manual_seed(index)  # hides the same parts in every epoch, so that epochs can be compared
            loss, views, _ = self._loss(self.model, [(tokens, at)] * self.model.task.views, target, None)
            self._check_finite(loss, views[-1], index)
            self.log("valid_loss", loss, on_step=False, on_epoch=True, prog_bar=True, batch_size=len(target))
            return
        encoded = self.model.encode(tokens)
        self._seen.append((self.model.answer(encoded, at=at), target))
        if self.monitor is not None:
            self.monitor.valid(encoded, target, items, at)

    def on_validation_epoch_end(self) -> None:
        if not self._seen:
            return
        # Over the whole part at once: metrics such as F1 are not means over batches.
        task = self.model.task
        output = task.joined([o for o, _ in self._seen])
        target = torch.cat([t for _, t in self._seen])
        self._seen.clear()
        found = task.metrics(task.quick_scores(output), target.cpu().numpy())
        self.log(f"valid_{task.main_metric}", found[task.main_metric], prog_bar=True)
        self.log("valid_loss", task.loss(output, target).mean())

    def configure_optimizers(self) -> OptimizerLRScheduler:
        plan = self.train_plan
        optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=plan.lr, weight_decay=plan.weight_decay, fused=self.device.type in FUSED
        )
        schedule: object
        if plan.schedule == "onecycle":
            schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, plan.lr, total_steps=self.steps)
        elif plan.schedule == "cosine":
            schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, self.steps)
        else:
            return optimizer
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
