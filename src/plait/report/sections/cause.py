"""Interventions on the input, and shortcuts."""

from __future__ import annotations

from collections.abc import Mapping

from plait.evaluation.schema import Evaluation
from plait.report import words
from plait.report.sections import Section

__all__ = ["Cause"]


class Cause(Section):
    """Streams swapped for those of other recordings, and tests for shortcuts."""

    rank = 58
    template = """
{% if swaps %}<p class="note">A stream of each item is replaced by that of another recording; so often does the model then name another class. That speaks of causes within the model, not in the world. The last column tells how easily swapped items are told from real ones (nearest neighbour; 50&nbsp;%: not at all): far above that, the model was asked about what it never saw.</p>
<div class="scroll"><table><thead><tr><th>stream</th><th>from a recording of</th><th class="num">items</th><th class="num">answers changed</th><th class="num">95&nbsp;% interval</th><th class="num">told apart</th></tr></thead><tbody>
{% for c in swaps %}<tr><td class="name">{{ c.modality }}</td><td class="name">{{ c.condition }}</td><td class="num soft">{{ c["items"] }}</td><td class="num main">{{ c.changed }}</td><td class="num soft">{{ c.interval }}</td><td class="num soft">{{ c.two_sample }}</td></tr>
{% endfor %}
</tbody></table></div>{% endif %}
{% if shortcuts %}<h3 style="margin-top:1.4rem">Shortcuts</h3>
<p class="note">What should not matter, but is known of the items. It is a shortcut if it predicts the class of other groups by itself, and if the model is the surer of a class the more it points to it, among items of one class. Both at the 1&nbsp;% level, corrected for the number of facts. What is not in the manifest cannot be tested.</p>
<div class="scroll"><table class="breakdown"><thead><tr><th>fact</th><th class="num">predicts the class</th><th class="num">p</th><th class="num">used by the model</th><th class="num">p</th><th></th></tr></thead><tbody>
{% for c in shortcuts %}<tr><td class="name">{{ c.name }}</td><td class="num">{{ c.predicts }}</td><td class="num soft">{{ c.predicts_p }}</td><td class="num">{{ c.used }}</td><td class="num soft">{{ c.used_p }}</td><td class="{{ 'bad' if c.alarm else 'soft' }}">{{ "shortcut" if c.alarm else "" }}</td></tr>
{% endfor %}
</tbody></table></div>{% endif %}
"""

    def title(self, evaluation: Evaluation) -> str:
        return "What if it were another’s?" if evaluation.get("swaps") else "Does it take a shortcut?"

    def content(self, evaluation: Evaluation) -> Mapping[str, object] | None:
        swaps, shortcuts = evaluation.get("swaps", []), evaluation.get("shortcuts", [])
        if not swaps and not shortcuts:
            return None
        return {
            "swaps": [
                {
                    **row,
                    "changed": words.show("accuracy", row["changed"]),
                    "interval": words.interval("accuracy", row["interval"]),
                    "two_sample": words.show("accuracy", row["two_sample"]),
                }
                for row in swaps
            ],
            "shortcuts": [
                {
                    "name": words.printable(row["name"]),
                    "predicts": words.change("accuracy", row["predicts"]),
                    "predicts_p": words.p_value(row["predicts_p"]),
                    "used": words.show("correlation", row["used"]),
                    "used_p": words.p_value(row["used_p"]),
                    "alarm": row["alarm"],
                }
                for row in shortcuts
            ],
        }
