"""Planted clocks, and the clocks recovered from the signals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from plait.evaluation.schema import Evaluation
from plait.report.sections import FEW_ROWS, Section

__all__ = ["Clocks"]


class Clocks(Section):
    """Planted clocks, and the clocks recovered from the signals."""

    rank = 80
    template = """
{% macro clock_rows(list) %}
{% for c in list %}
{% set off = c.max_error_ms is number and (c.max_error_ms > 10 or c.max_error_ms < -10) %}
<tr><td class="name">{{ c.recording }}</td><td class="name">{{ c.device }}</td><td class="num">{{ page.number(c.planted_offset, 3) }}</td><td class="num main">{{ page.number(c.offset, 3) }}</td><td class="num">{{ page.number(c.planted_ppm, 1) }}</td><td class="num main">{{ page.number(c.drift_ppm, 1) }}</td><td class="num{% if off %} bad{% endif %}">{{ page.number(c.max_error_ms, 1) }}</td><td class="num soft">{{ page.number(c.confidence, 2) }}</td><td>{% if c.flagged %}<span class="flag">flagged</span>{% elif off %}<span class="flag bad">unnoticed</span>{% endif %}</td></tr>
{% endfor %}
{% endmacro %}
{% macro clock_head() %}<thead><tr><th>recording</th><th>device</th><th class="num">offset planted, s</th><th class="num">found</th><th class="num">drift planted, ppm</th><th class="num">found</th><th class="num">largest error, ms</th><th class="num">confidence</th><th></th></tr></thead>{% endmacro %}
<p>{% if sync.total %}{{ sync.good }} of {{ sync.total }} streams are within 10&nbsp;ms of the truth everywhere in their recording; {% endif %}{{ sync.flagged }} flagged as unsure{% if sync.unnoticed %}; <span class="bad">{{ sync.unnoticed }} wrong without being flagged</span>{% elif sync.total %}, none wrong without being flagged{% endif %}.</p>
<div class="scroll"><table class="clocks">{{ clock_head() }}<tbody>{{ clock_rows(sync.rows) }}</tbody></table></div>
{% if sync.more %}<details><summary>The other {{ sync.more | length }}, in order of error</summary><div class="scroll"><table class="clocks">{{ clock_head() }}<tbody>{{ clock_rows(sync.more) }}</tbody></table></div></details>{% endif %}
"""

    def title(self, evaluation: Evaluation) -> str:
        return "Clocks"

    def content(self, evaluation: Evaluation) -> Mapping[str, object] | None:
        found = _sync(evaluation.get("sync"))
        return {"sync": found} if found else None


def _sync(clocks: Sequence[Mapping[str, object]] | None) -> dict[str, object] | None:
    """How many clocks are right, and all of them, the worst first."""
    if not clocks:
        return None

    def error(clock: Mapping[str, object]) -> float:
        value = clock.get("max_error_ms")
        return abs(value) if isinstance(value, int | float) else -1.0

    # Without a known truth there is no error: such clocks come last, and count neither as right nor as wrong.
    ranked = sorted(clocks, key=lambda c: -error(c))
    known = [c for c in clocks if c.get("max_error_ms") is not None]
    return {
        "rows": ranked[:FEW_ROWS],
        "more": ranked[FEW_ROWS:],
        "total": len(known),
        "good": sum(error(c) <= 10 for c in known),
        "flagged": sum(bool(c.get("flagged")) for c in clocks),
        "unnoticed": sum(error(c) > 10 and not c.get("flagged") for c in known),
    }
