"""Runs made smaller: ways that train come first, one file each; then a `plait.packing.Packing` of their weights."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from plait.examples.data import ItemData
from plait.models.model import Model
from plait.recipe import Recipe

__all__ = ["Lesson", "Way"]


@dataclass(frozen=True)
class Lesson:
    """What a smaller model learns from.

    Attributes:
        teacher: the original.
        recipe: the run's.
        train: the training items, with the recipe's noises.
        valid: held-out items; None where there are none.
        seed: of all random draws.
    """

    teacher: Model
    recipe: Recipe
    train: ItemData
    valid: ItemData | None
    seed: int


class Way(ABC):
    """One way to a smaller model that needs training. Its first option is that of ``NAME=VALUE``."""

    order: ClassVar[int] = 0
    """Of several ways those of smaller numbers come first."""

    def recipe(self, recipe: Recipe) -> Recipe:
        """The recipe of the smaller model; by default the same."""
        return recipe

    @abstractmethod
    def smaller(self, model: Model, lesson: Lesson) -> Model:
        """A smaller model in place of ``model``, which may be changed."""
