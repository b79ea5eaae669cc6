"""Structured pruning: channels of all tokens are taken away."""

from __future__ import annotations

import math

import torch

from plait.compression import Lesson, Way
from plait.compression.lessons import narrower, retaught
from plait.core.errors import ConfigError
from plait.core.options import Share, Whole
from plait.core.parts import options_of
from plait.models.model import Model
from plait.models.slicing import Channels, Slices, importance, parts_of
from plait.recipe import Recipe

__all__ = ["Width", "pruned_width"]

MULTIPLE = 8
"""The width stays a multiple of this, if it is one: heads of attention and directions must divide it."""


class Width(Way):
    """The recipe's model with a share of the channels of its tokens, those that weigh most, fine-tuned.

    Li, Kadav, Durdanovic, Samet & Graf 2017, "Pruning filters for efficient ConvNets", ICLR (arXiv 1608.08710): the
    channels are chosen by the L1 norm of their weights (`plait.models.slicing.importance`), and the model is trained
    on, by labels and the original's answers (`plait.compression.lessons.taught`). Departure: one choice of channels for
    the whole model, as all tokens have the same width. A wide part is kept as it is.

    Args:
        share: of the channels that are kept; the width is rounded to a multiple of `MULTIPLE` where it was one.
        steps: of training; 0: those of the recipe.
    """

    order = 0

    def __init__(self, *, share: Share, steps: Whole = 0) -> None:
        self.share, self.steps = share, steps

    def recipe(self, recipe: Recipe) -> Recipe:
        dim = int(recipe.model.get("dim", options_of(Model)["dim"]))
        return recipe.model_copy(update={"model": {**recipe.model, "dim": pruned_width(dim, self.share)}})

    def smaller(self, model: Model, lesson: Lesson) -> Model:
        dim = pruned_width(model.dim, self.share)
        if lesson.recipe.train.solver == "ridge" or dim >= model.dim:
            raise ConfigError(
                f"compress: width={self.share} leaves {dim} of {model.dim} channels; expected fewer, and a model "
                "trained by gradient descent."
            )
        torch.manual_seed(lesson.seed)
        student = narrower(model, dim)
        student.load_state_dict(_slices(model, student).of(model.state_dict(), student.state_dict()))
        return retaught(student, model, lesson, steps=self.steps)


def pruned_width(dim: int, share: float) -> int:
    """How many of ``dim`` channels are kept.

    >>> pruned_width(128, 0.3), pruned_width(12, 0.5), pruned_width(64, 0.0)
    (40, 8, 8)
    """
    unit = math.gcd(dim, MULTIPLE)
    return max(1, round(share * dim / unit)) * unit


def _slices(model: Model, student: Model) -> Slices:
    parts = parts_of(model, student.dim)
    kept = importance(model, student).topk(student.dim // parts).indices.sort().values
    return Slices(model, student, Channels(model.dim, parts, kept))
