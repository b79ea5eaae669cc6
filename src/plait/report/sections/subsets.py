"""Every subset of modalities with its interval, and the constant answer."""

from __future__ import annotations

from collections.abc import Mapping

from markupsafe import Markup

from plait.evaluation.schema import Evaluation, SubsetRow
from plait.report import plots, words
from plait.report.sections import FEW_ROWS, Section, full_of, has_intervals, has_sd, sign_of

FEW_MODALITIES = 4

__all__ = ["Subsets"]


class Subsets(Section):
    """Every subset of modalities with its interval, and the constant answer."""

    rank = 10
    template = """
{% macro track(r) %}
<span class="track" aria-hidden="true">{% if base is not none %}<i class="base" style="left:{{ base }}%"></i>{% endif %}{% if r.low is not none and r.high is not none %}<i class="span" style="left:{{ r.low }}%;width:{{ r.high - r.low }}%"></i>{% endif %}{% if r.at is not none %}<i class="dot" style="left:{{ r.at }}%"></i>{% endif %}</span>
{% endmacro %}
{% macro subset_rows(list) %}
{% for r in list %}
<tr{% if r.whole %} class="whole"{% endif %}>
{% for m in modalities %}<td class="in">{% if m in r.modalities %}<b class="yes" title="{{ m }}"></b><span class="hide">{{ m }} </span>{% else %}<b class="no"></b>{% endif %}</td>{% endfor %}
<td class="num main">{{ r.value }}</td>{% if with_sd %}<td class="num soft wide-only">{{ r.sd }}</td>{% endif %}{% if with_interval %}<td class="num soft">{{ r.interval }}</td>{% endif %}<td class="bar">{{ track(r) }}</td>{% if with_answered %}<td class="num soft wide-only">{{ r.answered if r.answered is not none else "–" }}</td>{% endif %}

</tr>
{% endfor %}
{% endmacro %}
{% macro subset_head() %}
<thead><tr>{% for m in modalities %}<th class="in" scope="col" title="{{ m }}"><span>{{ m | short(16) }}</span></th>{% endfor %}
<th class="num" scope="col">{{ words.title_of(metric) }}</th>{% if with_sd %}<th class="num wide-only" scope="col">sd</th>{% endif %}{% if with_interval %}<th class="num" scope="col">95&nbsp;% interval</th>{% endif %}

<th class="bar" scope="col"><span class="ends"><span>{{ words.show(metric, axis.low) }}</span><span>{{ words.show(metric, axis.high) }}</span></span></th>{% if with_answered %}<th class="num wide-only" scope="col">answered</th>{% endif %}</tr></thead>
{% endmacro %}
<p class="note">One model, nothing retrained: modalities are hidden from it when it answers.{% if e.seeds | length > 1 %} Values are means over seeds.{% endif %}{% if with_interval %} The bar is the 95&nbsp;% interval, over groups.{% endif %} The dashed line is the constant answer.{% if not e.task.higher_is_better %} Lower is better.{% endif %}{% if with_answered %} <span class="wide-only">“Answered” counts the items that have at least one of the modalities; for the others the model gives its prior answer, and they are scored too.</span>{% endif %}</p>
{% if upset %}<figure class="scroll upset">{{ upset }}</figure>{% endif %}
<div class="scroll"><table>{{ subset_head() }}<tbody>
<tr class="baseline"><td colspan="{{ modalities | length }}">constant</td><td class="num main">{{ words.show(metric, e.baseline.metrics.get(metric)) }}</td>{% if with_sd %}<td class="wide-only"></td>{% endif %}{% if with_interval %}<td></td>{% endif %}<td class="bar">{{ track({"low": none, "high": none, "at": none}) }}</td>{% if with_answered %}<td class="wide-only"></td>{% endif %}

</tr>
{{ subset_rows(rows) }}
</tbody></table></div>
{% if more_rows %}<details><summary>The other {{ more_rows | length }} subsets</summary><div class="scroll"><table>{{ subset_head() }}<tbody>{{ subset_rows(more_rows) }}</tbody></table></div></details>{% endif %}
<details><summary>All metrics{% if modalities | length > 1 %} of all modalities together{% endif %}</summary><div class="scroll"><table><thead><tr><th>metric</th><th class="num">{% if with_sd %}mean{% else %}value{% endif %}</th>{% if with_sd %}<th class="num">sd</th>{% endif %}<th class="num">constant answer</th>{% if with_sd %}<th class="num">each seed</th>{% endif %}</tr></thead><tbody>
{% for name, m in full.metrics.items() %}<tr><td>{{ words.title_of(name) }}</td><td class="num main">{{ words.show(name, m.mean) }}</td>{% if with_sd %}<td class="num soft">{{ words.show(name, m.sd, unit=false) }}</td>{% endif %}<td class="num soft">{{ words.show(name, e.baseline.metrics.get(name)) }}</td>{% if with_sd %}<td class="num soft">{% for v in m.per_seed %}{{ words.show(name, v, unit=false) }}{% if not loop.last %} · {% endif %}{% endfor %}</td>{% endif %}</tr>{% endfor %}
</tbody></table></div></details>
"""

    def title(self, evaluation: Evaluation) -> str:
        return "Every subset of modalities" if len(full_of(evaluation)["modalities"]) > 1 else "The result"

    def content(self, evaluation: Evaluation) -> Mapping[str, object] | None:
        metric, full = evaluation["task"]["metric"], full_of(evaluation)
        rows, more = _rows(evaluation)
        return {
            "metric": metric,
            "full": full,
            "modalities": full["modalities"],
            "rows": rows,
            "more_rows": more,
            "with_sd": has_sd(evaluation),
            "with_interval": has_intervals(evaluation),
            "with_answered": any(r["answered"] not in (None, evaluation["items"]) for r in [*rows, *more]),
            "axis": _axis(evaluation),
            "base": _place(evaluation, evaluation["baseline"]["metrics"].get(metric)),
            "upset": Markup(plots.upset(evaluation, _ranked(evaluation), "upset")) if _many(evaluation) else "",
        }


def _many(evaluation: Evaluation) -> bool:
    return len(evaluation["subsets"][-1]["modalities"]) > FEW_MODALITIES


def _ranked(evaluation: Evaluation) -> list[SubsetRow]:
    """Subsets, the best first; those without a value last."""
    sign = sign_of(evaluation)

    def key(row: SubsetRow) -> tuple[bool, float]:
        value = words.main(evaluation, row)
        return value is None, 0.0 if value is None else -sign * value

    return sorted(evaluation["subsets"], key=key)


def _rows(evaluation: Evaluation) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    """The rows shown, and the rows folded away if there are many: all but the best, the full set and the singles."""
    if not _many(evaluation):
        return [_row(evaluation, r) for r in evaluation["subsets"]], []
    ranked = _ranked(evaluation)
    whole = len(evaluation["subsets"][-1]["modalities"])
    shown = [r for i, r in enumerate(ranked) if i < FEW_ROWS or len(r["modalities"]) in (1, whole)]
    return [_row(evaluation, r) for r in shown], [_row(evaluation, r) for r in ranked if r not in shown]


def _row(evaluation: Evaluation, row: SubsetRow) -> dict[str, object]:
    metric = evaluation["task"]["metric"]
    found, span = row["metrics"].get(metric), row.get("interval")
    mean, sd = (found["mean"], found["sd"]) if found else (None, None)
    low, high = _ends(row)
    return {
        "modalities": row["modalities"],
        "whole": len(row["modalities"]) == len(evaluation["subsets"][-1]["modalities"]),
        "value": words.show(metric, mean),
        "sd": "" if sd is None else f"± {words.show(metric, sd, unit=False)}",
        "interval": words.interval(metric, span),
        "answered": row.get("answered"),
        "at": _place(evaluation, mean),
        "low": _place(evaluation, low),
        "high": _place(evaluation, high),
    }


def _ends(row: SubsetRow) -> tuple[float | None, float | None]:
    span = row.get("interval")
    return (span["low"], span["high"]) if span else (None, None)


def _axis(evaluation: Evaluation) -> dict[str, float]:
    """The range of the table's bars: all intervals and the baseline; shares keep within 0 and 1."""
    metric = evaluation["task"]["metric"]
    values = [evaluation["baseline"]["metrics"].get(metric)]
    for row in evaluation["subsets"]:
        values += [words.main(evaluation, row), *_ends(row)]
    known = [v for v in values if v is not None] or [0.0, 1.0]
    low, high = min(known), max(known)
    room = 0.04 * (high - low) or 0.05  # never 0 wide: places on the axis are divided by its width
    low, high = low - room, high + room
    # The room beside the bars must not suggest shares below 0 or above 1.
    if words.in_percent(metric):
        low, high = max(low, 0.0), min(high, 1.0)
    return {"low": low, "high": high}


def _place(evaluation: Evaluation, value: float | None) -> float | None:
    """The place of a value on the table's bars, percent."""
    if value is None:
        return None
    axis = _axis(evaluation)
    return round(100 * (value - axis["low"]) / (axis["high"] - axis["low"]), 2)
