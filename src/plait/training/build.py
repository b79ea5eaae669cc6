"""Build a fresh model from a recipe and a fold, and choose what the recipe leaves open."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from plait.core.errors import ConfigError, DataError, raise_all
from plait.core.parts import Spec, build, find, full_spec, parts
from plait.encoders.moving_statistics import windows_for
from plait.examples.data import FeatureSource, ItemData
from plait.examples.items import Fold, Item
from plait.examples.units import make_unit
from plait.fusion import Fusion
from plait.models.backbone import default_encoder
from plait.models.model import Model
from plait.recipe import Recipe
from plait.store.scale import fit_scale
from plait.store.stepped import build_feature
from plait.tasks import Task
from plait.training.experiment import Experiment, Features
from plait.training.plans import plan_of
from plait.training.warm_start import OPTIONS, WarmStart

__all__ = ["build_model", "chosen_encoder", "item_data", "resolved_fusion", "widens"]

WIDE_ROWS, WIDE_COLUMNS = 5000, 1000
"""Most feature rows per item, and most columns, for which the quick model is quick to fit."""


def build_model(
    experiment: Experiment, fold: Fold, features: Features, start: WarmStart | None = None
) -> tuple[Model, ItemData]:
    """Build a fresh model for a fold; its normalisation is fitted on the training part only.

    Options that the recipe leaves open are taken from ``start``, the run to fine-tune.
    """
    recipe = experiment.recipe
    task = build(Task, experiment.task, [i.target for i in fold.train], where="task")
    task.check_items(fold.train)
    data = item_data(experiment, fold.train, features, task)
    dims, encoders, steps = {}, {}, data.asked.steps
    rows = {m: data.features(m) for m in experiment.modalities}
    raise_all(DataError, [p for m in rows for p in _nothing_to_learn(m, rows[m])])
    for m in experiment.modalities:
        dims[m] = rows[m][0].shape[1]
        held = start.encoder(m) if start else None
        # The other run's encoder goes before a default: its weights fit no other encoder.
        chosen = plan_of(recipe, m).encoder or held
        encoders[m] = chosen or chosen_encoder(experiment, m, dims[m], data.typical_length(m), steps)
    fusion = resolved_fusion(recipe.fusion, steps)
    # The recipe's own dim wins; one that differs from the other run's is refused in `WarmStart.begin`.
    options = ({"dim": start.dim} if start else {}) | {k: v for k, v in recipe.model.items() if k not in OPTIONS}
    model = Model(dims, task, encoders=encoders, fusion=fusion, **options)
    if experiment.causal:
        _check_causal(model)
    _check_symbolic(experiment, model)
    for m in experiment.modalities:
        if model.backbone.symbolic(m):  # ids have no scale
            continue
        model.backbone.set_scale(m, *fit_scale(rows[model.backbone.source(m)], _groups(experiment, m, dims[m])))
    return model, data


def item_data(experiment: Experiment, items: Sequence[Item], features: FeatureSource, task: Task) -> ItemData:
    """Items of one side of a fold, with their targets as the task encodes them."""
    return ItemData(items, features, task.asked(items), experiment.modalities)


def chosen_encoder(
    experiment: Experiment, modality: str, dim: int, length: float, steps: int = 0
) -> list[dict[str, object]]:
    """The default encoder of a modality, for recipes that name none.

    Args:
        experiment: the recipe with its corpus.
        modality: its name.
        dim: columns of its features.
        length: typical rows per item.
        steps: instants per item at which answers are asked; 0: one answer per item.
    """
    feature = build_feature(experiment.features[modality], f"streams.{modality}.feature")
    if experiment.recipe.train.solver == "ridge":
        if steps:
            # MiniRocket pools over the whole item; an answer at an instant needs the time around that instant.
            seconds = float(np.median([i.stop - i.start for i in experiment.items.items]))
            windows = windows_for(length, seconds, causal=experiment.causal)
            return [{"name": "moving_statistics", "windows": windows, "causal": experiment.causal}]
        return [{"name": "mini_rocket", "length": max(round(length), 1)}]
    if find(Task, experiment.task, "task")[0].by_row:
        return [{"name": "linear"}]
    context = make_unit(experiment.unit).context()
    causal = experiment.causal
    return default_encoder(length, picture=feature.picture(dim), context=context, steps=steps, causal=causal)


def resolved_fusion(spec: Spec, steps: int = 0) -> Spec:
    """The recipe's fusion; its open options are filled in as suits ``steps`` answers per item."""
    cls, options = find(Fusion, spec, "fusion")
    # Later keys win: the class's defaults, its defaults for answers at instants, the recipe's own options.
    return {**full_spec(Fusion, spec, "fusion"), **cls.at_instants(steps), **options} if steps else spec


def widens(plan: Recipe, *, linear: bool, longest: float, columns: int) -> bool:
    """Whether the quick model answers beside a deep one: see `plait.recipe.Train`.

    Args:
        plan: the recipe.
        linear: whether the task has linear heads.
        longest: typical rows per item, of the modality with the most.
        columns: columns of the widest features.
    """
    if plan.train.wide is not None or not linear or plan.train.solver == "ridge":
        return bool(plan.train.wide)
    # it would be fitted without the penalty, and it sees the item as a whole
    if plan.train.irm is not None or plan.causal:
        return False
    # A recipe that names an encoder or a run to start from gets that model alone, unless it says wide: true.
    chosen = plan.model.get("from") is not None or any(own and own.encoder for own in plan.streams.values())
    return not chosen and longest <= WIDE_ROWS and columns <= WIDE_COLUMNS


def _groups(experiment: Experiment, modality: str, dim: int) -> list[int]:
    """The group number of each column; columns of one group share a standard deviation."""
    groups = plan_of(experiment.recipe, modality).normalization_groups
    if groups is None:
        return build_feature(experiment.features[modality], f"streams.{modality}.feature").groups(dim)
    if isinstance(groups, int):
        return [i // groups for i in range(dim)]
    return [0] * dim if groups == "all" else list(range(dim))


def _check_causal(model: Model) -> None:
    """Refuse encoders that look ahead, and for answers over time such a fusion."""
    problems = [
        f"streams.{m}.encoder: looks ahead, but causal is true. Leave it open, or choose a causal one."
        for m, encoder in zip(model.modalities, model.backbone.encoders)
        if not encoder.causal
    ]
    if model.task.causal and not model.backbone.fusion.causal:
        known = ", ".join(name for name, cls in parts(Fusion).items() if cls.causal)
        problems.append(f"fusion: looks ahead, but causal is true. Choose one that is causal: {known}.")
    raise_all(ConfigError, problems)


def _check_symbolic(experiment: Experiment, model: Model) -> None:
    """Ids need an encoder that looks them up, and such an encoder needs ids."""
    problems = []
    for m in experiment.modalities:
        spec = experiment.features[m]
        gives = build_feature(spec, f"streams.{m}.feature").symbolic
        if gives and not model.backbone.symbolic(m):
            problems.append(
                f"streams.{m}.encoder: takes measurements, but the feature {spec['name']} gives ids. Choose an encoder "
                "of ids, such as {name: hf, ids: true}; the quick model has none."
            )
        elif model.backbone.symbolic(m) and not gives:
            problems.append(
                f"streams.{m}.feature: {spec['name']} gives measurements, but the encoder reads ids. Choose a feature "
                "of ids, such as hf_tokens."
            )
    raise_all(ConfigError, problems)


def _nothing_to_learn(modality: str, rows: Sequence[NDArray[np.float32]]) -> list[str]:
    if not rows:
        return [f"streams.{modality}: no training item has it. Take it out of the recipe or change the split."]
    if not any(np.isfinite(row).any() for row in rows):
        return [
            f"streams.{modality}: its features are NaN or infinite in every training item; there is nothing to learn "
            "from. Look at the stream with: plait check --signals"
        ]
    return []
