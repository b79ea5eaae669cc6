"""Retrieval: how often what belongs to a query is among the first, in both directions."""

from __future__ import annotations

from collections.abc import Mapping

from plait.evaluation.schema import Evaluation, SubsetRow
from plait.report import words
from plait.report.sections import Section, full_of

__all__ = ["Retrieval"]

FORTH = ("recall_at1", "recall_at5", "recall_at10", "median_rank")


class Retrieval(Section):
    """Recall and median ranks: queries in the index, and the rows of the index among the queries."""

    rank = 17
    template = """
<p class="note">Among {{ groups }} groups. A query is answered by any row of its own group; equal rows of one group are one.</p>
<div class="scroll"><table><thead><tr><th>from</th>{% for name in metrics %}<th class="num">{{ words.title_of(name) }}</th>{% endfor %}</tr></thead><tbody>
{% for row in rows %}<tr><td class="name">{{ row.name }}</td>{% for cell in row.cells %}<td class="num">{{ cell }}</td>{% endfor %}</tr>{% endfor %}
</tbody></table></div>
"""

    def title(self, evaluation: Evaluation) -> str:
        return "What is found, and how early"

    def content(self, evaluation: Evaluation) -> Mapping[str, object] | None:
        if FORTH[0] not in full_of(evaluation)["metrics"]:
            return None
        rows = [_row(row, reverse=reverse) for reverse in (False, True) for row in evaluation["subsets"]]
        return {"metrics": list(FORTH), "rows": rows, "groups": evaluation["groups"]}


def _row(row: SubsetRow, *, reverse: bool) -> dict[str, object]:
    keys = [f"reverse_{name}" if reverse else name for name in FORTH]
    cells = [words.show(name, row["metrics"][key]["mean"]) for name, key in zip(FORTH, keys)]
    return {"name": ", ".join(row["modalities"]) + (": the other way round" if reverse else ""), "cells": cells}
