"""The plan of a join over a corpus, checked completely before anything is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import get_args

import numpy as np

from plait.align.join import How, Joining
from plait.align.join_clock import At
from plait.core.errors import ConfigError, DataError, PlaitError, raise_all
from plait.core.parts import Spec, suggest
from plait.corpus.corpus import Corpus
from plait.features import Feature
from plait.store.aligned import FORMATS, Left
from plait.store.prepare import resolve_features
from plait.store.stepped import build_feature
from plait.streams.clock import Clock, Grid, Spans, rational
from plait.streams.stream import ArraySource, Stream

__all__ = ["AlignPlan", "featured", "features_for", "receptive_field_of"]

RAW = ("series", "pose")
"""Kinds of streams that are joined raw unless a feature is named."""

TEXTS = ("nearest", "hold", "first", "last")
"""Methods that join raw words."""


@dataclass(frozen=True)
class AlignPlan:
    """What to join on what, and how.

    Attributes:
        on: the stream, or the tier of annotations, whose words, ticks or frames are the rows.
        rate: instead of ``on``: a grid with this many rows per second, from the first start to the last stop.
        streams: the streams to join; empty: all others.
        features: by stream, the feature to compute first. Without one, numbers and poses (and words, by methods that
            pick single words) are joined raw, and other kinds get their default feature.
        how: the method by stream; the entry '' is for all other streams.
        max_gap, causal, at: see `plait.align.join.join`.
        to: ``parquet`` or ``npz``.

    Raises:
        ConfigError: not exactly one of ``on`` and ``rate``; no such method or format.
    """

    on: str | None = None
    rate: float | str | None = None
    streams: tuple[str, ...] = ()
    features: Mapping[str, Spec] = field(default_factory=dict)
    how: Mapping[str, How] = field(default_factory=dict)
    max_gap: float | None = None
    causal: bool = False
    at: At | None = None
    to: str = "parquet"

    def __post_init__(self) -> None:
        problems = []
        if (self.on is None) == (self.rate is None):
            problems.append("align: give either a stream to join on, or the rate of a grid.")
        try:
            _ = rational(self.rate) if self.rate is not None else None
        except DataError as error:
            problems += [f"align: {problem}" for problem in error.problems]
        if self.to not in FORMATS:
            problems.append(f"align: no format {self.to!r}. {suggest(self.to, FORMATS)}")
        for method in self.how.values():
            if method not in get_args(How):
                problems.append(f"align: there is no method {method!r}. {suggest(method, get_args(How))}")
        raise_all(ConfigError, problems)

    def method(self, stream: str) -> How:
        return self.how.get(stream, self.how.get("", "mean"))


def features_for(corpus: Corpus, plan: AlignPlan) -> dict[str, dict[str, object] | None]:
    """For each wanted stream its feature with all options, or None for the raw stream."""
    known = list(dict.fromkeys(name for entry in corpus.entries for name in entry.streams))
    tiers = {a.tier for entry in corpus.entries for a in entry.annotations}
    wanted = list(plan.streams or [name for name in known if name != plan.on])
    named = [*wanted, *plan.features, *(name for name in plan.how if name)]
    problems = [
        f"align: no recording has a stream {name!r}. {suggest(name, known)}"
        for name in dict.fromkeys(named)
        if name not in known
    ]
    if plan.on is not None and plan.on not in {*known, *tiers}:
        problems.append(f"align: no recording has a stream or tier {plan.on!r}. {suggest(plan.on, {*known, *tiers})}")
    spare = [name for name in plan.features if name in known and name not in wanted]
    problems += [f"align: {name!r} has a feature, but is not among the streams to join." for name in spare]
    problems += [f"align: a stream may not be called {name!r} here." for name in wanted if name in Left.COLUMNS]
    raise_all(ConfigError, problems)
    kinds = {name: _kind(corpus, name) for name in wanted}
    as_it_is = {
        name
        for name, kind in kinds.items()
        if name not in plan.features and (kind in RAW or (kind == "words" and plan.method(name) in TEXTS))
    }
    specs = resolve_features(corpus, {name: plan.features.get(name) for name in wanted if name not in as_it_is})
    features = {name: specs.get(name) for name in wanted}
    for name, spec in features.items():
        problems += _impossible(plan, name, kinds[name], spec)
    raise_all(ConfigError, problems)
    return features


def _kind(corpus: Corpus, name: str) -> str:
    """The kind of a stream, in the first recording in which it opens."""
    problems: list[str] = []
    for recording in corpus:
        if name in recording.streams:
            try:
                return recording.streams[name].kind
            except PlaitError as error:
                problems += error.problems
    raise DataError(problems)


def _impossible(plan: AlignPlan, name: str, kind: str, spec: dict[str, object] | None) -> list[str]:
    """Why a stream cannot be joined as planned, before anything is read."""
    # A join of nothing checks its options without decoding a file.
    empty = Stream(Grid(0, 1, 0), ArraySource(np.zeros((0, 1))), "series" if spec else kind)
    field = receptive_field_of(name, spec)
    left: Clock = Spans([], []) if plan.rate is None else Grid(0, plan.rate, 0)
    try:
        options = {"max_gap": plan.max_gap, "causal": plan.causal, "at": plan.at, "receptive_field": field}
        Joining(left, empty, plan.method(name), **options)  # type: ignore[arg-type]
    except ConfigError as error:
        return [f"align: {name}: {problem}" for problem in error.problems]
    return []


def receptive_field_of(name: str, spec: Spec | None) -> float:
    """Look-ahead of a stream's feature, seconds; see `featured`."""
    return 0.0 if spec is None else _receptive_field(build_feature(spec, f"streams.{name}.feature"))


def _receptive_field(feature: Feature) -> float:
    return feature.receptive_field if feature.causal else float("inf")


def featured(stream: Stream, feature: Spec) -> tuple[Stream, float]:
    """A stream's features as a stream, and their look-ahead in seconds: `join`'s ``receptive_field``.

    It is infinite if a feature uses the whole recording.

    Raises:
        ConfigError: there is no such feature, or it has no such option.
        DataError: the feature cannot be computed from the stream.

    >>> body = Stream.of(np.random.default_rng(0).normal(size=(30, 20, 3)), rate=30)
    >>> rows, field = featured(body, {"name": "pose", "per_frame": True, "velocities": False})
    >>> rows.shape, field
    ((30, 60), 0.0)
    """
    built = build_feature(feature, "feature")
    values, clock = built(stream)
    return Stream(clock, ArraySource(values), "series", (), stream.where), _receptive_field(built)
