"""Run-time checks of the array shapes and types in signatures, cheap enough for every run of the tests."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from functools import cache, wraps
from typing import TypeVar

from jaxtyping import jaxtyped

__all__ = ["checked", "sampled"]

F = TypeVar("F", bound=Callable[..., object])

_ARRAY = re.compile(r"\b(Float|Bool|Int|Num|Shaped|JointTokens|JointSteps|Padded|Mask|Later)\b")


def checked(function: F) -> F:
    """The function with a check that arrays have the shapes and types in its signature.

    Only arrays are checked, which is cheap. mypy checks all other types, and tests pass wrong ones on purpose.
    """
    from beartype import beartype

    arrays = _arrays(function)
    if not arrays:
        return function
    function.__annotations__ = arrays  # beartype reads these, and so checks nothing else
    strict: F = beartype(function)
    return strict


def sampled(function: F, *, first: int = 10, every: int = 100) -> F:
    """The function, with its arrays `checked` in the ``first`` calls, and in one of ``every`` calls after them.

    jaxtyping's import hook wraps every function of a module, with arrays or not, and checks each call: a third more
    time in the tests. In place of its decorator this one costs a few hundredths.
    """
    if isinstance(function, type) or not _arrays(function):
        return function
    count = itertools.count()

    @cache  # made at the first call: most functions of a package are not called in a run of some tests
    def strict() -> Callable[..., object]:
        return jaxtyped(function, typechecker=checked)

    @wraps(function)
    def call(*args: object, **kwargs: object) -> object:
        n = next(count)
        return (strict() if n < first or n % every == 0 else function)(*args, **kwargs)

    return call  # type: ignore[return-value]  # of the same signature


def _arrays(function: Callable[..., object]) -> dict[str, object]:
    """The annotations that are of arrays."""
    stated = getattr(function, "__annotations__", {})
    return {name: kind for name, kind in stated.items() if _ARRAY.search(str(kind))}
