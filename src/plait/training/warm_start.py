"""Fine-tuning: start a model from the weights of another run. ``model: {from: RUN}``."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from torch import nn

from plait.core.atomic import read_bytes
from plait.core.errors import ConfigError, DataError, raise_all
from plait.core.parts import suggest
from plait.core.safe_yaml import brief
from plait.encoders import Encoder
from plait.encoders.chain import steps_of
from plait.examples.items import Fold
from plait.models.backbone import EncoderSpec
from plait.models.model import Model
from plait.recipe import Recipe
from plait.training.experiment import Experiment
from plait.training.plans import plan_of
from plait.training.run import Beginning, Replicate, Run

OPTIONS = {"from": None, "freeze": False, "allow_code": False}
"""Options of a recipe's ``model`` for fine-tuning, besides the options of `Model`."""

__all__ = ["OPTIONS", "WarmStart", "check_unchanged"]


class WarmStart:
    """The run that a recipe's ``model: {from: ...}`` names, pre-trained or trained on another task.

    If the recipe leaves encoders or ``dim`` open, those of that run are used. Encoders that it names must have the same
    parts and options as there, and may go on behind them: a chain whose first steps are that run's, each with its
    ``dim``. Features, normalisation and rates must be the same too. Encoders are copied by modality, with the mean and
    deviation of the features that they were trained on. The fusion is copied if specs and modalities are equal.
    Everything else starts fresh: heads, other fusions, and modalities that the other run does not have.
    ``allow_code: true`` lets that run name classes from outside plait (see `plait.models.model.Model.load`).
    With ``freeze: true`` beside ``from``, copied parts are not trained.

    Args:
        folder: the run's folder.

    Raises:
        DataError: there is no finished run.
    """

    def __init__(self, folder: str | Path, *, allow_code: bool = False) -> None:
        self.run = Run(folder, allow_code=allow_code)
        if self.run.finished != self.run.replicates:
            raise DataError(f"model.from: {folder} is not trained to its end. Go on with: plait fit")
        self.models = {m: self.run.model(m) for m in self.run.replicates}

    @classmethod
    def of(cls, recipe: Recipe) -> WarmStart | None:
        """The run that the recipe starts from; None if it names none.

        Raises:
            ConfigError: ``from`` is not a path, ``freeze`` is not true or false, or there is nothing to freeze.
        """
        place, freeze = recipe.model.get("from"), recipe.model.get("freeze", False)
        if not isinstance(place, str | None) or place == "":
            raise ConfigError(f"model.from: got {brief(place)}; expected the folder of a run, or null.")
        if not isinstance(freeze, bool) or (freeze and place is None):
            raise ConfigError(
                f"model.freeze: got {brief(freeze)}; expected true or false, and true beside from: RUN only."
            )
        return None if place is None else cls(place, allow_code=recipe.model.get("allow_code") is True)

    def source(self, replicate: Replicate) -> Replicate:
        """The replicate to start from: of the same fold and seed if there is one, else the first."""
        same = [m for m in self.run.replicates if m.fold == replicate.fold] or self.run.replicates
        return next((m for m in same if m.seed == replicate.seed), same[0])

    def encoder(self, modality: str) -> EncoderSpec | None:
        """The specs of a modality's encoder in that run; None if it does not have the modality."""
        return next(iter(self.models.values())).backbone.encoder_specs.get(modality)

    @property
    def dim(self) -> int:
        return next(iter(self.models.values())).dim

    def begin(
        self, model: Model, replicate: Replicate, fold: Fold, experiment: Experiment
    ) -> dict[str, list[nn.Module]]:
        """Copy what fits into a fresh ``model``; returns its copied parts by modality, and for "" the fusion.

        Raises:
            ConfigError: a shared modality differs in features or encoder, or none is shared; all problems at once.
            DataError: the other run was trained on recordings that ``fold`` tests on.
        """
        source = self.source(replicate)
        self._check_apart(source, fold)
        other = self.models[source]
        shared = [m for m in model.modalities if m in other.dims]
        if not shared:
            raise ConfigError(
                f"model.from: {self._place} knows no modality of {model.modalities}. {suggest('', other.dims)}"
            )
        raise_all(ConfigError, [p for m in shared for p in self._differences(model, other, m, experiment)])
        copied = dict[str, list[nn.Module]]()
        for m in shared:
            pairs = [*zip(_steps(model, m), _steps(other, m))]
            for mine, its in pairs:
                mine.load_state_dict(its.state_dict())
            copied[m] = [mine for mine, _ in pairs]
            # The other run's scale, though the training rows differ: the encoder's weights suit only this.
            model.backbone.set_scale(m, other.backbone.mean(m).numpy(), other.backbone.std(m).numpy())
        one, another = ((x.describe()["fusion"], x.modalities, x.dim) for x in (model, other))
        if one == another:
            model.backbone.fusion.load_state_dict(other.backbone.fusion.state_dict())
            copied[""] = [model.backbone.fusion]
        return copied

    @property
    def _place(self) -> str:
        return str(self.run.folder)

    def _check_apart(self, source: Replicate, fold: Fold) -> None:
        theirs = next(f for f in self.run.info.folds if f.name == source.fold)
        both = sorted({i.recording for i in fold.test} & set(theirs.train))
        if both:
            raise DataError(
                f"model.from: {self._place} was trained on {len(both)} recordings that this recipe tests on, "
                f"such as {both[0]!r}. Give both recipes the same split."
            )

    def _differences(self, model: Model, other: Model, modality: str, experiment: Experiment) -> list[str]:
        theirs = other.describe()["encoders"][modality]
        ours = model.describe()["encoders"][modality][: len(theirs)]
        widths = [[step.get("dim", x.dim) for step in steps] for x, steps in ((model, ours), (other, theirs))]
        bare = [[{k: v for k, v in step.items() if k != "dim"} for step in steps] for steps in (ours, theirs)]
        pairs = {
            "width of tokens (model.dim, or dim of the encoder)": (widths[0], widths[1]),
            "features": (model.dims[modality], other.dims[modality]),
            "encoder": (bare[0], bare[1]),
            "feature": (experiment.features[modality], self.run.info.features[modality]),
            "normalization, rate": (_shape(experiment.recipe, modality), _shape(self.run.recipe, modality)),
        }
        return [
            f"model.from: {modality}: {what} {mine} here, {its} in {self._place}. Make them the same or leave them out."
            for what, (mine, its) in pairs.items()
            if mine != its
        ]

    def digest(self, replicate: Replicate) -> dict[str, str]:
        """The replicate that this one starts from, and the SHA-256 of its files."""
        source = self.source(replicate)
        place = self.run.folder / source.name
        found = hashlib.sha256(b"".join(read_bytes(place / n) for n in ("model.json", "model.safetensors")))
        return {"replicate": source.name, "sha256": found.hexdigest()}

    def record(self, replicates: Sequence[Replicate]) -> Beginning:
        """For ``run.json``: the run, and what each replicate starts from."""
        found = {m.name: self.digest(m) for m in replicates}
        return Beginning.model_validate({"run": str(self.run.folder.resolve()), "replicates": found})


def _steps(model: Model, modality: str) -> list[Encoder]:
    return steps_of(cast("Encoder", model.backbone.encoders[model.backbone.index(modality)]))


def _shape(recipe: Recipe, modality: str) -> tuple[str, float | None]:
    plan = plan_of(recipe, modality)
    return plan.normalization, plan.rate


def check_unchanged(folder: Path, held: Beginning | None, now: Beginning) -> None:
    """Refuse to go on with a run if the weights that it started from have changed.

    Raises:
        ConfigError: the weights have changed since the run began.
    """
    both = (
        held.replicates.keys() & now.replicates.keys() if held else ()
    )  # added seeds start now, with the weights as they are
    if held and any(held.replicates[name] != now.replicates[name] for name in both):
        raise ConfigError(
            f"{folder}: was begun from {held.run}, whose weights have changed since. "
            "Start anew with --overwrite, or choose another --out."
        )
