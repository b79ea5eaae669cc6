"""Warnings about what readers drop, sort or interpret, for the user and for callers that open many files."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

__all__ = ["hearing", "tell"]

_heard: ContextVar[list[str] | None] = ContextVar("heard", default=None)
_said: set[str] = set()


def tell(where: object, what: str, *, once: bool = False) -> None:
    """Warn of what is read differently from how a file has it.

    Args:
        where: the file, and the place in it.
        what: what is wrong, without the place.
        once: whether a thousand such files give a single warning; `hearing` still collects each.
    """
    heard = _heard.get()
    if heard is not None:
        heard.append(what)
    if once and what in _said:
        return
    if once:
        _said.add(what)
    again = " (and in files like it, which are not listed)" if once else ""
    logging.getLogger("plait").warning("%s: %s%s", where, what, again)


@contextmanager
def hearing() -> Iterator[list[str]]:
    """Collect the warnings of `tell` in this block.

    >>> with hearing() as heard:
    ...     tell("a.csv", "2 rows are left out")
    >>> heard
    ['2 rows are left out']
    """
    heard: list[str] = []
    token = _heard.set(heard)
    try:
        yield heard
    finally:
        _heard.reset(token)
