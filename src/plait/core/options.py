"""Options of parts: checked against the types that their signatures declare, before anything is built.

An option is a keyword-only argument with an annotation. Numbers may carry bounds: ``layers: Few``, or
``share: Annotated[float, Field(ge=0, le=1)]``. Bounds refuse what cannot be meant, such as -1 layers or a million
of them; a part checks the rest itself.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import AllowInfNan, Field, Strict, TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError
from pydantic.fields import FieldInfo

from plait.core.safe_yaml import brief

__all__ = [
    "Count",
    "Counts",
    "Few",
    "Fews",
    "Hertz",
    "Many",
    "Pixels",
    "Positive",
    "Share",
    "Unit",
    "Weight",
    "Whole",
    "expected",
    "option_problems",
]

Few = Annotated[int, Field(ge=1, le=1000)]
"""How many of something that costs time or memory each: layers, heads, strides."""

Count = Annotated[int, Field(ge=1, le=10_000)]
"""How many of something cheaper: rows, columns, tokens, widths."""

Whole = Annotated[int, Field(ge=0, le=10_000)]
"""The same, but from 0; also a place counted from 0."""

Many = Annotated[int, Field(ge=1, le=1_000_000)]
"""How many of something that costs next to nothing each."""

Fews = Annotated[Sequence[Few], Field(max_length=100)]
Counts = Annotated[Sequence[Count], Field(max_length=100)]
"""One number per layer or stage."""

Share = Annotated[float, Field(ge=0, lt=1)]
"""A part of something, never all of it: dropout, smoothing."""

Unit = Annotated[float, Field(ge=0, le=1)]
"""From none to all."""

Weight = Annotated[float, Field(ge=0)]
"""How much something counts."""

Positive = Annotated[float, Field(gt=0)]
"""A temperature, a scale."""

Pixels = Annotated[int, Field(ge=1, le=10_000)]
"""Height or width of a picture."""

Hertz = Annotated[int, Field(ge=1, le=10_000_000)]
"""Samples per second."""

_WORDS: dict[object, str] = {
    int: "a whole number",
    float: "a number",
    str: "a text",
    bool: "true or false",
    type(None): "null",
}


def option_problems(cls: type, options: Mapping[str, object], where: str) -> list[str]:
    """What is wrong with the types and sizes of options; those that ``cls`` does not have are ignored.

    >>> class Conv:
    ...     def __init__(self, *, layers: Few = 2, rate: float | None = None) -> None: ...
    >>> option_problems(Conv, {"layers": 0, "rate": "fast"}, "encoder")[1]
    "encoder.rate: got 'fast'; expected a number or null."
    >>> option_problems(Conv, {"layers": 3, "rate": 10}, "encoder")
    []
    """
    known = _adapters(cls)
    return [
        f"{where}.{key}: got {brief(value)}; expected {known[key][1]}."
        for key, value in options.items()
        if key in known and not _fits(known[key][0], value)
    ]


def _fits(adapter: TypeAdapter[object], value: object) -> bool:
    try:
        adapter.validate_python(value)
    except ValidationError:
        return False
    return True


@cache
def _adapters(cls: type) -> dict[str, tuple[TypeAdapter[object], str]]:
    found = {}
    for name, kind in _annotations(cls):
        with suppress(PydanticUserError, TypeError):  # a class of the user's that pydantic knows nothing of
            found[name] = (TypeAdapter(_strict(kind)), expected(kind))
    return found


def _annotations(cls: type) -> Iterator[tuple[str, object]]:
    """Names and types of the options whose annotations can be resolved; others are left to the part itself."""
    names = getattr(inspect.unwrap(cls.__init__), "__globals__", {})  # type: ignore[misc]
    for p in inspect.signature(cls).parameters.values():
        if p.kind is not inspect.Parameter.KEYWORD_ONLY or p.annotation is inspect.Parameter.empty:
            continue
        # One by one: get_type_hints of a whole signature fails at the first name that it cannot resolve.
        holder = types.SimpleNamespace(__annotations__={p.name: p.annotation})
        try:
            yield p.name, get_type_hints(holder, names, include_extras=True)[p.name]
        except Exception:  # a name that is there for type checkers only
            continue


def _strict(kind: Any) -> Any:
    """The same type for pydantic, with numbers, texts and flags not turned into one another."""
    origin, args = get_origin(kind), get_args(kind)
    if kind is float:
        # A strict float still takes whole numbers: rate: 50 is fine.
        return Annotated[float, Strict(), AllowInfNan(False)]
    if kind in (int, str, bool):
        # Strict, so that true is no number and "3" is none either.
        return Annotated[kind, Strict()]
    if origin is Annotated:
        return Annotated[(_strict(args[0]), *args[1:])]
    if origin in (Union, types.UnionType):
        return Union[tuple(map(_strict, args))]  # noqa: UP007  # of types that are known only now
    if args and origin is not Literal:
        return origin[tuple(a if a is ... else _strict(a) for a in args)]
    return kind


def expected(kind: Any) -> str:
    """A type in words: those of its ``Field(description=...)`` where it has one.

    >>> expected(Few | None), expected(list[float]), expected(tuple[float, float])
    ('a whole number from 1 to 1,000 or null', 'a list (each a number)', 'a list of 2 (each a number)')
    """
    origin, args = get_origin(kind), get_args(kind)
    if origin is Annotated:
        own = [m.description for m in args[1:] if isinstance(m, FieldInfo) and m.description]
        return own[0] if own else f"{expected(args[0])}{_bounds(args[1:])}"
    if origin in (Union, types.UnionType):
        *first, last = dict.fromkeys(map(expected, args))
        return f"{', '.join(first)} or {last}" if first else last
    if origin is Literal:
        return f"one of {', '.join(map(str, args))}"
    if isinstance(origin or kind, type) and issubclass(origin or kind, Mapping):
        return "a mapping"
    if args:
        many = f" of {len(args)}" if origin is tuple and ... not in args else ""
        return f"a list{many} (each {expected(args[0])})"
    return _WORDS.get(kind, getattr(kind, "__name__", str(kind)))


def _bounds(marks: tuple[object, ...]) -> str:
    own = [m for mark in marks for m in (mark.metadata if isinstance(mark, FieldInfo) else [mark])]
    words = {"ge": " from {:,}", "gt": " above {:,}", "le": " to {:,}", "lt": " up to, but not including, {:,}"}
    return "".join(said.format(getattr(m, key)) for key, said in words.items() for m in own if hasattr(m, key))
