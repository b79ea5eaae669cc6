"""Run-time checks of the array shapes and types in signatures: a type checker for jaxtyping's import hook."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeVar

__all__ = ["checked"]

F = TypeVar("F", bound=Callable[..., object])

_ARRAY = re.compile(r"\b(Float|Bool|Int|Num|Shaped|JointTokens|JointSteps|Padded|Mask|Later)\b")


def checked(function: F) -> F:
    """The function with a check that arrays have the shapes and types in its signature.

    Only arrays are checked, which is cheap. mypy checks all other types, and tests pass wrong ones on purpose.
    """
    from beartype import beartype

    stated = getattr(function, "__annotations__", {})
    arrays = {name: kind for name, kind in stated.items() if _ARRAY.search(str(kind))}
    if not arrays:
        return function
    function.__annotations__ = arrays  # beartype reads these, and so checks nothing else
    strict: F = beartype(function)
    return strict
