"""Which way a stream's effect on the answers takes."""

from __future__ import annotations

from collections.abc import Mapping

from plait.evaluation.schema import Evaluation
from plait.report import words
from plait.report.sections import Section

__all__ = ["Mediation"]


class Mediation(Section):
    """Shares of a stream's effect that go via another stream's tokens (activation patching)."""

    rank = 59
    template = """
{% if reason %}<p>Cannot be told apart: {{ reason }}.</p>{% else %}
<p class="note">A stream of each item is exchanged for that of another item. The tokens of a second stream, which have attended to it, are put back as they were: what is left of the change goes past them, the rest via them; both add up to 100&nbsp;%. That speaks of this model, not of the world.</p>
<div class="scroll"><table><thead><tr><th>exchanged</th><th>via the tokens of</th><th class="num">items</th><th class="num">change of outputs</th><th class="num">via</th><th class="num">95&nbsp;% interval</th><th class="num">these tokens alone</th></tr></thead><tbody>
{% for c in rows %}<tr><td class="name">{{ c.modality }}</td><td>{{ c.via }}</td><td class="num soft">{{ c["items"] }}</td><td class="num soft">{{ c.total }}</td><td class="num main">{{ c.share }}</td><td class="num soft">{{ c.interval }}</td><td class="num soft">{{ c.alone }}</td></tr>
{% endfor %}
</tbody></table></div>{% endif %}
"""

    def title(self, evaluation: Evaluation) -> str:
        return "Directly, or via another stream?"

    def content(self, evaluation: Evaluation) -> Mapping[str, object] | None:
        found = evaluation.get("mediation")
        if not found:
            return None
        rows = [
            {
                "modality": words.printable(row["modality"]),
                "via": words.printable(row["via"]),
                "items": row["items"],
                "total": words.show("mae", row["total"]),
                "share": words.show("accuracy", row["share"]["ratio"]),
                "interval": words.interval("accuracy", row["share"]["interval"]),
                "alone": words.show("accuracy", row["via_alone"]),
            }
            for row in found["rows"]
        ]
        return {"rows": rows, "reason": found["reason"]}
