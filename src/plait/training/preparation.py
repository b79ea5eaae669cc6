"""``preparation.json``: what a trained model needs to answer for raw recordings, beside its weights.

A replicate's folder holds it with ``model.json`` and ``model.safetensors``. So it can be copied anywhere, alone: it
needs nothing of the run or of its corpus, and holds no path of either.
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
    """How raw recordings become what the model looks at.

    Attributes:
        task: the recipe's task section: what is looked at once, and what is asked.
        streams: how each modality is prepared.
        naming: import options: how files are put together to recordings.
        modalities: the stream of each, in the model's order.
        features: the feature of each, with all its options.
        rates: observations a second of streams whose arrays do not tell them.
    """

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    format: Literal["plait preparation 1"] = FORMAT
    task: str | Options
    streams: dict[str, StreamPlan | None]
    naming: Options
    modalities: dict[str, str] = Field(min_length=1)
    features: dict[str, Options]
    rates: dict[str, Rate | None]

    @classmethod
    def of(cls, run: Run) -> Preparation:
        """That of a run: the same for all its replicates."""
        recipe, info = run.recipe, run.info
        naming = recipe.corpus.options if isinstance(recipe.corpus, CorpusPlan) else {}
        return cls(
            task=recipe.task,
            streams=dict(recipe.streams),
            naming=naming,
            modalities=info.modalities,
            features=info.features,
            rates=info.rates,
        )

    @property
    def recipe(self) -> Recipe:
        """As much of the recipe as preparing needs; its corpus is none."""
        return Recipe(corpus="none.jsonl", task=self.task, streams=self.streams)

    def write(self, folder: Path) -> None:
        """Put it into a replicate's folder.

        Raises:
            OSError: the folder is not writable, or the disk is full.
        """
        plain = self.model_dump(mode="json")
        # the order of the modalities is the model's
        text = json.dumps(plain, ensure_ascii=False, indent=1, allow_nan=False)
        write_text(folder / FILE, text, durable=True)

    @classmethod
    def read(cls, folder: Path) -> Preparation:
        """That of a replicate's folder.

        Raises:
            DataError: there is none, or it is damaged or of another version.
        """
        do = "Give the folder of a run, or of a trained replicate in one that is whole."
        return read_json(folder / FILE, cls, do)
