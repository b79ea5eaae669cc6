"""Forecasts: cheap rivals, and whether another stream helps."""

from __future__ import annotations

from collections.abc import Mapping

from plait.evaluation.schema import Evaluation, Ratio
from plait.report import words
from plait.report.sections import Section, full_of

__all__ = ["Forecasts"]


class Forecasts(Section):
    """Forecasts: cheap rivals, and whether another stream helps."""

    rank = 15
    template = """
<div class="scroll"><table><thead><tr><th>forecast</th>{% for name in metrics %}<th class="num">{{ words.title_of(name) }}</th>{% endfor %}</tr></thead><tbody>
{% for row in rows %}<tr><td class="name">{{ row.name }}</td>{% for cell in row.cells %}<td class="num">{{ cell }}</td>{% endfor %}</tr>{% endfor %}
</tbody></table></div>
{% for line in verdicts %}<p>{{ line }}</p>{% endfor %}
"""

    def title(self, evaluation: Evaluation) -> str:
        return "Beside cheap forecasts"

    def content(self, evaluation: Evaluation) -> Mapping[str, object] | None:
        rivals = evaluation.get("rivals")
        if not rivals:
            return None
        full = full_of(evaluation)["metrics"]
        told = {"all streams": {n: m["mean"] for n, m in full.items()}, **{n: r["metrics"] for n, r in rivals.items()}}
        rows = [
            {"name": name.replace("_", " "), "cells": [words.show(m, own.get(m)) for m in full]}
            for name, own in told.items()
        ]
        return {"metrics": list(full), "rows": rows, "verdicts": verdict_lines(evaluation)}


def verdict_lines(evaluation: Evaluation) -> list[str]:
    """Whether another stream helps, in a sentence for each stream that is forecast."""
    lines = []
    for verdict in evaluation.get("verdicts") or []:
        yes = f"yes ({', '.join(verdict['which']) or 'which one cannot be told'})" if verdict["helps"] else "no"
        lines.append(
            f"Does another stream help to forecast {verdict['target']}? {yes}: the loss of all over that of its own "
            f"past is {_told(verdict)}."
        )
        if deletion := verdict.get("deletion"):
            lines[-1] += (
                f" Without {' or '.join(verdict['which'])} the forecast moves {_told(deletion)} times as far as without "
                "one of the others."
            )
    return lines


def _told(ratio: Ratio) -> str:
    value, row = ratio["ratio"], ratio["interval"]
    if value is None:
        return "not defined"
    ends = f" (95 % interval {row['low']:.3f} to {row['high']:.3f})" if words.has_interval(row) else ""
    return f"{value:.3f}{ends or ' (no interval: ' + (row.get('reason') or '') + ')'}"
