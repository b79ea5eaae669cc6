"""Whether answers depend on what was recorded at their own time."""

from __future__ import annotations

from collections.abc import Mapping

from plait.evaluation.schema import Evaluation
from plait.report.sections import Section

__all__ = ["Evidence"]


class Evidence(Section):
    """The deletion test (`plait.evaluation.deletion`)."""

    rank = 55
    template = """
<p>{{ verdict }}</p>
<div class="scroll"><table class="breakdown"><thead><tr><th>removed</th><th class="num">change of the answer</th></tr></thead><tbody>
<tr><td>all streams during the answer</td><td class="num">{{ "%.3f" | format(d.inside) }}</td></tr>
<tr><td>all streams as long elsewhere</td><td class="num">{{ "%.3f" | format(d.elsewhere) }}</td></tr>
</tbody></table></div>
<p class="note">One answer of each of {{ d.answers }} items, drawn at random; the change is the divergence of the output during the
answer, averaged over its instants.</p>
"""

    def title(self, evaluation: Evaluation) -> str:
        return "Evidence at the time of the answer"

    def content(self, evaluation: Evaluation) -> Mapping[str, object] | None:
        found = evaluation.get("deletion")
        if found is None:
            return None
        low, high, ratio = found["interval"]["low"], found["interval"]["high"], found["ratio"]
        if ratio is None:
            return {"d": found, "verdict": "Nothing that was removed elsewhere changed an answer."}
        ends = "" if low is None or high is None else f" (95 % interval {low:.1f} to {high:.1f})"
        known = low is not None and low > 1
        verdict = (
            f"Removing the evidence at the time of an answer changes it {ratio:.1f} times as much as removing as much "
            f"elsewhere{ends}."
        )
        return {"d": found, "verdict": verdict if known else f"{verdict} The times are not shown to be right."}
