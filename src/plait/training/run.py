"""A run on disk: the recipe with all defaults, what was split how, and the trained members."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plait.errors import DataError
from plait.model import Model
from plait.recipe import parse_recipe

__all__ = ["Member", "Run"]


@dataclass(frozen=True)
class Member:
    """One trained model of a run: a seed and a fold."""

    seed: int
    fold: str

    @property
    def name(self) -> str:
        return f"seed{self.seed}" + (f"-{self.fold}" if self.fold else "")


class Run:
    """A run on disk: the recipe with all defaults, what was split how, and the trained members.

    Args:
        folder: where `fit` wrote it.

    Raises:
        DataError: there is no run, or it is not finished.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        try:
            text = (self.folder / "recipe.yaml").read_text(encoding="utf-8")
            self.info: dict[str, Any] = json.loads((self.folder / "run.json").read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise DataError(f"{self.folder}: is not a plait run ({error}). Make one with: plait fit RECIPE") from error
        self.recipe = parse_recipe(text, source=str(self.folder / "recipe.yaml"))
        self.members = [Member(**m) for m in self.info["members"]]

    @property
    def finished(self) -> list[Member]:
        return [m for m in self.members if (self.folder / m.name / "done.json").exists()]

    def model(self, member: Member) -> Model:
        """A trained member.

        Raises:
            DataError: it is not trained yet.
        """
        if member not in self.finished:
            raise DataError(f"{self.folder}: {member.name} is not trained to its end. Go on with: plait fit")
        return Model.load(self.folder / member.name)

    def done(self, member: Member) -> dict[str, Any]:
        """What is known of a trained member: its epoch ``log`` by column, ``seconds``, ``parameters``, ``targets``."""
        found: dict[str, Any] = json.loads((self.folder / member.name / "done.json").read_text(encoding="utf-8"))
        return found
