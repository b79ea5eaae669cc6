"""The recipe: the YAML that says what to train on what. Checked whole, written back with every default."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from plait.core.atomic import read_text
from plait.core.errors import ConfigError, raise_all
from plait.core.options import Share
from plait.core.parts import Options, build, find, full_spec, options_of, part_name, parts, suggest
from plait.core.safe_yaml import brief, parse_yaml, wild_numbers

__all__ = [
    "MIN_COVERAGE",
    "Recipe",
    "build",
    "dump_recipe",
    "find",
    "full_spec",
    "load_recipe",
    "options_of",
    "parse_recipe",
    "part_name",
    "parts",
    "quick_recipe",
    "suggest",
]


QUICK_DIM = 64
"""Width of the quick model's tokens; they can hold the scores of as many classes."""

EPOCHS = (5, 100)
"""Fewest and most epochs where the recipe gives steps instead of epochs."""

MIN_COVERAGE = 0.1
"""Share of recordings that must have a stream for it to be a modality, where the recipe names no streams."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


_Seed = Annotated[int, Field(ge=0, lt=2**32)]


class Irm(_Section):
    """Invariant risk minimisation, IRMv1 (Arjovsky et al. 2019), instead of minimising the risk alone.

    ``environments``: a fact of the manifest (a label, or metadata such as the site), or ``group``. ``weight``: of the
    penalty, beside 1 for the risk. See `plait.training.irm`.
    """

    environments: str
    weight: float = Field(1.0, gt=0, le=1e9)


class Train(_Section):
    """How a model is trained.

    ``epochs``: None means as many epochs as make ``steps`` steps of ``batch`` items, within 5 to 100, so that one
    recipe suits small and large corpora.
    ``solver``: ``adamw`` (gradient descent) or ``ridge``: linear heads on fixed features in closed form, to which the
    rest of this section, and ``augment``, do not apply. See `quick_recipe`.
    ``wide``: whether the quick model (`quick_recipe`) is combined with the deep heads (wide and deep, Cheng et al.
    2016), as far as held-out items show a gain; so on few items the answer is not worse than a simple model's. None:
    yes if the recipe chooses no encoders and starts from no other run, the task has linear heads, and items are
    neither very long nor video.
    ``temperature_scaling``: after training, the trust in each head and the confidence of the answer are fitted on the
    validation part (Guo et al. 2017). Where the split has none, a model of the same kind is trained once per fold
    without a quarter of the training groups, and its answers on these groups are used.
    ``average``: the trained weights are the mean of those at the ends of the last so many epochs (checkpoint averaging,
    Izmailov et al. 2018); with ``stop: last`` only.
    ``self_distillation``: loss weight that pulls each modality's own answer towards that of the whole model (Lan et al.
    2018).
    ``modality_distillation``: loss weight that pulls the answer from some modalities (``augment.modality_dropout``)
    towards the answer from all (Garcia et al. 2018).
    ``ogm_ge``: how strongly encoders that are ahead of the others are slowed down (0.1 to 1, say; Peng et al. 2022).
    See `plait.training.missing`.
    ``irm``: a penalty on answers whose best scale differs between environments; without ``wide``. See `Irm`.
    """

    epochs: int | None = Field(None, ge=1, le=1_000_000)
    steps: int = Field(700, ge=1, le=1_000_000_000)
    batch: int = Field(32, ge=1, le=1_000_000)
    lr: float = Field(2e-3, gt=0, le=1000)
    weight_decay: float = Field(0.05, ge=0, le=1000)
    schedule: Literal["onecycle", "cosine", "constant"] = "onecycle"
    clip: float = Field(1.0, gt=0, le=1e9)
    solver: Literal["adamw", "ridge"] = "adamw"
    stop: Literal["last", "early"] = "last"
    patience: int = Field(10, ge=1, le=1_000_000)
    average: int = Field(1, ge=1, le=1000)
    seeds: list[_Seed] = Field(default_factory=lambda: [0], min_length=1, max_length=1000)
    wide: bool | None = None
    temperature_scaling: bool = True
    self_distillation: float = Field(1.0, ge=0, le=1e6)
    modality_distillation: float = Field(0.0, ge=0, le=1e6)
    ogm_ge: float = Field(0.0, ge=0, le=1e6)
    irm: Irm | None = None
    log: Literal["csv", "tensorboard"] = "csv"
    threads: int = Field(1, ge=1, le=1024)

    def epochs_for(self, items: int) -> int:
        """Number of epochs for a number of training items.

        >>> Train().epochs_for(500), Train().epochs_for(20), Train(epochs=7).epochs_for(500)
        (44, 100, 7)
        """
        # -(-a // b) rounds up: the last batch may be smaller.
        return self.epochs or min(max(-(-self.steps // -(-items // self.batch)), EPOCHS[0]), EPOCHS[1])


class RawNoise(_Section):
    """Noise put on the raw stream before its features are taken.

    ``kind`` is a noise's name, or a mapping of its name and options (see `plait.transforms.noise`); ``levels`` are in
    the unit of the kind: signal-to-noise ratio in dB, pixels of blur, a share, seconds.
    """

    kind: str | Options
    levels: list[float] = Field(min_length=1, max_length=1000)


class NoisyCopies(RawNoise):
    """Training copies of a stream with noise at levels drawn between the lowest and the highest."""

    copies: int = Field(4, ge=1, le=1000)
    probability: float = Field(0.8, ge=0, le=1)


def _listed(value: object) -> object:
    return [value] if isinstance(value, dict | RawNoise) else value


class Augment(_Section):
    """Augmentations of training, never of evaluation, by name (`plait.augmentations`) with their options.

    ``crop_resize`` and ``gaussian_noise`` are on unless they are 0. ``modality_dropout``: how often each modality of an
    item is hidden, all alike or by name (``{imu: 0.5}``; others are not hidden); two numbers: at the first epoch and at
    the last. ``noise``: on the raw signal, one or a list per modality.
    """

    model_config = ConfigDict(extra="allow", allow_inf_nan=False)
    crop_resize: object = 0.1
    gaussian_noise: object = 0.2
    modality_dropout: Share | tuple[Share, Share] | dict[str, Share | tuple[Share, Share]] = 0.3
    noise: dict[str, Annotated[list[NoisyCopies], BeforeValidator(_listed)]] = Field(default_factory=dict)

    @property
    def kinds(self) -> Options:
        """The augmentations, by name.

        >>> Augment(rotate={"imu": 30}).kinds
        {'crop_resize': 0.1, 'gaussian_noise': 0.2, 'rotate': {'imu': 30}}
        """
        more = self.model_extra or {}
        return {"crop_resize": self.crop_resize, "gaussian_noise": self.gaussian_noise, **more}


class Evaluate(_Section):
    """What is measured beside the table of modality subsets. ``noise``: one or a list per modality."""

    noise: dict[str, Annotated[list[RawNoise], BeforeValidator(_listed)]] = Field(default_factory=dict)
    missing: list[Annotated[float, Field(ge=0, le=1)]] = Field(
        default_factory=lambda: [0.0, 0.1, 0.2, 0.3, 0.5, 0.7], max_length=1000
    )


class StreamPlan(_Section):
    """One modality: the feature and the encoder for it; None means the default for its kind.

    ``preprocess`` changes the raw stream before the feature is taken (see `plait.transforms`), step by step.
    ``normalization`` takes out what is constant within a recording: ``centre`` subtracts the recording's own mean from
    each column, ``standardise`` divides by its deviation too. Both see the whole recording, so they are not causal;
    ``running`` uses the mean and deviation of the rows up to each row.
    ``rate`` resamples the features to a regular grid (Hz) by linear interpolation. On normalised time
    (``duration: 1``) every recording then has the same number of them, however fast the movement was.
    ``normalization_groups`` says which columns share one standard deviation: none (``own``), ``all``, runs of n columns
    (a number), or, by default, what the feature declares.
    ``tier`` names an annotation tier whose texts are the stream. Where items are the annotations of this tier
    (``unit: segment``), each item has its own text alone, also if several have the same interval (captions).
    ``boxes`` names a stream of objects (`plait.streams.objects`): a row per object, what the pictures of ``stream``
    show within its box.
    """

    stream: str | None = None
    tier: str | None = None
    boxes: str | None = None
    preprocess: list[str | Options] = Field(default_factory=list)
    feature: str | Options | None = None
    encoder: str | Options | list[str | Options] | None = None
    rate: float | None = Field(None, gt=0, le=1e6)
    normalization_groups: Literal["own", "all"] | int | None = None
    normalization: Literal["none", "centre", "standardise", "running"] = "none"

    def named(self, modality: str) -> str:
        """The corpus's stream of it; that of boxes is made by `Corpus.with_boxes`.

        >>> StreamPlan(stream="image", boxes="objects").named("pixels"), StreamPlan().named("imu")
        ('image in objects', 'imu')
        """
        found = self.tier or self.stream or modality
        return f"{found} in {self.boxes}" if self.boxes else found


class CorpusPlan(_Section):
    """A folder of raw recordings, and how its file names are read."""

    folder: str
    options: Options = Field(default_factory=dict, alias="import")
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, populate_by_name=True)


class Recipe(_Section):
    """The whole of an experiment. Only ``corpus`` and ``task`` have no default.

    ``causal``: for live use: no feature, encoder or task looks at later rows (a fusion may, unless the task answers
    over time, as an answer for a whole item is given at its end). Parts that do are named before training.
    ``look_ahead``: with ``causal``, seconds after an item that its answer sees, and is given later by.
    ``min_coverage``: where ``streams`` is empty, a stream is a modality if at least this share of recordings has it.
    """

    name: str = Field("", max_length=200, pattern=r"^[^/\\\x00-\x1f]*$")
    corpus: str | CorpusPlan
    task: str | Options
    split: Options = Field(default_factory=dict)
    streams: dict[str, StreamPlan | None] = Field(default_factory=dict)
    min_coverage: float = Field(MIN_COVERAGE, ge=0, le=1)
    fusion: str | Options = "concat"
    model: Options = Field(default_factory=dict)
    augment: Augment = Field(default_factory=Augment)
    train: Train = Field(default_factory=Train)
    evaluate: Evaluate = Field(default_factory=Evaluate)
    causal: bool = False
    look_ahead: float = Field(0.0, ge=0)
    allow_outside: bool = False


def load_recipe(path: str | Path, overrides: list[str] | None = None) -> Recipe:
    """Read a recipe and apply overrides such as ``train.epochs=5``. Paths in it are relative to it.

    Raises:
        ConfigError: no such file, not YAML, or keys and values that are not what they
            should be, all at once, each with its line.
    """
    path = Path(path)
    try:
        text = read_text(path)
    except (OSError, ValueError) as error:  # ValueError: not UTF-8, or a name with NUL in it
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigError(
            f"{brief(str(path), 300)}: cannot be read ({reason}). Give the path of a YAML recipe."
        ) from error
    recipe = parse_recipe(text, overrides, source=str(path))
    recipe.name = recipe.name or path.stem
    # The name becomes a folder: a file called "...yaml" would name the one above.
    if recipe.name in (".", ".."):
        raise ConfigError(f"{path} name: got {recipe.name!r}; expected the name of a folder below runs.")
    if isinstance(recipe.corpus, CorpusPlan):
        recipe.corpus.folder = _beside(path, recipe.corpus.folder)
    else:
        recipe.corpus = _beside(path, recipe.corpus)
    if isinstance(origin := recipe.model.get("from"), str):
        recipe.model["from"] = _beside(path, origin, "model.from")
    return recipe


def parse_recipe(text: str, overrides: list[str] | None = None, source: str = "recipe") -> Recipe:
    """The recipe of a YAML text.

    >>> parse_recipe("{corpus: manifest.jsonl, task: classify}", ["train.epochs=5"]).train.epochs
    5

    Raises:
        ConfigError: see `load_recipe`.
    """
    data, nodes = parse_yaml(text, source)
    if not isinstance(data, dict):
        raise ConfigError(f"{source}: holds {type(data).__name__}; expected keys such as corpus: and task:.")
    for override in overrides or []:
        _override(data, override)
    wild = [f"{source}:{_line(nodes, list(path))} {'.'.join(map(str, path))}: {w}." for path, w in wild_numbers(data)]
    raise_all(ConfigError, wild)
    try:
        return Recipe.model_validate(data)
    except ValidationError as error:
        # Each branch of a union fails by itself; without the branch in their place, problems may be the same.
        problems = [_problem(source, nodes, e) for e in error.errors()]
        raise ConfigError(list(dict.fromkeys(problems))) from error


def dump_recipe(recipe: Recipe) -> str:
    """The recipe as YAML with every default written out."""
    return yaml.safe_dump(recipe.model_dump(by_alias=True), sort_keys=False, allow_unicode=True, width=100)


def quick_recipe(recipe: Recipe) -> Recipe:
    """The same experiment with the quick model: random convolutions and statistics of each modality, ridge regression
    on them, and an opinion pool of the modalities that are present (`plait.training.closed_form`).

    Corpus, task, split, features, evaluation and seeds stay; encoders, fusion, options of the model, augmentation and
    training are replaced.

    >>> quick_recipe(parse_recipe("{corpus: m, task: classify, streams: {imu: {rate: 50, encoder: gru}}}")).streams
    {'imu': StreamPlan(stream=None, tier=None, boxes=None, preprocess=[], feature=None, encoder=None, rate=50.0, \
normalization_groups=None, normalization='none')}
    """
    # Deep: the plans of the streams below are changed.
    quick = recipe.model_copy(deep=True)
    for plan in quick.streams.values():
        if plan is not None:
            plan.encoder = None
    quick.fusion, quick.model, quick.augment = (
        "opinion_pool",
        {"dim": QUICK_DIM},
        Augment(crop_resize=0, gaussian_noise=0, modality_dropout=0),
    )
    quick.train = Train(solver="ridge", seeds=recipe.train.seeds, threads=recipe.train.threads)
    return quick


def _beside(recipe: Path, path: str, key: str = "corpus") -> str:
    """A path of the recipe: environment variables filled in, relative to the recipe's folder."""

    def value(found: re.Match[str]) -> str:
        if found[1] not in os.environ:
            problem = f"{recipe}: {key}: the environment variable {found[1]} is not set."
            raise ConfigError(f"{problem} Set it to the data's folder.")
        return os.environ[found[1]]

    # An absolute path stays one: joining drops what is in front of it.
    return str(recipe.parent / os.path.expanduser(re.sub(r"\$\{(\w+)\}", value, path)))


# Pydantic puts the branch of a union that it tried into the place of an error: (encoder, dict[str,any]).
_STEPS_OF_PYDANTIC = ("CorpusPlan", "dict[", "list[", "function")


def _override(data: dict[str, object], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise ConfigError(f"override {override!r}: expected KEY=VALUE, such as train.epochs=5.")
    place, (*path, last) = data, key.split(".")
    for step in path:
        if place.get(step) is None:
            # fusion.dim=8 without a fusion in the file is an option of the default one.
            place[step] = {"name": "concat"} if step == "fusion" else {}
        elif isinstance(place[step], str) and step in ("task", "fusion", "feature", "encoder"):
            place[step] = {"name": place[step]}
        inner = place[step]
        if not isinstance(inner, dict):
            raise ConfigError(f"override {override!r}: {step} is {inner!r}, which has no keys.")
        place = inner
    place[last] = parse_yaml(text, f"override {brief(override)}")[0]


def _problem(source: str, nodes: yaml.Node | None, error: ErrorDetails) -> str:
    path = [p for p in error["loc"] if p != "str" and not str(p).startswith(_STEPS_OF_PYDANTIC)]
    line = _line(nodes, path)
    place = f"{source}:{line} {'.'.join(map(str, path))}"
    if error["type"] == "extra_forbidden":
        return f"{place}: there is no such key. {suggest(str(path[-1]), _keys(path[:-1]))}"
    if error["type"] == "missing" and len(path) == 1:
        return f"{place}: is missing. A recipe needs at least corpus: and task:."
    return f"{place}: {error['msg']}; got {brief(error.get('input'))}."


def _line(node: yaml.Node | None, path: Sequence[object]) -> int:
    """Line number of a key (1 up), as deep as the file has it."""
    line = 1
    for step in path:
        # What is missing has no line: the deepest key that the file does have stands for it.
        if isinstance(node, yaml.MappingNode):
            pair = next(((k, v) for k, v in node.value if k.value == str(step)), None)
            if pair is None and step == 0:
                continue  # a single value where a list is allowed
            if pair is None:
                return line
            line, node = pair[0].start_mark.line + 1, pair[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
            node = node.value[step]
            line = node.start_mark.line + 1
    return line


def _keys(path: Sequence[object]) -> list[str]:
    """The keys that a section has, for suggestions."""
    model: type[BaseModel] = Recipe
    for step in path:
        field = model.model_fields.get(str(step))
        inner = _model_in(field.annotation) if field else model
        if inner is None:
            return []
        model = inner
    return [f.alias or name for name, f in model.model_fields.items()]


def _model_in(annotation: object) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((m for m in map(_model_in, getattr(annotation, "__args__", ())) if m), None)
