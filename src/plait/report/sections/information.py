"""What two modalities tell redundantly, each alone, and only together."""

from __future__ import annotations

from collections.abc import Mapping

from plait.evaluation.schema import Bits, Evaluation
from plait.report import words
from plait.report.sections import Section

__all__ = ["Information"]


class Information(Section):
    """Redundant, unique and synergistic bits of pairs of modalities."""

    rank = 24
    template = """
<p class="note">Bits about the class that the model’s answers give on items that it was not trained on: in both modalities alike, in one of them only, or only in both together. The figures are of what this model found, and so at most of what there is; a part slightly below 0 is 0. In brackets: what is found when the classes are shuffled, which should be 0.</p>
{% for pair in pairs %}<h3 style="margin-top:1.2rem">{{ pair.name }}</h3>
<p class="soft">{{ pair.text }}</p>
<div style="display:flex;height:1.1rem;max-width:46rem;border-radius:3px;overflow:hidden" role="img" aria-label="{{ pair.name }}">{% for part in pair.parts %}{% if part.width %}<span title="{{ part.name }}: {{ part.bits }} bits" style="width:{{ part.width }}%;background:var(--s{{ loop.index0 }})"></span>{% endif %}{% endfor %}</div>
<div class="scroll"><table class="breakdown"><thead><tr><th></th><th class="num">bits</th>{% if with_interval %}<th class="num">95&nbsp;% interval</th>{% endif %}<th class="num">shuffled</th></tr></thead><tbody>
{% for part in pair.parts %}<tr><td class="name"><span style="display:inline-block;width:.7em;height:.7em;border-radius:2px;background:var(--s{{ loop.index0 }})"></span> {{ part.name }}</td><td class="num main">{{ part.bits }}</td>{% if with_interval %}<td class="num soft">{{ part.interval }}</td>{% endif %}<td class="num soft">({{ part.null }})</td></tr>
{% endfor %}
</tbody></table></div>{% endfor %}
"""

    def title(self, evaluation: Evaluation) -> str:
        return "Redundant, unique, or only together?"

    def content(self, evaluation: Evaluation) -> Mapping[str, object] | None:
        rows = evaluation.get("information", [])
        if not rows:
            return None
        pairs = []
        for row in rows:
            a, b = row["modalities"]
            names = (
                "redundant: in both alike",
                f"unique: in {a} only",
                f"unique: in {b} only",
                "synergy: only in both",
            )
            parts: list[Bits] = [row["redundancy"], row["unique_first"], row["unique_second"], row["synergy"]]
            total = sum(max(part["bits"] or 0.0, 0.0) for part in parts) or 1.0
            pairs.append(
                {
                    "name": f"{a} and {b}",
                    "text": f"{a} alone {_bits(row['first'])}, {b} alone {_bits(row['second'])}, both {_bits(row['both'])} bits.",
                    "parts": [
                        {
                            "name": name,
                            "bits": _bits(part["bits"]),
                            "null": _bits(part["null"]),
                            "interval": words.interval("bits", part["interval"]),
                            "width": round(100 * max(part["bits"] or 0.0, 0.0) / total, 1),
                        }
                        for name, part in zip(names, parts)
                    ],
                }
            )
        return {"pairs": pairs, "with_interval": any(words.has_interval(row["synergy"]["interval"]) for row in rows)}


def _bits(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.2f}".replace("-", words.MINUS) if abs(value) >= 0.005 else "0.00"
