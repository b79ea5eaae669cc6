"""Curves of the metric as streams are damaged."""

from __future__ import annotations

from collections.abc import Mapping

from markupsafe import Markup

from plait.evaluation.schema import CorruptionCurve, Evaluation
from plait.report import plots, words
from plait.report.sections import Section

__all__ = ["Corruptions"]

LEVEL = 0.05
"""Of all curves together, how often one may be called worse by chance."""

HOLM = "p-values corrected for their number, Holm"

NAMES = {
    "missing_stream": "A stream is missing",
    "missing_span": "A span is missing",
    "dropped_rows": "Observations are lost",
    "low_rate": "A slower device",
    "shift": "A stream is late",
    "jitter": "Times are off",
    "feature_noise": "Noise on the features",
}


class Corruptions(Section):
    """Robustness to damage: curves for each kind and stream, areas against late fusion and the best single stream."""

    rank = 74
    template = """
<p class="note">Damage to what the model reads{% if signals %}, and to the raw signals before features are taken of them{% endif %}, nothing retrained; the same for every seed. Solid: the model, with one stream damaged or all of them. Dashed: late fusion, the mean of its modalities’ own heads, on the same damage. {{ summary }}</p>
<div class="grid">
{% for f in figures %}<figure><figcaption><h3>{{ f.title }}</h3></figcaption>{{ f.svg }}</figure>
{% endfor %}
</div>
{% if refused %}<p class="note">{{ refused }}</p>{% endif %}
{% if rows %}<details><summary>Areas: mean over the levels, no damage among them</summary>
<div class="scroll"><table><thead><tr><th>damage</th><th>stream</th><th class="num">model</th>{% if singles %}<th class="num">best single stream</th>{% endif %}<th class="num">over late fusion</th><th class="num">95&nbsp;% interval</th>{% if tested %}<th class="num">p, corrected</th>{% endif %}</tr></thead><tbody>
{% for c in rows %}<tr><td class="name">{{ c.kind }}</td><td>{{ c.modality }}</td><td class="num main">{{ c.area }}</td>{% if singles %}<td class="num">{{ c.single }}</td>{% endif %}<td class="num">{{ c.gain }}</td><td class="num soft">{{ c.interval }}</td>{% if tested %}<td class="num soft">{{ c.p }}</td>{% endif %}</tr>
{% endfor %}
</tbody></table></div></details>{% endif %}
"""

    def title(self, evaluation: Evaluation) -> str:
        return "When streams are damaged"

    def content(self, evaluation: Evaluation) -> Mapping[str, object] | None:
        found = (evaluation.get("robustness") or {}).get("corruptions", [])
        if not found:
            return None
        metric = evaluation["task"]["metric"]
        kinds = dict.fromkeys(map(_name, found))
        alike = [[row for row in found if _name(row) == name] for name in kinds]
        figures = [
            {"title": _title(rows), "svg": Markup(plots.corruption(rows, metric, f"dam{i}"))}
            for i, rows in enumerate(alike)
        ]
        return {
            "figures": figures,
            "rows": [_row(metric, row) for row in found],
            "summary": _summary(metric, found),
            "tested": any(row.get("p_corrected") is not None for row in found),
            "singles": any("single" in row for row in found),
            "signals": any(row.get("stage") == "signal" for row in found),
            "refused": _refused(evaluation),
        }


def _name(row: CorruptionCurve) -> str:
    """The damage as a heading."""
    if row.get("stage") == "signal":
        return f"Raw signal: {row['kind'].replace('_', ' ')}"
    return NAMES.get(row["kind"], row["kind"].replace("_", " "))


def _title(rows: list[CorruptionCurve]) -> str:
    """A single line has no legend, so its stream is in the title."""
    return _name(rows[0]) + (f" ({words.printable(rows[0]['modality'] or 'all')})" if len(rows) == 1 else "")


def _refused(evaluation: Evaluation) -> str:
    """The noises that could not be made, in a sentence."""
    found = evaluation["robustness"].get("refused", [])
    told = [words.printable(f"{one['kind']} on {one['modality']}: {one['reason']}") for one in found]
    return f"Not tried: {' '.join(told)}" if found else ""


def _row(metric: str, row: CorruptionCurve) -> dict[str, str]:
    gain = row.get("gain_over_late")
    return {
        "kind": _name(row),
        "modality": row["modality"] or "all",
        "area": words.show(metric, row["area"]),
        "single": _single(metric, row),
        "gain": words.change(metric, gain) if gain is not None else "–",
        "interval": words.span(metric, row.get("interval")).removeprefix("95 % interval ") if gain is not None else "",
        "p": words.p_value(row.get("p_corrected")),
    }


def _single(metric: str, row: CorruptionCurve) -> str:
    single = row.get("single")
    if not single:
        return "–"
    mean = sum(single["values"]) / len(single["values"])
    return f"{words.show(metric, mean)} ({words.printable(single['modality'])})"


def _summary(metric: str, found: list[CorruptionCurve]) -> str:
    gains = [row["gain_over_late"] for row in found if "gain_over_late" in row]
    if not gains:
        return ""
    mean = sum(gains) / len(gains)
    size = words.change(metric, abs(mean)).removeprefix("+")
    told = f"Over all damage the model is {'better' if mean >= 0 else 'worse'} than late fusion by {size}"
    return f"{told}{_where_worse(found)}."


def _where_worse(found: list[CorruptionCurve]) -> str:
    """The curves that are worse than late fusion by more than chance; of many, some have an interval below 0 by it."""
    tested = [row for row in found if row.get("p_corrected") is not None]
    if not tested:
        return "; whether it is significantly worse anywhere cannot be told"
    behind = [row for row in tested if row["gain_over_late"] < 0]
    names = [_where(row) for row in behind if (row["p_corrected"] or 0.0) <= LEVEL]
    if names:
        return f"; significantly worse in {len(names)} of {len(tested)} curves ({HOLM}): {words.listed(names)}"
    told = f"; significantly worse in none of {words.counted(len(tested), 'curve')} ({HOLM})"
    alone = sum((row["p"] or 0.0) <= LEVEL for row in behind)
    chance = f"{LEVEL / 2 * len(tested):.1f} by chance alone"
    return told + (f"; {alone} would be, each looked at by itself, as are {chance}" if alone else "")


def _where(row: CorruptionCurve) -> str:
    return f"{_name(row).lower()} ({words.printable(row['modality'] or 'all')})"
