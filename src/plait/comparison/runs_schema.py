"""The JSON of finished runs compared with each other: its keys and types.

`docs/runs.schema.json` is made of these classes: ``python docs/pictures/runs_schema.py``.
"""

from __future__ import annotations

from typing import Literal, NotRequired

from pydantic import ConfigDict, JsonValue, TypeAdapter, with_config
from typing_extensions import TypedDict

from plait.comparison.schema import Gap
from plait.evaluation.schema import IntervalFacts, TaskFacts

__all__ = ["VERSION", "OnSubset", "RecipeRow", "RunRow", "RunsCompared", "Tested", "runs_schema"]

VERSION: Literal[1] = 1
"""The version of the JSON's form; it rises when a key is removed or changes its meaning."""

_known = with_config(ConfigDict(extra="forbid"))


@_known
class RunRow(TypedDict):
    """A run: its main metric on the shared items, over seeds, with its 95 % interval over groups.

    A number is None where it is not defined; ``sd`` also where there is one seed, ``low`` and ``high`` where there is
    no interval, and then ``reason`` says why. ``constant``: of the best constant answer of its training part;
    ``metrics``: means of all metrics; ``items``: of its whole test part; ``trained_on``: items, of each seed and fold
    the fewest; ``seen``: groups of the shared items of which others were in its training or validation;
    ``unfinished``: replicates that are not trained to their end, and so not asked.
    """

    name: str
    value: float | None
    sd: float | None
    per_seed: list[float | None]
    low: float | None
    high: float | None
    reason: str
    constant: float | None
    metrics: dict[str, float | None]
    seeds: list[int]
    items: int
    trained_on: int
    seen: int
    unfinished: list[str]


@_known
class Tested(Gap):
    """How much better run ``a`` is than run ``b`` on the same items; above 0 ``a`` is the better one.

    ``sd``: over seeds, of which either run has its own. ``p`` is two-sided, ``p_corrected`` for the number of
    comparisons (Holm); None where it cannot be told. ``significant``: ``p_corrected`` is at most .05, and the
    difference is larger than ``sd``.
    """

    a: str
    b: str
    p: float | None
    p_corrected: float | None


@_known
class OnSubset(Tested):
    """The same, if both answer with these modalities only; and the values of both."""

    modalities: list[str]
    value_a: float | None
    value_b: float | None


@_known
class RecipeRow(TypedDict):
    """A key in which recipes differ, and its value in each, in the order of the runs; None where it is not given."""

    key: str
    values: list[JsonValue]


@_known
class RunsCompared(TypedDict):
    """Finished runs compared on the test items that all of them share.

    ``pairs`` has a row for each two runs, in their order; ``subsets`` the first run against each other one, for each
    subset of modalities that both answer with. ``report``: the path of the page, in ``--json`` only.
    """

    version: Literal[1]
    task: TaskFacts
    corpora: list[str]
    items: int
    groups: int
    intervals: IntervalFacts
    runs: list[RunRow]
    pairs: list[Tested]
    subsets: list[OnSubset]
    recipes: list[RecipeRow]
    versions: dict[str, str]
    date: str
    report: NotRequired[str]


def runs_schema() -> dict[str, object]:
    """The JSON schema of runs compared."""
    schema = TypeAdapter(RunsCompared).json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
