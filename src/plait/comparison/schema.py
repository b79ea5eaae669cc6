"""The JSON of a comparison: its keys and types, its version, and how it is read back.

A `Comparison` is a dictionary with known keys, the same in memory, in ``compare.json`` and in ``--json``.
`docs/comparison.schema.json` is made of these classes: ``python docs/pictures/comparison_schema.py``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal, NotRequired, cast

from pydantic import ConfigDict, TypeAdapter, with_config
from typing_extensions import TypedDict

from plait.evaluation.schema import IntervalFacts, TaskFacts, read_versioned

__all__ = ["VERSION", "Advice", "Comparison", "Gap", "Numbers", "PairRow", "Scores", "Streams", "SubsetRow", "ValueRow"]
__all__ += ["Costs", "VariantFacts", "VariantRow", "comparison_schema", "read_comparison", "to_json"]

VERSION: Literal[1] = 1
"""The version of the JSON's form; it rises when a key is removed or changes its meaning."""

_known = with_config(ConfigDict(extra="forbid"))


@_known
class ValueRow(TypedDict):
    """The main metric over seeds and its 95 % interval over groups; ``metrics`` has the means of all.

    A number is None where it is not defined; ``sd`` also where there is one seed, ``low`` and ``high`` where there is
    no interval, and then ``reason`` says why. ``answered``: items on which any of the modalities is there.
    """

    value: float | None
    sd: float | None
    per_seed: list[float | None]
    low: float | None
    high: float | None
    reason: str
    answered: int
    metrics: dict[str, float | None]


@_known
class VariantFacts(TypedDict):
    """One way to answer, see `plait.comparison.variants.Variant`; ``fusion`` is None of one modality alone."""

    name: str
    title: str
    kind: str
    family: str
    modalities: list[str]
    fusion: str | dict[str, object] | None


@_known
class Costs(TypedDict):
    """What a variant costs, see `plait.comparison.costs`; ``step_bytes`` is None where there are no training steps."""

    parameters: int
    train_seconds: float
    item_seconds: float
    step_bytes: int | None


class ScoredRow(VariantFacts, ValueRow):
    """A variant and its value."""


@_known
class VariantRow(ScoredRow, Costs):
    """A variant, its value and its costs."""


@_known
class Gap(TypedDict):
    """A paired difference, above 0 where the first is the better one, with its 95 % interval and ``sd`` over seeds."""

    difference: float | None
    low: float | None
    high: float | None
    sd: float | None
    reason: str
    significant: bool


@_known
class PairRow(Gap):
    """How much better variant ``a`` is than ``b``."""

    a: str
    b: str


@_known
class SubsetRow(TypedDict):
    """The answers of a fusion with some of its modalities, nothing retrained.

    ``gain_of_all``: how much better it is with all of them. ``dedicated``: the variant trained for these alone, if
    there is one; ``gain_of_dedicated``: how much better that is.
    """

    variant: str
    modalities: list[str]
    value: float | None
    sd: float | None
    per_seed: list[float | None]
    low: float | None
    high: float | None
    reason: str
    answered: int
    dedicated: str | None
    gain_of_all: Gap
    gain_of_dedicated: NotRequired[Gap]


@_known
class StreamFacts(TypedDict):
    """A modality as the model gets it: rows per second, rows per item, the share of items that lack it."""

    regular: bool
    rate: float | None
    rows: float
    missing: float


Streams = dict[str, StreamFacts]


@_known
class TrainedOn(TypedDict):
    """The size of the first fold's training part."""

    items: int
    groups: int


@_known
class Budget(TypedDict):
    """What every variant was given: epochs, or if these are None optimiser steps; the rest as in the recipe."""

    epochs: int | None
    steps: int
    batch: int
    stop: str


@_known
class Failure(TypedDict):
    """A replicate that could not be trained."""

    variant: str
    replicate: str
    problem: str


@_known
class Advice(TypedDict):
    """What to take (a variant's name) and why, in sentences."""

    take: str
    headline: str
    why: list[str]
    cautions: list[str]
    next: str


class Scores(TypedDict):
    """The numbers of all variants on the same items, see `plait.comparison.scores.scored`."""

    items: int
    groups: int
    intervals: IntervalFacts
    baseline: ValueRow
    variants: list[ScoredRow]
    differences: list[PairRow]
    subsets: list[SubsetRow]


class Numbers(TypedDict):
    """A comparison without its advice, which is made of these."""

    version: Literal[1]
    name: str
    corpus: str
    task: TaskFacts
    modalities: list[str]
    items: int
    groups: int
    intervals: IntervalFacts
    seeds: list[int]
    folds: list[str]
    baseline: ValueRow
    variants: list[VariantRow]
    differences: list[PairRow]
    subsets: list[SubsetRow]
    own: str | None
    streams: Streams
    held_back: bool
    not_looked_at: int
    trained_on: TrainedOn
    budget: Budget
    failed: list[Failure]
    recipe_yaml: str
    versions: dict[str, str]
    date: str


@_known
class Comparison(Numbers):
    """The result of `plait compare`.

    ``differences`` has a row for each pair of variants. ``own``: the variant with the recipe's own fusion, if there is
    one. ``held_back``: whether there is a test part; ``not_looked_at``: its items. ``report``: the path of the page, in
    ``--json`` only.
    """

    advice: Advice
    report: NotRequired[str]


_ADAPTER = TypeAdapter(Comparison)


def comparison_schema() -> dict[str, object]:
    """The JSON schema of a comparison."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **_ADAPTER.json_schema()}


def to_json(comparison: Comparison) -> str:
    """The text of ``compare.json``."""
    return json.dumps(comparison, ensure_ascii=False, indent=1)


def read_comparison(path: str | Path) -> Comparison:
    """A comparison as `plait compare` wrote it: a file, or a folder with ``compare.json``.

    Raises:
        DataError: it is not JSON, not a comparison, or of another version; the message says what to do.
        OSError: it cannot be read.
    """
    found = read_versioned(
        path, _ADAPTER, file="compare.json", what="comparison", key="variants", version=VERSION, make="compare RECIPE"
    )
    return cast(Comparison, found)
