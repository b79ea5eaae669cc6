"""The Jinja environment of the pages' templates, with functions to write numbers and names, and to write pages."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from jinja2 import Environment, PackageLoader
from markupsafe import Markup

from plait.core.atomic import replacing
from plait.report import plots, words

__all__ = ["environment", "write_page"]


def environment() -> Environment:
    """The Jinja environment of the pages' templates, with functions to write numbers and names."""
    found = Environment(
        loader=PackageLoader("plait.report", "."),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_printable,  # every value on a page passes through it
    )
    found.filters["short"] = plots.short
    found.globals |= {"words": words, "is_mapping": lambda v: isinstance(v, Mapping)}
    return found


def write_page(path: str | Path, html: str) -> Path:
    """Write a page, atomically.

    Raises:
        OSError: it cannot be written.
    """
    with replacing(path) as part:
        # A lone surrogate (a name cut through an emoji) must not cost the report: it is shown as a question mark.
        part.write_bytes(html.encode("utf-8", errors="replace"))
    return Path(path)


def _printable(value: object) -> object:
    """Names come from users' files; our own SVG is left as it is."""
    return words.printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value
