"""Recall, precision and F1 of each class."""

from __future__ import annotations

from collections.abc import Mapping

from plait.core.options import Count
from plait.evaluation.schema import ClassRow, Evaluation
from plait.report.sections import FEW_ROWS, Section, folded, full_of

__all__ = ["PerClass"]


class PerClass(Section):
    """Recall, precision and F1 of each class.

    Args:
        rows: classes that are shown at once, at most.
    """

    rank = 40
    template = """
{% macro class_table(list) %}
<div class="scroll"><table class="breakdown"><thead><tr><th>class</th><th class="num">items</th><th class="num">recall</th><th class="num">precision</th><th class="num">F1</th></tr></thead><tbody>
{% for c in list %}<tr><td class="name">{{ c.class }}</td><td class="num soft">{{ c["items"] }}</td><td class="num main">{{ words.show("recall", c.recall) }}</td><td class="num">{{ words.show("precision", c.precision) }}</td><td class="num">{{ words.show("f1", c.f1) }}</td></tr>
{% endfor %}
</tbody></table></div>
{% endmacro %}
<p class="note">{% if modalities | length > 1 %}All modalities together. {% endif %}Recall: the share of a class’s items that were recognised. Precision: the share of the answers of a class that were right. The least recognised class first.{% if e.seeds | length > 1 %} Counted over {{ e.seeds | length }} seeds.{% endif %}</p>
{{ class_table(classes.shown) }}
{% if classes.more %}<details><summary>The other {{ classes.more | length }} classes</summary>{{ class_table(classes.more) }}</details>{% endif %}
"""

    def __init__(self, *, rows: Count = FEW_ROWS) -> None:
        self.rows = rows

    def title(self, evaluation: Evaluation) -> str:
        return "Class by class"

    def content(self, evaluation: Evaluation) -> Mapping[str, object] | None:
        ranked: list[ClassRow] = sorted(evaluation.get("per_class") or [], key=_recall)
        classes = folded(ranked, self.rows)
        if classes is None:
            return None
        return {
            "classes": classes,
            "modalities": full_of(evaluation)["modalities"],
            "metric": evaluation["task"]["metric"],
        }


def _recall(row: ClassRow) -> float:
    """The least recognised first; classes that do not occur last."""
    return 2.0 if row["recall"] is None else row["recall"]
