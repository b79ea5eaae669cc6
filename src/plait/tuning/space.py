"""The space that is searched: keys of the recipe, each with its values or range, checked before anything is trained."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import yaml

from plait.core.errors import ConfigError, PlaitError, gathering, raise_all
from plait.core.parts import build, parts, suggest
from plait.core.safe_yaml import parse_yaml
from plait.evaluation.examined import restricted
from plait.examples.units.around import base_of
from plait.fusion import Fusion
from plait.models.model import Model
from plait.recipe import Recipe, dump_recipe, options_of, parse_recipe
from plait.training.claim import flat
from plait.training.full import full_recipe

if TYPE_CHECKING:
    from optuna.trial import Trial

__all__ = ["KNOWN", "Choice", "Point", "Range", "Space", "recipe_at", "space_of"]

KNOWN: dict[str, str] = {
    "model.dim": "32,64,128",
    "train.lr": "5e-4..1e-2",
    "train.steps": "350,700,1400",
    "train.batch": "16,32,64",
    "train.weight_decay": "1e-3..0.3",
    "augment.modality_dropout": "0..0.5",
    "augment.gaussian_noise": "0,0.1,0.2,0.4",
}
"""What is tried of keys named without values; of ``fusion`` every one that fits, of ``streams`` all subsets."""

MOST_STREAMS = 6
"""More have more than 63 subsets."""

Point = Mapping[str, object]
"""One recipe of the space: a value for each key."""

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"


@dataclass(frozen=True)
class Choice:
    """One of some values, in any order. Values are kept as JSON, as the journal of a search holds texts."""

    values: tuple[str, ...]

    def suggest(self, trial: Trial, key: str) -> object:
        return json.loads(str(trial.suggest_categorical(key, list(self.values))))

    def ends(self) -> list[object]:
        return [json.loads(value) for value in self.values]


@dataclass(frozen=True)
class Range:
    """A number from ``low`` to ``high``; ``log``: its logarithm is drawn evenly."""

    low: float
    high: float
    log: bool
    whole: bool

    def suggest(self, trial: Trial, key: str) -> object:
        if self.whole:
            return trial.suggest_int(key, int(self.low), int(self.high), log=self.log)
        return trial.suggest_float(key, self.low, self.high, log=self.log)

    def ends(self) -> list[object]:
        return [int(end) if self.whole else end for end in (self.low, self.high)]


Space = Mapping[str, Choice | Range]


def space_of(over: Sequence[str], recipe: Recipe, modalities: Sequence[str]) -> dict[str, Choice | Range]:
    """The space of ``KEY=VALUE,VALUE``, ``KEY=LOW..HIGH``, ``KEY`` and ``KEY,KEY`` words.

    Args:
        over: the words. Values are YAML. A range over a factor of ten or more is searched by its logarithm.
        recipe: in which each value is tried.
        modalities: of the recipe on its corpus.

    Raises:
        ConfigError: unknown keys, keys without known values, and values that the recipe does not take; all at once.

    >>> recipe = parse_recipe("{corpus: m, task: {name: classify, target: kind}}")
    >>> space_of(["model.dim=16,32", "train.lr=1e-4..1e-2"], recipe, ["a", "b"])  # doctest: +NORMALIZE_WHITESPACE
    {'model.dim': Choice(values=('16', '32')),
     'train.lr': Range(low=0.0001, high=0.01, log=True, whole=False)}
    """
    space, problems = dict[str, Choice | Range](), list[str]()
    for key, text in _words(over):
        if key in space:
            problems.append(f"over: {key} is named twice. Name it once, with all its values.")
            continue
        with gathering(problems):
            space[key] = _axis(key, text, recipe, modalities)
    if not space and not problems:
        problems.append("over: names no key. Give keys of the recipe, such as fusion=concat,late model.dim=32,64.")
    raise_all(ConfigError, problems)
    for key, axis in space.items():
        for value in axis.ends():
            with gathering(problems):
                _refuse(recipe_at(recipe, {key: value}, modalities), modalities)
    raise_all(ConfigError, [p if p.startswith("over") else f"over: {p}" for p in dict.fromkeys(problems)])
    return space


def recipe_at(recipe: Recipe, point: Point, modalities: Sequence[str]) -> Recipe:
    """The recipe of a point; settings for streams that it leaves out are left out with them.

    Raises:
        ConfigError: the recipe does not take a value.

    >>> base = parse_recipe("{corpus: m, task: classify, streams: {see: {encoder: gru}, hear: {}}}")
    >>> own = recipe_at(base, {"streams": ["hear"], "streams.see.encoder": "tcn", "train.lr": 1e-4}, ["see", "hear"])
    >>> list(own.streams), own.train.lr
    (['hear'], 0.0001)
    """
    kept = point.get("streams", list(dict.fromkeys(map(base_of, modalities))))
    there = [m for m in modalities if isinstance(kept, list) and base_of(m) in kept]
    own = restricted(recipe, there) if "streams" in point else recipe
    # Read as text, as `plait fit RECIPE KEY=VALUE` is, so that both take the same.
    words = [
        f"{key}={yaml.safe_dump(value, default_flow_style=True, width=10**6)}"
        for key, value in point.items()
        if key != "streams" and _stream_of(key) in {None, *there}
    ]
    return parse_recipe(dump_recipe(own), words, source="over") if words else own


def _stream_of(key: str) -> str | None:
    return key.split(".")[1] if key.startswith("streams.") else None


def _words(over: Sequence[str]) -> list[tuple[str, str | None]]:
    """Keys with their values; a word without ``=`` may list several keys."""
    found: list[tuple[str, str | None]] = []
    for word in over:
        key, equals, text = word.partition("=")
        found += [(key.strip(), text)] if equals else [(k.strip(), None) for k in word.split(",") if k.strip()]
    return found


def _axis(key: str, text: str | None, recipe: Recipe, modalities: Sequence[str]) -> Choice | Range:
    if key == "streams" and text in (None, "subsets"):
        return _subsets(list(dict.fromkeys(map(base_of, modalities))))
    if text is None:
        text = ",".join(_fusions(recipe, modalities)) if key == "fusion" else KNOWN.get(key)
    if text is None:
        raise ConfigError(f"over: {_unknown(key, recipe)}")
    if found := re.fullmatch(rf"\s*({_NUMBER})\.\.({_NUMBER})\s*", text):
        return _range(key, found[1], found[2])
    listed = parse_yaml(f"[{text}]", f"over {key}")[0]
    values = [_number(value) for value in listed] if isinstance(listed, list) else []
    if len(values) < 2 or len({json.dumps(v) for v in values}) < len(values):
        raise ConfigError(f"over: {key}={text}: expected two different values or more, or a range LOW..HIGH.")
    return Choice(tuple(json.dumps(value) for value in values))


def _range(key: str, first: str, last: str) -> Range:
    low, high = float(first), float(last)
    if not low < high or not math.isfinite(high):
        raise ConfigError(f"over: {key}={first}..{last}: expected a range from a lower to a higher number.")
    whole = all(re.fullmatch(r"[-+]?\d+", end) for end in (first, last)) and high > 1
    return Range(low, high, low > 0 and high >= 10 * low, whole)


def _number(value: object) -> object:
    """YAML 1.1 takes 1e-4, without a point, for a text."""
    return float(value) if isinstance(value, str) and re.fullmatch(_NUMBER, value) else value


def _subsets(streams: Sequence[str]) -> Choice:
    """Every subset of the streams but the empty one, the whole first."""
    if not 2 <= len(streams) <= MOST_STREAMS:
        raise ConfigError(f"over: streams=subsets: there are {len(streams)} streams; expected 2 to {MOST_STREAMS}.")
    found = [list(s) for n in range(len(streams), 0, -1) for s in combinations(streams, n)]
    return Choice(tuple(map(json.dumps, found)))


def _fusions(recipe: Recipe, modalities: Sequence[str]) -> list[str]:
    """The fusions that these modalities can have."""

    def fits(name: str) -> bool:
        try:
            build(Fusion, name, list(modalities), _dim(recipe), where="fusion")
        except PlaitError:
            return False
        return True

    return [name for name in parts(Fusion) if fits(name)]


def _dim(recipe: Recipe) -> object:
    return recipe.model.get("dim", options_of(Model)["dim"])


def _unknown(key: str, recipe: Recipe) -> str:
    known = {*flat(full_recipe(recipe).model_dump(by_alias=True, mode="json")), *KNOWN, "fusion", "streams"}
    if key in known or key.rpartition(".")[0] in known:
        named = ", ".join(["fusion", "streams", *KNOWN])
        return f"{key}: give its values, {key}=A,B or {key}=LOW..HIGH. Known without them: {named}."
    return f"{key}: a recipe has no such key. {suggest(key, known)}"


def _refuse(recipe: Recipe, modalities: Sequence[str]) -> None:
    """Raise `ConfigError` for parts and options that there are not, and for a fusion that cannot be built."""
    full_recipe(recipe)
    here: Callable[[str], bool] = lambda m: not recipe.streams or m in recipe.streams  # noqa: E731
    build(Fusion, recipe.fusion, [m for m in modalities if here(m)], _dim(recipe), where="fusion")
