"""``preparation.json``: what a trained model needs, besides its weights, to answer for raw recordings.

A replicate's folder holds it with ``model.json`` and ``model.safetensors``. So the folder can be copied alone: it
needs no file of the run or of its corpus, and holds no path of either.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from plait.core.atomic import write_text
from plait.core.parts import Options
from plait.corpus.manifest import Rate
from plait.recipe import CorpusPlan, Recipe, StreamPlan
from plait.training.run import Run, read_json

__all__ = ["FILE", "Preparation"]

FILE = "preparation.json"
FORMAT: Literal["plait preparation 1"] = "plait preparation 1"


class Preparation(BaseModel):
    """How raw recordings become the model's input.

    Attributes:
        task: the recipe's task section: the unit that an example is, and its target.
        causal: whether rows stand at the instants at which they are known, and items have context before them alone.
        look_ahead: but for so many seconds.
        streams: how each modality is prepared.
        naming: import options: how files are grouped into recordings.
        modalities: the stream of each modality, in the model's order.
        features: the feature of each modality, with all its options.
        rates: observations per second of streams whose arrays do not say it.
    """

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    format: Literal["plait preparation 1"] = FORMAT
    task: str | Options
    causal: bool = False
    look_ahead: float = 0.0
    streams: dict[str, StreamPlan | None]
    naming: Options
    modalities: dict[str, str] = Field(min_length=1)
    features: dict[str, Options]
    rates: dict[str, Rate | None]

    @classmethod
    def of(cls, run: Run) -> Preparation:
        """The preparation of a run, the same for all its replicates."""
        recipe, info = run.recipe, run.info
        naming = recipe.corpus.options if isinstance(recipe.corpus, CorpusPlan) else {}
        return cls(
            task=recipe.task,
            causal=recipe.causal,
            look_ahead=recipe.look_ahead,
            streams=dict(recipe.streams),
            naming=naming,
            modalities=info.modalities,
            features=info.features,
            rates=info.rates,
        )

    @property
    def recipe(self) -> Recipe:
        """The part of the recipe that preparation needs; it names no real corpus."""
        live = {"causal": self.causal, "look_ahead": self.look_ahead}
        return Recipe(corpus="none.jsonl", task=self.task, streams=self.streams, **live)

    def write(self, folder: Path) -> None:
        """Write the file into a replicate's folder.

        Raises:
            OSError: the folder is not writable, or the disk is full.
        """
        plain = self.model_dump(mode="json")
        # No sort_keys: the order of the modalities is the model's.
        text = json.dumps(plain, ensure_ascii=False, indent=1, allow_nan=False)
        write_text(folder / FILE, text, durable=True)

    @classmethod
    def read(cls, folder: Path) -> Preparation:
        """Read the file in a replicate's folder.

        Raises:
            DataError: the file is missing, damaged or of another version.
        """
        do = "Give the folder of a run, or of a complete trained replicate."
        return read_json(folder / FILE, cls, do)
