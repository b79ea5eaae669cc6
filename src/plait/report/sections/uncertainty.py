"""Abstention, and conformal sets."""

from __future__ import annotations

from collections.abc import Mapping

from markupsafe import Markup

from plait.evaluation.schema import Conformal, Evaluation
from plait.report import plots, words
from plait.report.sections import Section

__all__ = ["Uncertainty"]


class Uncertainty(Section):
    """Risk against coverage with abstention, and conformal sets or intervals."""

    rank = 72
    template = """
<div class="beside">
<div>
{% for line in lines %}<p>{{ line }}</p>
{% endfor %}
{% if note %}<p class="note">{{ note }}</p>{% endif %}
</div>
{% if curve %}<figure><figcaption><h3>If it may abstain</h3><p>The share of wrong answers if only the surest are given. Dashed: if all wrong answers were the least sure ones; dotted: if its confidence told nothing.</p></figcaption>{{ curve }}</figure>{% endif %}
</div>
"""

    def title(self, evaluation: Evaluation) -> str:
        return "How sure it may be"

    def content(self, evaluation: Evaluation) -> Mapping[str, object] | None:
        found, curve = evaluation.get("conformal"), evaluation.get("abstention")
        if not found and not curve:
            return None
        return {
            "lines": [*_of_curve(evaluation), *(_of_sets(evaluation, found) if found else [])],
            "note": NOTE if found else "",
            "curve": Markup(plots.abstention(curve, "abs")) if curve and curve["chance"] > 0 else "",
        }


NOTE = (
    "Split conformal prediction, on halves of the test items drawn anew. The promise is about further items of the same "
    "groups; of new groups nothing is promised, so each group is tested apart, by a threshold from all others."
)


def _of_curve(evaluation: Evaluation) -> list[str]:
    found = evaluation.get("abstention")
    if not found:
        return []
    shares = [(c, r) for c, r in zip(found["coverage"], found["risk"]) if c <= 0.8]
    if not shares:
        return []
    coverage, risk = shares[-1]
    part, at_all = words.show("accuracy", risk), words.show("accuracy", found["chance"])
    return [f"Of the surest {words.show('accuracy', coverage)} of the answers {part} are wrong; of all {at_all}."]


def _of_sets(evaluation: Evaluation, found: Conformal) -> list[str]:
    level = f"{100 * found['level']:.0f} %"
    size = "–" if found["size"] is None else f"{found['size']:.2f}"
    kind = f"Sets of {size} classes on average" if found["kind"] == "sets" else f"Intervals {size} wide"
    low, high = (words.show("accuracy", end, unit=False) for end in found["band"])
    told = [
        f"{kind} that are to hold the truth in {level} of cases hold it in {words.show('accuracy', found['coverage'])} "
        f"(mean of {found['draws']} halves; a single half lies between {low} and {high} by chance)."
    ]
    kept = found.get("kept")
    if kept:
        wide = "infinite" if kept["size"] is None else f"{kept['size']:.2f}"
        told.append(
            f"The thresholds that the run keeps for its answers, of {words.counted(kept['items'], 'held-out item')} and "
            f"{words.counted(kept['groups'], 'group')}, hold {words.show('accuracy', kept['coverage'])} of the test "
            f"items; size {wide}."
        )
    groups = found.get("by_group")
    if groups:
        worst = groups["worst"]
        spread = "" if groups["sd"] is None else f", standard deviation {words.show('accuracy', groups['sd'])}"
        told.append(
            f"On {words.counted(groups['groups'], 'group')}, each by the others: {words.show('accuracy', groups['coverage'])}"
            f"{spread}; least on {words.printable(worst['group'])}: {words.show('accuracy', worst['coverage'])}."
        )
    return told
