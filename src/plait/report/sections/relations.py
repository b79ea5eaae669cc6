"""Recall of relations, under each protocol."""

from __future__ import annotations

from collections.abc import Mapping

from plait.evaluation.schema import Evaluation
from plait.report import words
from plait.report.sections import Section, full_of

__all__ = ["Relations"]

KINDS = {"recall": "recall", "mean_recall": "mean recall over predicates", "zero_shot_recall": "zero-shot recall"}


class Relations(Section):
    """Recall of relations at 20, 50 and 100, with one predicate per pair and with many."""

    rank = 14
    template = """
<p class="note">A true relation counts if it is among the first 20, 50 or 100 answers of its item. Protocol: {{ protocol }}; k: how many predicates a pair may get. Zero-shot: relations whose two classes and predicate training does not have together.</p>
<div class="scroll"><table><thead><tr><th>protocol</th><th></th>{% for n in (20, 50, 100) %}<th class="num">@{{ n }}</th><th class="num soft">constant</th>{% endfor %}</tr></thead><tbody>
{% for row in rows %}<tr><td>{{ row.k }}</td><td class="name">{{ row.name }}</td>{% for value, constant in row.cells %}<td class="num">{{ value }}</td><td class="num soft">{{ constant }}</td>{% endfor %}</tr>{% endfor %}
</tbody></table></div>
"""

    def title(self, evaluation: Evaluation) -> str:
        return "Recall of relations"

    def content(self, evaluation: Evaluation) -> Mapping[str, object] | None:
        metrics, constant = full_of(evaluation)["metrics"], evaluation["baseline"]["metrics"]
        rows = []
        for k in ("k=1", "k=all"):
            for kind, name in KINDS.items():
                keys = [f"{kind}@{n} {k}" for n in (20, 50, 100)]
                if any(key not in metrics for key in keys):
                    return None
                cells = [
                    (words.show("recall", metrics[key]["mean"]), words.show("recall", constant.get(key)))
                    for key in keys
                ]
                rows.append({"k": k, "name": name, "cells": cells})
        return {"rows": rows, "protocol": _protocol(evaluation)}


def _protocol(evaluation: Evaluation) -> str:
    every = "pairs: all" in evaluation.get("recipe_yaml", "")
    return "all pairs of objects are asked" if every else "the annotated pairs are given"
