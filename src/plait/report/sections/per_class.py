"""Recall, precision and F1 of each class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from plait.core.options import Count
from plait.evaluation.schema import Evaluation
from plait.report.sections import FEW_ROWS, Section, folded, full_of

__all__ = ["PerClass"]


class PerClass(Section):
    """Recall, precision and F1 of each class.

    Args:
        rows: of so many classes at most the figures are shown at once.
    """

    rank = 40
    template = """
{% macro class_table(list) %}
<div class="scroll"><table class="breakdown"><thead><tr><th>class</th><th class="num">items</th><th class="num">recall</th><th class="num">precision</th><th class="num">F1</th></tr></thead><tbody>
{% for c in list %}<tr><td class="name">{{ c.class }}</td><td class="num soft">{{ c["items"] }}</td><td class="num main">{{ words.show("recall", c.recall) }}</td><td class="num">{{ words.show("precision", c.precision) }}</td><td class="num">{{ words.show("f1", c.f1) }}</td></tr>
{% endfor %}
</tbody></table></div>
{% endmacro %}
<p class="note">{% if modalities | length > 1 %}All modalities together. {% endif %}Recall: of the items of a class, how many were called it. Precision: of those called it, how many were of it. The least recognised first.{% if e.seeds | length > 1 %} Counted over {{ e.seeds | length }} seeds.{% endif %}</p>
{{ class_table(classes.shown) }}
{% if classes.more %}<details><summary>The other {{ classes.more | length }} classes</summary>{{ class_table(classes.more) }}</details>{% endif %}
"""

    def __init__(self, *, rows: Count = FEW_ROWS) -> None:
        self.rows = rows

    def title(self, evaluation: Evaluation) -> str:
        return "Class by class"

    def content(self, evaluation: Evaluation) -> Mapping[str, object] | None:
        classes = folded(sorted(evaluation.get("per_class") or [], key=_recall), self.rows)
        if classes is None:
            return None
        return {
            "classes": classes,
            "modalities": full_of(evaluation)["modalities"],
            "metric": evaluation["task"]["metric"],
        }


def _recall(row: Mapping[str, Any]) -> float:
    """The least recognised first; those that do not occur last."""
    return 2.0 if row["recall"] is None else row["recall"]
