"""The main metric on each group alone."""

from __future__ import annotations

from collections.abc import Mapping

from plait.core.options import Count
from plait.evaluation.schema import Evaluation
from plait.report.sections import FEW_ROWS, Section, folded, full_of

__all__ = ["PerGroup"]


class PerGroup(Section):
    """The main metric on each group alone.

    Args:
        rows: groups that are shown at once, at most.
    """

    rank = 50
    template = """
{% macro group_table(list) %}
<div class="scroll"><table class="breakdown"><thead><tr><th>group</th><th class="num">items</th><th class="num">{{ words.title_of(metric) }}</th></tr></thead><tbody>
{% for g in list %}<tr><td class="name">{{ g.group }}</td><td class="num soft">{{ g["items"] }}</td><td class="num main">{{ words.show(metric, g.value) }}</td></tr>
{% endfor %}
</tbody></table></div>
{% endmacro %}
<p class="note">{% if modalities | length > 1 %}All modalities together, on{% else %}On{% endif %} each group alone{% if e.seeds | length > 1 %}, mean over seeds{% endif %}; the worst first.</p>
{{ group_table(groups.shown) }}
{% if groups.more %}<details><summary>The other {{ groups.more | length }} groups</summary>{{ group_table(groups.more) }}</details>{% endif %}
"""

    def __init__(self, *, rows: Count = FEW_ROWS) -> None:
        self.rows = rows

    def title(self, evaluation: Evaluation) -> str:
        return "Group by group"

    def content(self, evaluation: Evaluation) -> Mapping[str, object] | None:
        groups = folded(evaluation.get("per_group") or [], self.rows)
        if groups is None:
            return None
        return {
            "groups": groups,
            "modalities": full_of(evaluation)["modalities"],
            "metric": evaluation["task"]["metric"],
        }
