"""Whether attributions in time are true of the model."""

from __future__ import annotations

from collections.abc import Mapping

from plait.evaluation.schema import Evaluation, Faithfulness, IntervalRow
from plait.report import words
from plait.report.sections import Section

__all__ = ["Faithful"]

NAMES = {"integrated_gradients": "integrated gradients"}


class Faithful(Section):
    """Deletion and insertion by attribution methods, against random orders and a model with random weights."""

    rank = 57
    template = """
<p class="note">Each stream’s time is divided into twenty parts. By an explanation, the parts that matter most are hidden first (deletion: the answer should go soon, low is good) or shown first (insertion: it should come soon, high is good). Explained is the class, value or text of each item; of answers over time one event or word, drawn at random; of a scene graph the surest relation, whose parts are objects. The figures are what is left of the answer, mean over the curve. An explanation is only worth something if it is better than a random order, and if the same method on a model with random weights is not.</p>
<div class="scroll"><table><thead><tr><th>method</th><th class="num">deletion</th><th class="num">random order</th><th class="num">random weights</th><th class="num">insertion</th><th class="num">random order</th><th></th></tr></thead><tbody>
{% for c in rows %}<tr><td class="name">{{ c.name }}</td><td class="num main">{{ c.deletion }}</td><td class="num">{{ c.random_deletion }}</td><td class="num">{{ c.foreign }}</td><td class="num main">{{ c.insertion }}</td><td class="num">{{ c.random_insertion }}</td><td class="soft">{{ c.verdict }}</td></tr>
{% endfor %}
</tbody></table></div>
<p class="note">{{ rows[0]["items"] }} items. A verdict needs 95&nbsp;% intervals over groups that leave out 0.</p>
"""

    def title(self, evaluation: Evaluation) -> str:
        return "Are explanations true of the model?"

    def content(self, evaluation: Evaluation) -> Mapping[str, object] | None:
        found = evaluation.get("faithfulness", [])
        return {"rows": [_row(one) for one in found]} if found else None


def _row(one: Faithfulness) -> dict[str, object]:
    told = {
        name: f"{value:.2f}"
        for name, value in (
            ("deletion", one["deletion"]),
            ("insertion", one["insertion"]),
            ("random_deletion", one["random_deletion"]),
            ("random_insertion", one["random_insertion"]),
            ("foreign", one["foreign_deletion"]),
        )
    }
    return {"name": NAMES.get(one["method"], one["method"]), "items": one["items"], "verdict": _verdict(one), **told}


def _verdict(one: Faithfulness) -> str:
    if not words.has_interval(one["deletion_gain"]):
        return words.interval("", one["deletion_gain"])
    if not (_above(one["deletion_gain"]) and _above(one["insertion_gain"])):
        return "not shown to be better than random"
    if _above(one["foreign_gain"]) and one["foreign_deletion"] <= one["deletion"]:
        return "better than random, but not of this model alone"
    return "better than random"


def _above(row: IntervalRow) -> bool:
    return row["low"] is not None and row["low"] > 0
