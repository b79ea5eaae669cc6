"""A recipe with all defaults of its parts written out."""

from __future__ import annotations

from plait.augmentations import full_augmentation
from plait.core.errors import ConfigError, gathering, raise_all
from plait.core.options import option_problems
from plait.core.parts import Spec, full_spec, options_of, suggest
from plait.encoders.chain import encoder_specs
from plait.examples.splits import full_split
from plait.examples.units import ASKED, full_unit
from plait.features import Feature
from plait.fusion import Fusion
from plait.models.model import Model
from plait.recipe import Recipe
from plait.tasks import Task
from plait.training.experiment import task_and_unit
from plait.training.warm_start import OPTIONS, WarmStart
from plait.transforms import Step

__all__ = ["full_recipe"]


def full_recipe(recipe: Recipe) -> Recipe:
    """The recipe with every option of every part that it names; options that the data decide stay null.

    Raises:
        ConfigError: every unknown part or option, in one go.
    """
    full = recipe.model_copy(deep=True)
    problems: list[str] = []

    def fill(base: type, spec: Spec, where: str) -> dict[str, object]:
        with gathering(problems):
            return full_spec(base, spec, where)
        return {}

    with gathering(problems):
        task, unit = task_and_unit(recipe)
        task = fill(Task, task, "task")
        hidden = {*ASKED[1:], *task}  # the task sets these for the unit; a user cannot
        full.task = {**task, **{k: v for k, v in full_unit(unit).items() if k not in hidden}}
    if recipe.split:
        with gathering(problems):
            full_split(recipe.split)
    for name, value in full.augment.kinds.items():
        with gathering(problems):
            setattr(full.augment, name, full_augmentation(name, value))
    full.fusion = fill(Fusion, recipe.fusion, "fusion")
    known = {k: v for k, v in options_of(Model).items() if k not in ("encoders", "fusion")}
    known |= OPTIONS
    problems += [f"model.{k}: there is no such option. {suggest(k, known)}" for k in recipe.model if k not in known]
    problems += option_problems(Model, recipe.model, "model") + option_problems(WarmStart, recipe.model, "model")
    full.model = {**known, **recipe.model}
    for name, plan in full.streams.items():
        if plan:
            plan.preprocess = [
                fill(Step, spec, f"streams.{name}.preprocess[{i}]") for i, spec in enumerate(plan.preprocess)
            ]
        if plan and plan.feature:
            plan.feature = fill(Feature, plan.feature, f"streams.{name}.feature")
        if plan and plan.encoder:
            with gathering(problems):
                plan.encoder = [*encoder_specs(plan.encoder, f"streams.{name}.encoder")]
    raise_all(ConfigError, problems)
    return full
