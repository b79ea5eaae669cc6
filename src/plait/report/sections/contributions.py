"""What each modality adds to the others."""

from __future__ import annotations

from collections.abc import Mapping

from plait.evaluation.schema import Ends, Evaluation, IntervalRow
from plait.report import words
from plait.report.sections import Section, has_intervals, sign_of

__all__ = ["Contributions"]


class Contributions(Section):
    """What each modality adds to the others."""

    rank = 20
    template = """
<p class="note">How {{ words.title_of(metric) }} changes when one modality is left out, on the same items. Of two modalities with the same information each can be left out at no cost. So a small loss does not mean that a modality is worthless: look at it alone.{% if with_interval %} A modality is said to help or to harm only if the 95&nbsp;% interval leaves out 0.{% endif %}</p>
<div class="scroll"><table class="brings"><thead><tr><th>without</th><th class="num">change</th>{% if with_interval %}<th class="num">95&nbsp;% interval</th><th></th>{% endif %}<th class="bar wide-only"></th><th class="num">alone</th></tr></thead><tbody>
{% for c in contribution %}<tr><td class="name">{{ c.modality }}</td><td class="num main">{{ c.text }}</td>{% if with_interval %}<td class="num soft">{{ c.interval }}</td><td class="soft verdict">{{ c.verdict }}</td>{% endif %}<td class="bar wide-only"><span class="loss{% if c.harms %} gain{% endif %}" style="width:{{ c.width }}%"></span></td><td class="num soft">{{ c.alone }}</td></tr>{% endfor %}
</tbody></table></div>
"""

    def title(self, evaluation: Evaluation) -> str:
        return "What each one brings"

    def content(self, evaluation: Evaluation) -> Mapping[str, object] | None:
        rows = _contribution(evaluation)
        if not rows:
            return None
        return {
            "contribution": rows,
            "metric": evaluation["task"]["metric"],
            "with_interval": has_intervals(evaluation),
        }


def _contribution(evaluation: Evaluation) -> list[dict[str, object]]:
    """What each modality adds to the others, with interval, and its value alone; the most needed first."""
    metric, sign = evaluation["task"]["metric"], sign_of(evaluation)
    found: list[dict[str, object]] = []
    rows = evaluation.get("contributions") or []
    alone = {r["modalities"][0]: words.main(evaluation, r) for r in evaluation["subsets"] if len(r["modalities"]) == 1}
    largest = max((abs(r["gain"]) for r in rows if r["gain"] is not None), default=0.0) or 1.0
    for row in rows:
        gain, span = row["gain"], row["interval"]
        # In the metric's own direction: an error grows when a modality that helps is left out.
        ends = sorted(-sign * end for end in (span["low"], span["high"]) if end is not None)
        changed: IntervalRow | None = None
        if len(ends) == 2:
            changed = {**span, "low": ends[0], "high": ends[1]}
        found.append(
            {
                "modality": row["modality"],
                "harms": gain is not None and gain < 0,
                "text": words.change(metric, None if gain is None else -sign * gain),
                "interval": words.span(metric, changed).removeprefix("95 % interval ") if changed else "",
                "verdict": _verdict(gain, span),
                "width": 0.0 if gain is None else round(100 * abs(gain) / largest, 1),
                "alone": words.show(metric, alone.get(row["modality"])),
            }
        )
    return found


def _verdict(gain: float | None, span: Ends) -> str:
    """Whether a modality helps, as far as its interval tells."""
    if gain is None or not words.has_interval(span):
        return ""
    if words.significant(span):
        return "helps" if gain > 0 else "harms"
    return "may be chance"
