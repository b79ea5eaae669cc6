"""A comparison's numbers by name, and how they are written."""

from __future__ import annotations

import math
from collections.abc import Sequence

from plait.comparison.schema import Gap, Numbers, VariantRow
from plait.comparison.variants import ALONE, FUSION
from plait.report import words

__all__ = ["View", "called", "turned"]


class View:
    """The numbers of a comparison by name."""

    def __init__(self, result: Numbers) -> None:
        self.result, self.metric = result, result["task"]["metric"]
        self.sign = 1 if result["task"]["higher_is_better"] else -1
        self.rows: dict[str, VariantRow] = {row["name"]: row for row in result["variants"]}
        self.best = self.top(list(self.rows.values()))
        self._gaps: dict[tuple[str, str], Gap] = {(d["a"], d["b"]): d for d in result["differences"]}

    def top(self, rows: Sequence[VariantRow]) -> VariantRow:
        """The row with the best value: the first of several, one without a value only if no row has one."""
        return max(rows, key=lambda r: -math.inf if r["value"] is None else self.sign * r["value"])

    def kind(self, kind: str) -> list[VariantRow]:
        return [row for row in self.rows.values() if row["kind"] == kind]

    def gap(self, a: VariantRow, b: VariantRow) -> Gap:
        """How much better ``a`` is than ``b``."""
        # Each pair is there once, in the order of the variants.
        found = self._gaps.get((a["name"], b["name"]))
        if found is not None:
            return found
        return turned(self._gaps[b["name"], a["name"]])

    @property
    def fused(self) -> VariantRow | None:
        """The best fusion of all modalities."""
        found = self.kind(FUSION)
        return self.top(found) if found else None

    @property
    def single(self) -> VariantRow | None:
        """The best modality alone."""
        found = self.kind(ALONE)
        return self.top(found) if found else None

    def ranked(self) -> list[VariantRow]:
        """All rows, the best first; those without a value last."""
        return sorted(self.rows.values(), key=lambda r: math.inf if r["value"] is None else -self.sign * r["value"])

    def ties(self) -> list[VariantRow]:
        """The rows that are not significantly different from the best, the best of them first."""
        return [row for row in self.ranked() if row is not self.best and not self.gap(self.best, row)["significant"]]

    def size(self, value: float | None) -> str:
        """A difference without its sign: '1.2 points'."""
        return words.change(self.metric, None if value is None else abs(value)).lstrip("+")

    def span(self, gap: Gap) -> str:
        """'(95 % interval −0.3 to +1.2 points)', or why there is none."""
        return f"({words.span(self.metric, gap)})"

    def doubt(self, gap: Gap) -> str:
        """Why a difference is not significant."""
        if self.too_few:
            return f"{words.counted(self.result['groups'], 'group')} are too few to tell"
        return "it scatters more than that over seeds" if words.significant(gap) else "that may be chance"

    @property
    def too_few(self) -> bool:
        """Whether there are too few groups for intervals."""
        return self.result["groups"] < self.result["intervals"]["fewest_groups"]

    def shown(self, row: VariantRow) -> str:
        """A value and its interval: 'accuracy of action 93.1 % (91.0–95.2)'."""
        value = f"{words.about(self.result)} {words.show(self.metric, row['value'])}"
        return f"{value} ({words.interval(self.metric, row)})" if words.has_interval(row) else value


def turned(gap: Gap) -> Gap:
    """The difference seen from the other side.

    >>> turned({"difference": 2, "low": 1, "high": 4, "significant": True})
    {'difference': -2, 'low': -4, 'high': -1, 'significant': True}
    """
    # The ends change places, as the upper end of a - b is the lower one of b - a.
    return {**gap, "difference": _minus(gap["difference"]), "low": _minus(gap["high"]), "high": _minus(gap["low"])}


def _minus(value: float | None) -> float | None:
    return None if value is None else -value


def called(row: VariantRow) -> str:
    """A variant's title, with the family of its fusion.

    >>> called({"kind": "fusion", "title": "concat", "family": "early"})
    'concat (early fusion)'
    """
    if row["kind"] != FUSION:
        return row["title"]
    return f"{row['title']} fusion" if row["title"] == row["family"] else f"{row['title']} ({row['family']} fusion)"
