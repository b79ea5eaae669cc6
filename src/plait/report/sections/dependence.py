"""What items with exchanged modalities show."""

from __future__ import annotations

from collections.abc import Mapping

from plait.evaluation.schema import Evaluation
from plait.report import words
from plait.report.sections import Section

__all__ = ["Dependence"]


class Dependence(Section):
    """How far answers hang on each modality (permutation), and on interactions (EMAP)."""

    rank = 26
    template = """
<p class="note">A modality of each item is replaced by that of another item, ten times at random. So much worse do the answers get (perceptual score, not divided by the metric). A model may get along without a stream and still be misled by a wrong one.</p>
<div class="scroll"><table class="breakdown"><thead><tr><th>from other items</th><th class="num">loss</th><th class="num">95&nbsp;% interval</th><th class="bar wide-only"></th></tr></thead><tbody>
{% for c in rows %}<tr><td class="name">{{ c.name }}</td><td class="num main">{{ c.text }}</td><td class="num soft">{{ c.interval }}</td><td class="bar wide-only"><span class="loss{% if c.below %} gain{% endif %}" style="width:{{ c.width }}%"></span></td></tr>
{% endfor %}
</tbody></table></div>
{% if additive %}<p>{{ additive }}</p>
<p class="note">The additive projection (EMAP) is the sum of what each modality says that is nearest to the model. If it answers as well as the model, the model makes no use of interactions, whatever its architecture.</p>{% endif %}
"""

    def title(self, evaluation: Evaluation) -> str:
        return "On what the answers rest"

    def content(self, evaluation: Evaluation) -> Mapping[str, object] | None:
        found, metric = evaluation.get("dependence"), evaluation["task"]["metric"]
        if not found:
            return None
        largest = max(abs(row["drop"] or 0.0) for row in found["permutation"]) or 1.0
        rows = [
            {
                "name": row["modality"],
                "text": words.change(metric, None if row["drop"] is None else row["drop"]).removeprefix("+"),
                "interval": words.span(metric, row["interval"]).removeprefix("95 % interval "),
                "below": (row["drop"] or 0.0) < 0,
                "width": round(100 * abs(row["drop"] or 0.0) / largest, 1),
            }
            for row in found["permutation"]
        ]
        return {"rows": rows, "additive": _additive(evaluation)}


def _additive(evaluation: Evaluation) -> str:
    metric, found = evaluation["task"]["metric"], evaluation["dependence"].get("additive")
    if not found or found["model"] is None:
        return ""
    better = (
        "Interactions make a difference"
        if words.significant(found["interval"])
        else "Interactions make no significant difference"
    )
    share = (
        ""
        if found["non_additive"] is None
        else f" {100 * found['non_additive']:.0f}\N{NO-BREAK SPACE}% of the variance of its outputs is not additive."
    )
    return (
        f"{better}: on {words.counted(found['items'], 'item')} the model reaches {words.show(metric, found['model'])}, its additive "
        f"projection {words.show(metric, found['projection'])} ({words.span(metric, found['interval'])}).{share}"
    )
