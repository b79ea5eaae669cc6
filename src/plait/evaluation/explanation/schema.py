"""The JSON of answers for files with their evidence: its keys and types.

`docs/explained.schema.json` is made of these classes: ``python docs/pictures/explained_schema.py``.
"""

from __future__ import annotations

from typing import Literal, NotRequired

from pydantic import ConfigDict, TypeAdapter, with_config
from typing_extensions import TypedDict

__all__ = ["VERSION", "ExplainedFiles", "ExplainedRow", "NearRow", "NearestRows", "Turning", "explained_schema"]

VERSION: Literal[1] = 1
"""The version of the JSON's form; it rises when a key is removed or changes its meaning."""

_known = with_config(ConfigDict(extra="forbid"))


@_known
class NearRow(TypedDict):
    """A training item, its target as text, and how far it is in the model's fused embedding: in standard deviations
    of the training items along each dimension, root of the mean square."""

    item: str
    label: str
    distance: float


@_known
class NearestRows(TypedDict):
    """The nearest training items, the nearest first.

    ``typical``: median distance of a test item to its nearest; ``far``: the distance that 95 % of the test items stay
    below; None where there are no test items. ``is_near``: whether the nearest is not beyond ``far``.
    """

    near: list[NearRow]
    typical: float | None
    far: float | None
    is_near: bool


@_known
class Turning(TypedDict):
    """The shortest span without which another class is named, in the recording's seconds, and that class."""

    start: float
    stop: float
    answer: str


@_known
class ExplainedRow(TypedDict):
    """A claim of an answer, and what speaks for it.

    ``start``, ``stop``: seconds that were asked about; ``answer``: all of it; ``claim``: what of it is explained
    (``""``: all); ``span``: seconds that the claim names. ``evidence``: by modality, how much each part speaks for the
    claim; parts are equal times from ``start`` to ``stop``, or ``objects``. ``attention``: by modality and part, shares
    that add up to 1, of fusions that have it. ``nearest``: of the item, and so the same for all of its claims.
    """

    recording: str
    start: float
    stop: float
    answer: str
    method: str
    evidence: dict[str, list[float]]
    turning: Turning | None
    claim: str
    span: list[float] | None
    objects: list[str]
    attention: NotRequired[dict[str, list[float]]]
    nearest: NotRequired[NearestRows]


@_known
class ExplainedFiles(TypedDict):
    """Answers for files with their evidence: a row for each claim. ``report``: the path of the page."""

    version: Literal[1]
    explained: list[ExplainedRow]
    notes: list[str]
    report: str


def explained_schema() -> dict[str, object]:
    """The JSON schema of answers with their evidence."""
    schema = TypeAdapter(ExplainedFiles).json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
