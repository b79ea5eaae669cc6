"""Shapes and kinds of arrays that signatures state, checked at run time: a type checker for jaxtyping's import hook."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeVar

__all__ = ["checked"]

F = TypeVar("F", bound=Callable[..., object])

_ARRAY = re.compile(r"\b(Float|Bool|Int|Num|Shaped|JointTokens|JointSteps|Padded|Mask|Later)\b")


def checked(function: F) -> F:
    """The function, which refuses arrays of other shapes and kinds than its signature states.

    Of the signature only arrays are checked, so that it costs little; all else is mypy's, and tests give wrong things
    on purpose.
    """
    from beartype import beartype

    stated = getattr(function, "__annotations__", {})
    arrays = {name: kind for name, kind in stated.items() if _ARRAY.search(str(kind))}
    if not arrays:
        return function
    function.__annotations__ = arrays
    strict: F = beartype(function)
    return strict
