"""The context of a trace (W3C Trace Context), accepted and passed on."""

from __future__ import annotations

import importlib.util
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

__all__ = ["passed_on", "span"]

_PARENT = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})")


def passed_on(parent: str | None) -> str | None:
    """The ``traceparent`` of this server's own span, within the caller's trace; None where the caller's is not one.

    >>> said = passed_on("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
    >>> said[:36], said[-3:], len(said), passed_on("00-zz-1-01")
    ('00-4bf92f3577b34da6a3ce929d0e0e4736-', '-01', 55, None)
    """
    found = _PARENT.fullmatch(parent or "")
    return f"00-{found[1]}-{secrets.token_hex(8)}-{found[2]}" if found else None


@cache
def _traced() -> bool:
    return importlib.util.find_spec("opentelemetry") is not None


@contextmanager
def span(name: str, parent: str | None) -> Iterator[str | None]:
    """A span of OpenTelemetry around the block, where it is installed; gives the ``traceparent`` to pass on."""
    if not _traced():
        yield passed_on(parent)
        return
    from opentelemetry import trace
    from opentelemetry.propagate import extract, inject

    given = {"traceparent": parent} if passed_on(parent) else {}
    with trace.get_tracer("plait").start_as_current_span(name, context=extract(given)):
        told: dict[str, str] = {}
        inject(told)
        # without an SDK spans are not recorded, and carry the caller's own context on
        yield told.get("traceparent")
