"""Single answers, if they are neither classes nor values."""

from __future__ import annotations

from collections.abc import Mapping

from plait.evaluation.schema import Evaluation
from plait.report.sections import Section, full_of

__all__ = ["Examples"]


class Examples(Section):
    """Single answers, if they are neither classes nor values."""

    rank = 60
    template = """
<p class="note">{% if modalities | length > 1 %}All modalities together, first{% else %}First{% endif %} seed; the worst first.</p>
<div class="scroll"><table class="breakdown"><thead><tr><th>item</th>{% if with_texts %}<th>truth</th><th>answer</th>{% endif %}<th class="num">{{ words.title_of(metric) }}</th></tr></thead><tbody>
{% for x in rows %}<tr><td class="name">{{ x["item"] }}</td>{% if with_texts %}<td class="name">{{ x.truth }}</td><td class="name">{{ x.answer }}</td>{% endif %}<td class="num main">{{ words.show(metric, x.value) }}</td></tr>
{% endfor %}
</tbody></table></div>
"""

    def title(self, evaluation: Evaluation) -> str:
        return "Answers one by one"

    def content(self, evaluation: Evaluation) -> Mapping[str, object] | None:
        rows = evaluation.get("examples")
        if not rows:
            return None
        return {
            "rows": rows,
            "with_texts": any(x["truth"] is not None for x in rows),
            "modalities": full_of(evaluation)["modalities"],
            "metric": evaluation["task"]["metric"],
        }
