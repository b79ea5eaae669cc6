"""How the gain over a constant answer divides among the modalities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from plait.evaluation.schema import Evaluation, IntervalRow, ShareRow
from plait.report import words
from plait.report.sections import FEW_ROWS, Section, folded, has_intervals

__all__ = ["Shapley"]

UNITS = {"bits": "bits about the class", "negative error": "less error", "negative loss": "less loss"}


class Shapley(Section):
    """Shapley values of the modalities, their interactions, and shares by class and group."""

    rank = 22
    template = """
<p class="note">All modalities together are better than a constant answer by {{ total }} ({{ words.title_of(metric) }}). The Shapley value of a modality is its share: what it adds to those that are there already, mean over all orders in which they may come. The shares add up to the whole. A share is of this model, and not of what could be known from the modality; of two that tell the same, each gets half.</p>
<div class="scroll"><table class="breakdown"><thead><tr><th>modality</th><th class="num">share</th>{% if with_interval %}<th class="num">95&nbsp;% interval</th>{% endif %}<th class="bar wide-only"></th></tr></thead><tbody>
{% for c in shares %}<tr><td class="name">{{ c.name }}</td><td class="num main">{{ c.text }}</td>{% if with_interval %}<td class="num soft">{{ c.interval }}</td>{% endif %}<td class="bar wide-only"><span class="loss{% if c.below %} gain{% endif %}" style="width:{{ c.width }}%"></span></td></tr>
{% endfor %}
</tbody></table></div>
{% if pairs %}<h3 style="margin-top:1.4rem">Do they work together?</h3>
<p class="note">What two modalities bring together, less what each brings alone (interaction index of Grabisch &amp; Roubens). Above 0 they complement each other; below 0 one can stand for the other, or disturbs it.</p>
<div class="scroll"><table class="breakdown"><thead><tr><th>modalities</th><th class="num">interaction</th>{% if with_interval %}<th class="num">95&nbsp;% interval</th><th></th>{% endif %}</tr></thead><tbody>
{% for c in pairs %}<tr><td class="name">{{ c.name }}</td><td class="num main">{{ c.text }}</td>{% if with_interval %}<td class="num soft">{{ c.interval }}</td><td class="soft">{{ c.verdict }}</td>{% endif %}</tr>
{% endfor %}
</tbody></table></div>{% endif %}
{% for part in parts %}<details><summary>{{ part.title }}</summary>
<p class="note">Shares of single items, mean over each {{ part.kind }}; in {{ unit }}. {% if part.rows.more %}The {{ part.rows.shown | length }} of the least sum.{% endif %}</p>
<div class="scroll"><table class="breakdown"><thead><tr><th>{{ part.kind }}</th><th class="num">items</th>{% for m in modalities %}<th class="num">{{ m }}</th>{% endfor %}</tr></thead><tbody>
{% for c in part.rows.shown %}<tr><td class="name">{{ c.name }}</td><td class="num soft">{{ c["items"] }}</td>{% for v in c["values"] %}<td class="num">{{ page.number(v, 2) }}</td>{% endfor %}</tr>
{% endfor %}
</tbody></table></div></details>{% endfor %}
"""

    def title(self, evaluation: Evaluation) -> str:
        return "Shapley values"

    def content(self, evaluation: Evaluation) -> Mapping[str, object] | None:
        rows = [row for row in evaluation.get("contributions", []) if row.get("shapley") is not None]
        if not rows:
            return None
        metric, found = evaluation["task"]["metric"], evaluation.get("item_shares")
        largest = max(abs(row["shapley"] or 0.0) for row in rows) or 1.0
        shares = [
            {
                "name": row["modality"],
                "below": (row["shapley"] or 0.0) < 0,
                "width": round(100 * abs(row["shapley"] or 0.0) / largest, 1),
                **_told(metric, row["shapley"], row.get("shapley_interval")),
            }
            for row in sorted(rows, key=lambda row: -(row["shapley"] or 0.0))
        ]
        return {
            "shares": shares,
            "pairs": [
                {"name": " + ".join(row["modalities"]), **_told(metric, row["value"], row["interval"])}
                for row in evaluation.get("interactions", [])
            ],
            "total": words.change(metric, evaluation["gain_over_constant"]["gain"]).removeprefix("+"),
            "metric": metric,
            "with_interval": has_intervals(evaluation),
            "modalities": found["modalities"] if found else [],
            "unit": UNITS.get(found["unit"], words.title_of(found["unit"])) if found else "",
            "parts": [
                part
                for kind, rows in (("class", found["per_class"]), ("group", found["per_group"]))
                if (part := _part(kind, rows))
            ]
            if found
            else [],
        }


def _told(metric: str, value: float | None, span: IntervalRow | None) -> dict[str, object]:
    verdict = "may be chance"
    if words.significant(span):
        verdict = "more than the sum" if (value or 0.0) > 0 else "less than the sum"
    return {
        "text": words.change(metric, value),
        "interval": words.span(metric, span).removeprefix("95 % interval ") if words.has_interval(span) else "",
        "verdict": verdict if words.has_interval(span) else "",
    }


def _part(kind: str, rows: Sequence[ShareRow]) -> dict[str, object] | None:
    """A folded table, the class or group of the least sum first; none of one row."""
    ranked = sorted(rows, key=lambda row: sum(value or 0.0 for value in row["values"]))
    if len(ranked) < 2:
        return None
    return {"kind": kind, "title": f"By {kind}", "rows": folded(ranked, 3 * FEW_ROWS)}
