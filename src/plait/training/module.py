"""The one Lightning module: loss, augmentation, rate schedule, metrics at the end of the epoch."""

from __future__ import annotations

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
from plait.tasks.pretrain import Place
from plait.tokens import Tokens
from plait.tokens.dropout import modality_dropout
from plait.training.missing import dropout_now, modality_distillation_loss, ogm_ge, self_distillation_loss

__all__ = ["TrainingModule"]

FUSED = ("cpu", "cuda")
"""Where torch has AdamW in one kernel: the same step, in a third of the time."""


class TrainingModule(L.LightningModule):
    """Trains a `Model`. An epoch depends on seed, epoch and weights alone: a resumed run is the same run."""

    def __init__(
        self, model: Model, train: Train, augment: Augment, *, seed: int, steps: int, regular: set[str]
    ) -> None:
        super().__init__()
        self.model, self.train_plan, self.augment, self.seed = model, train, augment, seed
        self.steps, self.vary = steps, Vary(augment.kinds)
        self.setting = Setting(regular, model.spread)
        self._seen: list[tuple[Tensor, Tensor]] = []
        self._step: tuple[dict[str, Tensor], Tensor, dict[str, Tokens]]

    def epoch_now(self) -> int:
        """The epoch that a data loader begins; right on resuming too, where `current_epoch` lags until it has begun."""
        return int(self.trainer.fit_loop.epoch_progress.current.processed)

    def training_step(self, batch: Batch, index: int) -> Tensor:
        tokens, target, items = batch
        torch.manual_seed(((self.seed + 1) * 100_003 + self.current_epoch) * 100_003 + index)
        if not self.model.task.labelled:
            return self._learn(tokens, target, items)
        tokens, drop = (
            self.vary(tokens, self.setting),
            dropout_now(self.augment.modality_dropout, self.current_epoch, self.train_plan.epochs),
        )
        encoded = self.model.encode(tokens)
        if self.train_plan.modality_distillation:
            loss, outputs = modality_distillation_loss(
                self.model, encoded, target, drop=drop, weight=self.train_plan.modality_distillation
            )
        else:
            loss, outputs = self.model.learn(encoded, target, modality_dropout(encoded, drop) if drop else None)
        if self.train_plan.self_distillation:
            loss = loss + self.train_plan.self_distillation * self_distillation_loss(self.model, encoded, outputs)
        self._check_finite(loss, tokens, outputs, index)
        self._step = (outputs, target, encoded)
        self.log("train_loss", loss, on_step=False, on_epoch=True, prog_bar=True, batch_size=len(target))
        return loss

    def _learn(self, tokens: dict[str, Tokens], groups: Tensor, items: Tensor | None) -> Tensor:
        """The loss of a task without labels; of items to validate on, without variation, if ``items`` is None."""
        drop = dropout_now(self.augment.modality_dropout, self.current_epoch, self.train_plan.epochs)
        views = [tokens if items is None else self.vary(tokens, self.setting) for _ in range(self.model.task.views)]
        at = None if items is None else Place(items, tokens, self.current_epoch / (self.train_plan.epochs or 1))
        loss: Tensor = self.model.task.learn(self.model, views, drop, groups, at)
        self._check_finite(loss, tokens, {}, 0)
        rows = len(next(iter(tokens.values())).mask)
        name = "valid_loss" if items is None else "train_loss"
        self.log(name, loss, on_step=False, on_epoch=True, prog_bar=True, batch_size=rows)
        return loss

    def _check_finite(self, loss: Tensor, tokens: dict[str, Tokens], outputs: dict[str, Tensor], index: int) -> None:
        """Stop at once where a loss is NaN or infinite: all that comes after it would be too.

        Raises:
            DataError: naming epoch, step and what is to blame.
        """
        if bool(loss.isfinite()):
            return
        blame = [m for m in tokens if m in outputs and not bool(outputs[m].isfinite().all())]
        what = f"the answers from {', '.join(blame)} are" if blame else "the answer or its loss is"
        raise DataError(
            f"epoch {self.current_epoch + 1}, step {index + 1}: {what} NaN or infinite, and nothing more can be "
            f"learnt. Lower train.lr (it is {self.train_plan.lr:g}), or look for wild values in targets and features "
            "with: plait check --deep --signals"
        )

    def on_after_backward(self) -> None:
        if self.train_plan.ogm_ge and self.model.task.labelled:
            ogm_ge(self.model, *self._step, self.train_plan.ogm_ge)

    def validation_step(self, batch: Batch, index: int) -> None:
        tokens, target, _ = batch
        if not self.model.task.labelled:
            torch.manual_seed(index)  # the same is hidden in every epoch
            self._learn(tokens, target, None)
            return
        self._seen.append((self.model(tokens)[""], target))

    def on_validation_epoch_end(self) -> None:
        if not self._seen:
            return
        output = torch.cat([o for o, _ in self._seen])
        target = torch.cat([t for _, t in self._seen])
        self._seen.clear()
        task = self.model.task
        found = task.metrics(task.scores(output), target.cpu().numpy())
        self.log(f"valid_{task.main_metric}", found[task.main_metric], prog_bar=True)
        self.log("valid_loss", task.loss(output, target).mean())

    def configure_optimizers(self) -> OptimizerLRScheduler:
        plan = self.train_plan
        optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=plan.lr, weight_decay=plan.weight_decay, fused=self.device.type in FUSED
        )
        schedule: Any
        if plan.schedule == "onecycle":
            schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, plan.lr, total_steps=self.steps)
        elif plan.schedule == "cosine":
            schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, self.steps)
        else:
            return optimizer
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
