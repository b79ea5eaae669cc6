"""The Jinja environment of the pages' templates, with functions to write numbers and names."""

from __future__ import annotations

from collections.abc import Mapping

from jinja2 import Environment, PackageLoader
from markupsafe import Markup

from plait.report import plots, words

__all__ = ["environment"]


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


def _printable(value: object) -> object:
    """Names come from users' files; our own SVG is left as it is."""
    return words.printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value
