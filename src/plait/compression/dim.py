"""A narrower model, taught by the original."""

from __future__ import annotations

import torch

from plait.compression import Lesson, Way
from plait.compression.lessons import narrower, retaught
from plait.core.errors import ConfigError
from plait.core.options import Count, Whole
from plait.models.model import Model
from plait.recipe import Recipe

__all__ = ["Dim"]


class Dim(Way):
    """The recipe's model with tokens of another width, trained anew by labels and by the original's answers.

    See `plait.compression.lessons.taught`. A wide part is kept as it is.

    Args:
        width: of all tokens.
        steps: of training; 0: those of the recipe.
    """

    def __init__(self, *, width: Count, steps: Whole = 0) -> None:
        self.width, self.steps = width, steps

    def recipe(self, recipe: Recipe) -> Recipe:
        return recipe.model_copy(update={"model": {**recipe.model, "dim": self.width}})

    def smaller(self, model: Model, lesson: Lesson) -> Model:
        train = lesson.recipe.train
        if train.solver == "ridge" or self.width >= model.dim:
            raise ConfigError(
                f"compress: dim={self.width}; expected less than {model.dim}, and a model trained by gradient descent."
            )
        torch.manual_seed(lesson.seed)
        return retaught(narrower(model, self.width), model, lesson, steps=self.steps)
