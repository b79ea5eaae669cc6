"""A feature with its preceding steps: built, described and computed as one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from plait.core.errors import ConfigError
from plait.core.parts import Spec, build, full_spec, split_spec
from plait.features import Feature
from plait.streams.clock import Clock
from plait.streams.stream import Stream
from plait.transforms import Step

__all__ = ["build_feature", "full_feature", "identity"]


class _Stepped(Feature):
    """Steps, then a feature, with combined properties."""

    def __init__(self, steps: list[Step], feature: Feature) -> None:
        self.steps, self.feature = steps, feature
        self.kinds = steps[0].kinds  # type: ignore[misc]  # of the first part, not of the class
        self.together = feature.together  # type: ignore[misc]
        self.causal = feature.causal and all(step.causal for step in steps)

    @property
    def receptive_field(self) -> float:
        # Each part sees what the one before it made of its surroundings, so half-widths add up.
        return self.feature.receptive_field + sum(step.receptive_field for step in self.steps)

    @property
    def rate(self) -> Fraction | None:
        return self.feature.rate

    def dim(self, shape: tuple[int, ...]) -> int:
        return self.feature.dim(shape)

    def compute(self, stream: Stream) -> tuple[NDArray[np.float32], Clock]:
        for step in self.steps:
            stream = step(stream)
        return self.feature(stream)

    def groups(self, dim: int) -> list[int]:
        return self.feature.groups(dim)

    def files(self) -> list[Path]:
        return [*(path for step in self.steps for path in step.files()), *self.feature.files()]

    def notes(self) -> dict[str, int]:
        total = Counter(self.feature.notes())
        for step in self.steps:
            total.update(step.notes())
        return dict(total)


def _parts_of(spec: Spec, where: str) -> tuple[list[Spec], dict[str, object]]:
    name, options = split_spec(spec, where)
    steps = options.pop("preprocess", None) or []
    if isinstance(steps, str | Mapping):
        steps = [steps]
    if not isinstance(steps, list):
        raise ConfigError(
            f"{where}.preprocess: got {steps!r}; expected a list of steps, each a name or name and options."
        )
    return steps, {"name": name, **options}


def build_feature(spec: Spec, where: str) -> Feature:
    """The feature that a spec names, after the steps under its key ``preprocess``.

    Raises:
        ConfigError: no such feature or step, or an option that it does not have.

    >>> build_feature({"name": "log_mel"}, "voice").causal
    True
    """
    steps, own = _parts_of(spec, where)
    feature = build(Feature, own, where=where)
    if not steps:
        return feature
    return _Stepped([build(Step, one, where=f"{where}.preprocess.{i}") for i, one in enumerate(steps)], feature)


def full_feature(spec: Spec, where: str) -> dict[str, object]:
    """A spec with every default of the feature and of its steps written out, as a saved run keeps it."""
    steps, own = _parts_of(spec, where)
    full = full_spec(Feature, own, where)
    if steps:
        full["preprocess"] = [full_spec(Step, one, f"{where}.preprocess.{i}") for i, one in enumerate(steps)]
    return full


def identity(feature: Feature) -> dict[str, object]:
    """What a cache key must know beside the spec: the classes and the steps' versions."""
    if isinstance(feature, _Stepped):
        versions = [[_class_of(step), step.version] for step in feature.steps]
        return {"class": _class_of(feature.feature), "steps_are": versions}
    return {"class": _class_of(feature)}


def _class_of(part: object) -> str:
    return f"{type(part).__module__}.{type(part).__qualname__}"
