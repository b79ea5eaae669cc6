"""Where it is worse: parts of the items."""

from __future__ import annotations

from collections.abc import Mapping

from plait.core.options import Count
from plait.evaluation.schema import Evaluation, SliceRow
from plait.report import words
from plait.report.sections import FEW_ROWS, Section, folded

__all__ = ["Slices"]

LEVEL = 0.05
"""Of all parts together, how often one may be called worse by chance."""


class Slices(Section):
    """Parts of the items by metadata, length, group and missing streams, against the rest.

    Args:
        rows: parts that are shown at once, at most.
    """

    rank = 52
    template = """
{% macro parts(list) %}
<div class="scroll"><table class="breakdown"><thead><tr><th>part</th><th class="num">items</th><th class="num">{{ words.title_of(metric) }}</th><th class="num">the rest</th>{% if with_p %}<th class="num">p, corrected</th><th></th>{% endif %}</tr></thead><tbody>
{% for c in list %}<tr><td class="name">{{ c.name }}</td><td class="num soft">{{ c["items"] }}</td><td class="num main">{{ c.value }}</td><td class="num">{{ c.rest }}</td>{% if with_p %}<td class="num soft">{{ c.p }}</td><td class="soft verdict">{{ c.verdict }}</td>{% endif %}</tr>
{% endfor %}
</tbody></table></div>
{% endmacro %}
<p class="note">All modalities together, on parts of the items by what is known of them; the worst first. {{ count }} parts were looked at, and p-values are corrected for that (Holm). A part of too few groups has none. A difference is of the model on these items, not its cause.</p>
{{ parts(rows.shown) }}
{% if rows.more %}<details><summary>The other {{ rows.more | length }} parts</summary>{{ parts(rows.more) }}</details>{% endif %}
"""

    def __init__(self, *, rows: Count = FEW_ROWS) -> None:
        self.rows = rows

    def title(self, evaluation: Evaluation) -> str:
        return "Where it is worse"

    def content(self, evaluation: Evaluation) -> Mapping[str, object] | None:
        metric, sign = evaluation["task"]["metric"], 1 if evaluation["task"]["higher_is_better"] else -1
        every = evaluation.get("slices", [])
        # Groups have a table of their own; here only those that stand out.
        told = [row for row in every if row["name"] != "group" or ((p := row["p_corrected"]) is not None and p < LEVEL)]
        found = [_row(metric, sign, row) for row in told]
        rows = folded(found, self.rows)
        if rows is None:
            return None
        tested = any(row["p_corrected"] is not None for row in told)
        return {"rows": rows, "metric": metric, "count": len(every), "with_p": tested}


def _row(metric: str, sign: int, row: SliceRow) -> dict[str, object]:
    p, verdict = row["p_corrected"], ""
    if p is not None:
        better = sign * (row["value"] - row["rest"]) > 0
        verdict = ("better" if better else "worse") if p < LEVEL else "may be chance"
    return {
        "name": f"{words.printable(row['name'])}: {words.printable(row['part'])}",
        "items": row["items"],
        "value": words.show(metric, row["value"]),
        "rest": words.show(metric, row["rest"]),
        "p": words.p_value(p),
        "verdict": verdict,
    }
