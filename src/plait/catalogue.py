"""What a recipe can name: every part with its options."""

from __future__ import annotations

import importlib
from typing import Any

from plait.core.errors import ConfigError
from plait.core.parts import find, options_of, parts

__all__ = ["SORTS", "base_of", "catalogue", "own_part"]

Described = dict[str, Any]
"""First line of the documentation, options with their defaults, and what else a part declares."""

SORTS = {
    "readers": "plait.readers:Reader",
    "steps": "plait.transforms:Step",
    "noises": "plait.transforms.noise:Noise",
    "imputers": "plait.transforms.imputation:Imputer",
    "features": "plait.features:Feature",
    "augmentations": "plait.augmentations:Augmentation",
    "encoders": "plait.encoders:Encoder",
    "fusions": "plait.fusion:Fusion",
    "tasks": "plait.tasks:Task",
    "metrics": "plait.metrics:Metric",
    "formats": "plait.interchange:Format",
    "units": "plait.examples.units:Unit",
    "splits": "plait.examples.splits:Split",
    "sections": "plait.report.sections:Section",
}
"""Sorts of parts, and the base class of each (module:name)."""


def base_of(sort: str) -> type[Any]:
    """The class that all parts of a sort are subclasses of.

    >>> base_of("readers").__name__
    'Reader'
    """
    module, _, name = SORTS[sort].partition(":")
    base: type[Any] = getattr(importlib.import_module(module), name)
    return base


def catalogue(sort: str | None = None) -> dict[str, dict[str, Described]]:
    """By sort and name: the first line of each part's documentation, and its options with their defaults.

    Features also give what they declare (`plait.features.facts.declared`).

    Args:
        sort: a key of `SORTS`; None for all.

    >>> catalogue("readers")["readers"]["align"]["options"]
    {'unit_hz': 25000}
    """
    found: dict[str, dict[str, Described]] = {}
    for one in [sort] if sort else sorted(SORTS):
        found[one] = {part: _described(one, cls) for part, cls in parts(base_of(one)).items()}
    return found


def own_part(path: str) -> dict[str, dict[str, Described]]:
    """The same for one class given by its dotted path, such as a class of the user's own.

    Raises:
        ConfigError: it cannot be imported, or is derived from no base class of `SORTS`.

    >>> list(own_part("plait.encoders.linear.Linear"))
    ['encoders']
    """
    if "." not in path:
        raise ConfigError(
            f"class: {path!r} is no dotted path, such as mylab.fusions.Mine. plait list shows plait's own."
        )
    # Of any base: which sort it is turns out below.
    cls = find(object, path, "class")[0]
    for sort in SORTS:
        if issubclass(cls, base_of(sort)):
            return {sort: {path: _described(sort, cls)}}
    raise ConfigError(f"class: {path} is no part: derive it from a base class, such as plait.fusion.Fusion.")


def _described(sort: str, cls: type[Any]) -> Described:
    said: Described = {"what": (cls.__doc__ or "").strip().split("\n")[0], "options": options_of(cls)}
    if sort != "features":
        return said
    # Not at the top: features import torch, which other sorts of parts do not need.
    from plait.features.facts import declared

    return {**said, **declared(cls)}
