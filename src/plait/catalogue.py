"""What a recipe can name: every part with its options."""

from __future__ import annotations

import importlib
from typing import Any

from plait.core.parts import options_of, parts

__all__ = ["SORTS", "base_of", "catalogue"]

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
"""Sorts of parts, and where the base of each stands."""


def base_of(sort: str) -> type[Any]:
    """The class that all parts of a sort are subclasses of.

    >>> base_of("readers").__name__
    'Reader'
    """
    module, _, name = SORTS[sort].partition(":")
    base: type[Any] = getattr(importlib.import_module(module), name)
    return base


def catalogue(sort: str | None = None) -> dict[str, dict[str, dict[str, Any]]]:
    """By sort and name: the first line of each part's documentation, and its options with their defaults.

    Features say also what they declare (`plait.features.facts.declared`).

    Args:
        sort: a key of `SORTS`; None for all.

    >>> catalogue("readers")["readers"]["align"]["options"]
    {'unit_hz': 25000}
    """
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for one in [sort] if sort else sorted(SORTS):
        base = base_of(one)
        found[one] = {
            part: {"what": (cls.__doc__ or "").strip().split("\n")[0], "options": options_of(cls)}
            for part, cls in parts(base).items()
        }
        if one == "features":
            from plait.features.facts import declared

            for part, cls in parts(base).items():
                found[one][part].update(declared(cls))
    return found
