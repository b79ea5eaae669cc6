"""A comparison's numbers by name, and how they are written."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from plait.comparison.variants import ALONE, FUSION
from plait.report import words

__all__ = ["Row", "View", "called", "turned"]

Row = Mapping[str, Any]


class View:
    """The numbers of a comparison by name."""

    def __init__(self, result: Mapping[str, Any]) -> None:
        self.result, self.metric = result, result["task"]["metric"]
        self.sign = 1 if result["task"]["higher_is_better"] else -1
        self.rows: dict[str, Row] = {row["name"]: row for row in result["variants"]}
        self.best = self.top(list(self.rows.values()))
        self._gaps: dict[tuple[str, str], Row] = {(d["a"], d["b"]): d for d in result["differences"]}

    def top(self, rows: Sequence[Row]) -> Row:
        """The row of the best value; the first of several, and one without a value last."""
        return max(rows, key=lambda r: -math.inf if r["value"] is None else self.sign * r["value"])

    def kind(self, kind: str) -> list[Row]:
        return [row for row in self.rows.values() if row["kind"] == kind]

    def gap(self, a: Row, b: Row) -> Row:
        """How much better ``a`` is than ``b``: difference, low, high, sd, significant."""
        found = self._gaps.get((a["name"], b["name"]))
        if found is not None:
            return found
        return turned(self._gaps[b["name"], a["name"]])

    @property
    def fused(self) -> Row | None:
        """The best fusion of all modalities."""
        found = self.kind(FUSION)
        return self.top(found) if found else None

    @property
    def single(self) -> Row | None:
        """The best modality alone."""
        found = self.kind(ALONE)
        return self.top(found) if found else None

    def ranked(self) -> list[Row]:
        """All rows, the best first; those without a value last."""
        return sorted(self.rows.values(), key=lambda r: math.inf if r["value"] is None else -self.sign * r["value"])

    def ties(self) -> list[Row]:
        """Those that are not significantly different from the best, the best of them first."""
        return [row for row in self.ranked() if row is not self.best and not self.gap(self.best, row)["significant"]]

    def size(self, value: float | None) -> str:
        """A difference without its sign: '1.2 points'."""
        return words.change(self.metric, None if value is None else abs(value)).lstrip("+")

    def span(self, gap: Row) -> str:
        """'(95 % interval −0.3 to +1.2 points)', or why there is none."""
        return f"({words.span(self.metric, gap)})"

    def doubt(self, gap: Row) -> str:
        """Why a difference is not significant."""
        if self.too_few:
            return f"{words.counted(self.result['groups'], 'group')} are too few to tell"
        return "it scatters more than that over seeds" if words.significant(gap) else "that may be chance"

    @property
    def too_few(self) -> bool:
        """Whether there are too few groups for intervals."""
        return bool(self.result["groups"] < self.result["intervals"]["fewest_groups"])

    def shown(self, row: Row) -> str:
        """A value and its interval: 'accuracy of action 93.1 % (91.0–95.2)'."""
        value = f"{words.about(self.result)} {words.show(self.metric, row['value'])}"
        return f"{value} ({words.interval(self.metric, row)})" if words.has_interval(row) else value


def turned(gap: Row) -> Row:
    """The difference seen from the other side.

    >>> turned({"difference": 2, "low": 1, "high": 4, "significant": True})
    {'difference': -2, 'low': -4, 'high': -1, 'significant': True}
    """
    pairs = {"difference": "difference", "low": "high", "high": "low"}
    return {**gap, **{k: None if gap[other] is None else -gap[other] for k, other in pairs.items()}}


def called(row: Row) -> str:
    """A variant for people, with the family of its fusion.

    >>> called({"kind": "fusion", "title": "concat", "family": "early"})
    'concat (early fusion)'
    """
    if row["kind"] != FUSION:
        return str(row["title"])
    return f"{row['title']} fusion" if row["title"] == row["family"] else f"{row['title']} ({row['family']} fusion)"
