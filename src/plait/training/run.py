"""A run on disk: its recipe with all defaults, its split, and its trained replicates."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator

from plait.core.atomic import read_text
from plait.core.errors import ConfigError, DataError
from plait.core.parts import Options
from plait.core.safe_yaml import brief
from plait.corpus.manifest import Rate
from plait.models.model import Model
from plait.recipe import Recipe, parse_recipe
from plait.training.alarms import Alarm

__all__ = ["FORMAT", "Beginning", "Done", "Replicate", "Run", "RunInfo", "digest_of", "read_json"]

FORMAT = "plait run 5"

MARK = "plait run "
"""Beginning of the format of every version."""

MANY = 10**12
"""More than any count that a run can hold."""

T = TypeVar("T", bound=BaseModel)
Trained = TypeVar("Trained", "Done", "Factors")
Text = Annotated[str, Field(max_length=4096)]


def digest_of(recipe: Recipe) -> str:
    """SHA-256 of a recipe without its seeds, since more seeds can be trained later.

    What has its default is left out, so that a run stays readable when a recipe gets another option.

    >>> from plait.recipe import parse_recipe
    >>> one, two = (parse_recipe(f"{{corpus: m, task: classify, train: {{seeds: [{s}]}}}}") for s in (1, 2))
    >>> digest_of(one) == digest_of(two)
    True
    """
    plain = recipe.model_dump(by_alias=True, mode="json", exclude_defaults=True)
    plain.get("train", {}).pop("seeds", None)
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Replicate:
    """One trained model of a run: a seed and a fold.

    ``share``: how much of the recipe's training it gets before it is judged, for a search that stops what does badly.
    The schedule is that of the whole, so that going on from the checkpoint gives the same weights as never stopping.
    """

    seed: int
    fold: str
    share: float = 1.0

    @property
    def name(self) -> str:
        return f"seed{self.seed}" + (f"-{self.fold}" if self.fold else "")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, populate_by_name=True)


class _Replicate(_Strict):
    seed: int = Field(ge=0, lt=2**32)
    fold: str = Field(pattern=r"^(fold\d{1,4}|tune\d{1,4})?$")


class _Fold(_Strict):
    name: Text
    train: list[str]
    valid: list[str]
    test: list[str]


class _Source(_Strict):
    replicate: Text
    sha256: Text


class Beginning(_Strict):
    """The run that this run started from, and the source of each of its replicates."""

    run: Text
    replicates: dict[str, _Source]


class RunInfo(_Strict):
    """``run.json``: what is known of a run before training."""

    format: Literal["plait run 5"]
    recipe: Text
    examples: Text
    plait: Text
    torch: Text
    python: Text
    corpus: Text
    imported: bool
    allow_outside: bool
    replicates: list[_Replicate] = Field(min_length=1)
    modalities: dict[str, str]
    features: dict[str, Options]
    notes: list[str]
    items: int = Field(ge=0, lt=MANY)
    dropped: dict[str, Annotated[int, Field(ge=0, lt=MANY)]]
    folds: list[_Fold] = Field(min_length=1)
    start: Beginning | None = Field(None, alias="from")
    rates: dict[str, Rate | None] = Field(default_factory=dict)
    """Observations per second of each stream by the corpus's manifest, if they are the same in all recordings."""

    @model_validator(mode="after")
    def _belong_together(self) -> RunInfo:
        names = [f.name for f in self.folds]
        if strange := sorted({m.fold for m in self.replicates} - set(names)):
            raise ValueError(f"replicates of folds that it does not have: {strange}; it has {names}")
        if len({(m.seed, m.fold) for m in self.replicates}) < len(self.replicates):
            raise ValueError("a replicate stands there twice")
        if set(self.modalities) != set(self.features):
            raise ValueError(f"features of {sorted(self.features)}, but modalities {sorted(self.modalities)}")
        return self

    @property
    def held_out(self) -> list[str]:
        """Names of the folders of held-out models, one per fold; only folds without a validation part have one."""
        return [held_out_name(f.name) for f in self.folds]


class Done(_Strict):
    """``done.json``: what is known of a replicate after training."""

    recipe: Text
    log: dict[str, list[Annotated[float, Field(allow_inf_nan=True)]]]
    seconds: float = Field(ge=0)
    parameters: int = Field(ge=0, lt=MANY)
    warnings: list[Alarm] = Field(default_factory=list)
    copied: list[str] | None = None


class Factors(_Strict):
    """``factors.json``: the calibration factors of a held-out model (see `plait.models.model.Model.factors`)."""

    recipe: Text
    factors: dict[str, JsonValue]


def held_out_name(fold: str) -> str:
    return "held-out" + (f"-{fold}" if fold else "")


class Run:
    """A run on disk: its recipe with all defaults, its split, and its trained replicates.

    Args:
        folder: where `fit` wrote it.
        allow_code: whether loaded files may name classes from outside plait: see `plait.models.model.Model.load`.
        allow_outside: whether a manifest for scoring or prediction may name files outside its folder. The run's own
            files never decide this, since they may come from anyone.

    Raises:
        DataError: there is no run, or its files are damaged.
    """

    def __init__(self, folder: str | Path, *, allow_code: bool = False, allow_outside: bool = False) -> None:
        self.folder, self.allow_code, self.allow_outside = Path(folder), allow_code, allow_outside
        if not (self.folder / "run.json").is_file():
            raise DataError(f"{self.folder}: is not a plait run. Make one with: plait fit RECIPE")
        # Before the schema, which another version would fail in many places at once.
        made_by = _format_of(self.folder)
        if made_by != FORMAT and made_by.startswith(MARK):
            raise DataError(
                f"{self.folder}: is a run of another version of plait (format {brief(made_by)}; this one reads "
                f"{FORMAT!r}). Fit its recipe again: plait fit {self.folder / 'recipe.yaml'} --out ANOTHER. Keys "
                "that were renamed are reported."
            )
        self.info = read_json(self.folder / "run.json", RunInfo, "Make a run with: plait fit RECIPE")
        try:
            text = read_text(self.folder / "recipe.yaml")
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{self.folder}: is not a whole run ({error}). Fit again into another folder.") from error
        self.recipe = parse_recipe(text, source=str(self.folder / "recipe.yaml"))
        if digest_of(self.recipe) != self.info.recipe:
            raise DataError(
                f"{self.folder}: recipe.yaml is not the recipe of this run. Restore it, or fit it into another folder."
            )
        self.replicates = [Replicate(m.seed, m.fold) for m in self.info.replicates]

    @staticmethod
    def is_run(folder: Path) -> bool:
        """Whether a folder has the mark of a run."""
        return _format_of(folder).startswith(MARK)

    @property
    def finished(self) -> list[Replicate]:
        return [m for m in self.replicates if (self.folder / m.name / "done.json").exists()]

    def chosen(self, name: str | None = None) -> Replicate:
        """A finished replicate by its name (``seed0``); the first by default.

        Raises:
            DataError: none is finished.
            ConfigError: there is no such replicate.
        """
        if not self.finished:
            raise DataError(f"{self.folder}: no replicate is trained to its end. Go on with: plait fit")
        for replicate in self.finished:
            if name in (None, replicate.name):
                return replicate
        raise ConfigError(
            f"{self.folder}: has no replicate {name!r}; it has {', '.join(m.name for m in self.finished)}."
        )

    @staticmethod
    def model_in(source: Run | Path, replicate: str | None = None, *, allow_code: bool = False) -> Model:
        """The model of a run's replicate (`chosen`), or of the folder of a replicate.

        Raises:
            DataError: there is no trained model.
            ConfigError: there is no such replicate.
        """
        if isinstance(source, Run):
            return source.model(source.chosen(replicate))
        if replicate is not None:
            raise ConfigError(
                f"{source}: is one replicate of a run, and has no replicate {replicate!r} in it. Leave it out."
            )
        return Model.load(source, allow_code=allow_code)

    @property
    def begun(self) -> bool:
        """Whether training has begun: a model is finished, or has a checkpoint."""
        places = [self.folder / n for n in (*self.info.held_out, *(m.name for m in self.replicates))]
        return any((p / "done.json").exists() or (p / "checkpoints").exists() for p in places)

    @cached_property
    def _digest(self) -> str:
        return digest_of(self.recipe)

    def model(self, replicate: Replicate) -> Model:
        """A trained replicate.

        Raises:
            DataError: it is not trained yet, was trained with another recipe, or its files are damaged.
        """
        if replicate not in self.finished:
            raise DataError(f"{self.folder}: {replicate.name} is not trained to its end. Go on with: plait fit")
        self.done(replicate)
        return Model.load(self.folder / replicate.name, allow_code=self.allow_code)

    def done(self, replicate: Replicate) -> Done:
        """What is known of a trained replicate: its ``log`` per epoch, by column, ``warnings``, ``seconds``,
        ``parameters``.

        Raises:
            DataError: the file is damaged, or of another recipe.
        """
        return self._own(self.folder / replicate.name / "done.json", Done)

    def factors(self, fold: str) -> Options:
        """The calibration factors of a fold's held-out model.

        Raises:
            DataError: the file is missing, damaged, or of another recipe.
        """
        return self._own(self.folder / held_out_name(fold) / "factors.json", Factors).factors

    def _own(self, path: Path, kind: type[Trained]) -> Trained:
        found = read_json(path, kind, "Delete it and go on with: plait fit")
        if found.recipe != self._digest:
            raise DataError(f"{path}: was trained with another recipe. Delete its folder and go on with: plait fit")
        return found


def _format_of(folder: Path) -> str:
    """The format in a folder's ``run.json``; empty if there is none."""
    try:
        found = json.loads(read_text(folder / "run.json"))
    except (OSError, ValueError, RecursionError):  # json raises RecursionError on deep nesting
        return ""
    return str(found.get("format", "")) if isinstance(found, dict) else ""


def read_json(path: Path, kind: type[T], do: str) -> T:
    """Read a JSON file of a run and check it.

    Args:
        path: the file.
        kind: the model that it must fit.
        do: advice for the error message.

    Raises:
        DataError: the file cannot be read, is damaged or of another version.
    """
    try:
        return kind.model_validate_json(read_text(path))
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}). {do}") from error
    except (ValueError, RecursionError) as error:
        problems = error.errors(include_input=False) if isinstance(error, ValidationError) else []
        # Five problems without their inputs: a damaged file can hold many and long ones.
        told = [f"{'.'.join(map(str, e['loc'])) or 'file'}: {e['msg']}" for e in problems[:5]]
        raise DataError(
            f"{path}: is damaged or of another version ({'; '.join(told) or brief(error)}). {do}"
        ) from error
