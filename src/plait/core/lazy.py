"""Names of a package that are imported when they are first asked for, so that opening it costs nothing."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping

__all__ = ["lazy"]


def lazy(package: str, homes: Mapping[str, str]) -> Callable[[str], object]:
    """A package's ``__getattr__`` (PEP 562).

    Args:
        package: its name.
        homes: the module that each public name is in.

    >>> lazy("here", {"sqrt": "math"})("sqrt")(9.0)
    3.0
    """

    def attribute(name: str) -> object:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(homes[name]), name)

    return attribute
