"""The confusion matrix, and the most frequent mistakes."""

from __future__ import annotations

from collections.abc import Mapping

from markupsafe import Markup

from plait.evaluation.schema import Evaluation
from plait.report import plots
from plait.report.sections import Section

__all__ = ["Confusion"]


class Confusion(Section):
    """The confusion matrix, and the most frequent mistakes."""

    rank = 30
    template = """
<p class="note">Rows are truths, columns answers; all modalities together, counted over {{ e.seeds | length }} seed{{ "" if e.seeds | length == 1 else "s" }}. The shade is the share of the true class; blue is right, orange is wrong.</p>
<div class="matrix{% if matrix.classes <= 12 %} beside{% endif %}">
{% if matrix.svg %}<figure class="scroll big{% if matrix.classes > 10 %} wide{% endif %}">{{ matrix.svg }}</figure>{% else %}<p>With {{ matrix.classes }} classes the matrix is too large to read; it is in evaluation.json.</p>{% endif %}
<div>{% if matrix.mistakes %}<h3>Most frequent mistakes</h3><ul class="plain">{% for m in matrix.mistakes %}<li>{{ m.truth }} taken for {{ m.answer }}: {{ m.count }} of {{ m.of }}</li>{% endfor %}</ul>{% else %}<p>No mistakes.</p>{% endif %}</div>
</div>
"""

    def title(self, evaluation: Evaluation) -> str:
        return "What is taken for what"

    def content(self, evaluation: Evaluation) -> Mapping[str, object] | None:
        matrix = _matrix(evaluation)
        return {"matrix": matrix} if matrix else None


def _matrix(evaluation: Evaluation) -> dict[str, object] | None:
    """The confusion matrix, and its five most frequent mistakes."""
    confusion = evaluation.get("confusion")
    if not confusion:
        return None
    classes, counts = confusion["classes"], confusion["counts"]
    wrong = [(n, i, j) for i, row in enumerate(counts) for j, n in enumerate(row) if n and i != j]
    # Ties in the order of the classes, so that the same numbers give the same page.
    worst = sorted(wrong, key=lambda w: (-w[0], w[1], w[2]))[:5]
    mistakes = [{"truth": classes[i], "answer": classes[j], "count": n, "of": sum(counts[i])} for n, i, j in worst]
    svg = Markup(plots.confusion(classes, counts, "con"))
    return {"svg": svg, "mistakes": mistakes, "classes": len(classes)}
