"""Lightning's trainer for one replicate of a run."""

from __future__ import annotations

import csv
import logging
import math
import sys
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint, RichProgressBar
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor

from plait.core.errors import DataError
from plait.core.parts import Options
from plait.core.progress import EVERY
from plait.examples.data import ItemData, loader
from plait.models.model import Model
from plait.recipe import Recipe
from plait.training.alarms import Alarm, alarms_of
from plait.training.checkpoint import SafeCheckpoints, read_tree
from plait.training.module import TrainingModule
from plait.training.monitor import Monitor
from plait.training.run import Replicate, digest_of

__all__ = ["train_model"]

_PATHS = ("best_model_path", "kth_best_model_path", "last_model_path")
"""Entries of `ModelCheckpoint`'s state that are absolute paths."""


class _History(Callback):
    """Writes the numbers of each epoch to ``log.csv`` and into the checkpoint, so that a resumed log is whole.

    Args:
        path: the file.
        recipe: its digest.
        monitor: makes more numbers, from which warnings are drawn; each is printed once, unless ``quiet``.
    """

    def __init__(self, path: Path, recipe: str, monitor: Monitor | None = None, *, quiet: bool = True) -> None:
        self.path, self.recipe, self.monitor, self.quiet = path, recipe, monitor, quiet
        self.rows: dict[str, list[float]] = {}
        self.started = 0.0

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.started = time.process_time()

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        more = {} if self.monitor is None else self.monitor.epoch()
        # Processor time, since processes that share cores slow each other's clock time.
        seconds = time.process_time() - self.started
        now = {"epoch": trainer.current_epoch, "processor_seconds": seconds, **trainer.callback_metrics, **more}
        done = len(self.rows.get("epoch", []))
        for name in dict.fromkeys([*self.rows, *now]):  # a column that an epoch lacks keeps its length
            self.rows.setdefault(name, [math.nan] * done).append(float(now.get(name, math.nan)))
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # Written whole each time: rows of an epoch that was cut off before its checkpoint must not come twice.
        with open(self.path, "w", newline="", encoding="utf-8") as out:
            csv.writer(out).writerows([self.rows.keys(), *zip(*self.rows.values())])
        if self.monitor is not None and not self.quiet:
            for alarm in alarms_of(self.rows, self.monitor.model.modalities, epochs=trainer.max_epochs or 1):
                if alarm["epoch"] == done + 1:  # so each is printed once, in a resumed run too
                    print(f"{self.path.parent.name}: {alarm['text']}", file=sys.stderr, flush=True)

    def state_dict(self) -> Options:
        return {"recipe": self.recipe, "log": {k: list(v) for k, v in self.rows.items()}}

    def load_state_dict(self, state_dict: Options) -> None:
        if state_dict.get("recipe") != self.recipe:
            raise DataError(
                f"{self.path.parent}: its checkpoint is of another recipe. Delete the folder to train it anew."
            )
        self.rows = state_dict["log"]


class _Checkpoints(ModelCheckpoint):
    """Remembers its files by name, without their folder: a run that was moved or copied resumes with its own files."""

    def state_dict(self) -> Options:
        state = super().state_dict()
        own = {key: Path(state[key]).name if state[key] else state[key] for key in _PATHS}
        best = {Path(path).name: score for path, score in self.best_k_models.items()}
        return {**state, **own, "best_k_models": best, "dirpath": ""}

    def load_state_dict(self, state_dict: Options) -> None:
        folder = Path(str(self.dirpath))
        own = {key: str(folder / state_dict[key]) if state_dict[key] else state_dict[key] for key in _PATHS}
        best = {str(folder / name): score for name, score in state_dict["best_k_models"].items()}
        super().load_state_dict({**state_dict, **own, "best_k_models": best, "dirpath": self.dirpath})


class _Lines(Callback):
    """Prints one line per epoch where no terminal can show a bar, at most one line every few seconds."""

    def __init__(self, name: str) -> None:
        self.name, self.told = name, -EVERY

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        done, last = trainer.current_epoch + 1, trainer.max_epochs
        if time.monotonic() - self.told < EVERY and done != last:
            return
        self.told = time.monotonic()
        numbers = "".join(f", {name} {float(value):.4g}" for name, value in trainer.callback_metrics.items())
        print(f"{self.name}: epoch {done}/{last}{numbers}", file=sys.stderr, flush=True)


class _Average(Callback):
    """The mean of the weights at the ends of the epochs from ``first`` on; kept in the checkpoint."""

    def __init__(self, first: int) -> None:
        self.first, self.count = first, 0
        self.mean: dict[str, Tensor] = {}

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.current_epoch < self.first:
            return
        self.count += 1
        for name, value in pl_module.state_dict().items():
            old = self.mean.get(name, value)
            self.mean[name] = torch.lerp(old, value, 1 / self.count) if value.is_floating_point() else value.clone()

    def state_dict(self) -> Options:
        return {"count": self.count, "mean": self.mean}

    def load_state_dict(self, state_dict: Options) -> None:
        self.count, self.mean = state_dict["count"], state_dict["mean"]


class _Stop(Callback):
    """Passes KeyboardInterrupt on, where Lightning would swallow it."""

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        if isinstance(exception, KeyboardInterrupt):
            raise exception


def train_model(
    folder: Path,
    model: Model,
    data: ItemData,
    valid: ItemData | None,
    *,
    recipe: Recipe,
    replicate: Replicate,
    quiet: bool,
    environments: Tensor | None = None,
    smaller: Sequence[Model] = (),
) -> tuple[dict[str, list[float]], list[Alarm]]:
    """Train ``model`` in place, with one checkpoint per epoch in ``folder``; the log by column, and its warnings.

    Training begins at the last checkpoint, and ends after ``replicate.share`` of the epochs.

    With ``stop: early`` the weights are those of the best epoch by the task's main metric on ``valid``. With
    ``train.irm``, ``environments`` numbers those of the training items. ``smaller``: models that are trained with it,
    on slices of its weights (`plait.training.sandwich`).
    """
    dims, epochs, seed = model.dims, recipe.train.epochs_for(len(data)), replicate.seed
    until = max(1, round(epochs * replicate.share))
    train = recipe.train.model_copy(update={"epochs": epochs})
    # One more: Lightning steps the schedule after the last batch too.
    steps = -(-len(data) // train.batch) * epochs + 1
    monitor = Monitor(model, data, valid) if Monitor.suits(model) else None
    module = TrainingModule(
        model,
        train,
        recipe.augment,
        seed=seed,
        steps=steps,
        regular=data.regular(),
        environments=environments,
        monitor=monitor,
        smaller=smaller,
    )
    batches = loader(data, dims, batch=train.batch, seed=seed, epoch=module.epoch_now)
    checks = None if valid is None else loader(valid, dims, batch=train.batch)
    history, early = _History(folder / "log.csv", digest_of(recipe), monitor, quiet=quiet), train.stop == "early"
    keep = _checkpoints(folder, model, early)
    callbacks: list[Callback] = [history, keep, _Stop()]
    average = _Average(epochs - train.average)
    if train.average > 1 and not early:
        callbacks.insert(0, average)
    if early:
        mode = "max" if model.task.higher_is_better else "min"
        callbacks.append(EarlyStopping(f"valid_{model.task.main_metric}", patience=train.patience, mode=mode))
    bar = not quiet and sys.stdout.isatty()
    if not quiet:
        callbacks.append(RichProgressBar() if bar else _Lines(folder.name))
    last = folder / "checkpoints/last.ckpt"
    with _quiet_lightning():
        trainer = L.Trainer(
            default_root_dir=folder,
            max_epochs=until,
            callbacks=callbacks,
            plugins=[SafeCheckpoints()],
            logger=TensorBoardLogger(folder, name="tensorboard", version="") if train.log == "tensorboard" else False,
            gradient_clip_val=train.clip,
            accelerator="auto",
            devices=1,
            enable_progress_bar=bar,  # without one of ours Lightning would add its own
            enable_model_summary=False,
            num_sanity_val_steps=0,
            log_every_n_steps=10**9,  # every log is per epoch
        )
        trainer.fit(module, batches, checks, ckpt_path=str(last) if last.exists() else None)
    if early:
        _load(model, read_tree(Path(keep.best_model_path))["state_dict"])
    elif average.mean:
        _load(model, average.mean)
    return history.rows, alarms_of(history.rows, model.modalities, epochs=epochs)


def _load(model: Model, state: Mapping[str, Tensor]) -> None:
    """Load the weights of the module that held the model."""
    own = {k.removeprefix("model."): v for k, v in state.items() if k.startswith("model.")}
    model.load_state_dict(own)


def _checkpoints(folder: Path, model: Model, early: bool) -> ModelCheckpoint:
    options: Options = {"dirpath": folder / "checkpoints", "enable_version_counter": False}
    if not early:
        return _Checkpoints(**options, filename="last", save_top_k=1, every_n_epochs=1)
    mode = "max" if model.task.higher_is_better else "min"
    monitor = f"valid_{model.task.main_metric}"
    return _Checkpoints(**options, filename="best", save_last=True, save_top_k=1, monitor=monitor, mode=mode)


@contextmanager
def _quiet_lightning() -> Iterator[None]:
    """Silence Lightning's advice on workers and hardware: our users cannot follow it."""
    names = ("lightning.pytorch", "lightning.fabric", "lightning.pytorch.utilities.rank_zero")
    levels = {name: logging.getLogger(name).level for name in names}
    with warnings.catch_warnings():
        for text in (
            ".*num_workers.*",
            ".*no `val_dataloader`.*",
            ".*log_every_n_steps.*",
            ".*Checkpoint directory.*",
            ".*LeafSpec.*",
            ".*treespec.*",
            ".*in eval mode at the start of training.*",
        ):
            warnings.filterwarnings("ignore", message=text)
        for name in names:
            logging.getLogger(name).setLevel(logging.ERROR)
        try:
            yield
        finally:
            for name, level in levels.items():
                logging.getLogger(name).setLevel(level)
