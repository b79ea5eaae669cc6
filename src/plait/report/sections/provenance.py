"""How it was made: seeds, versions, recipe, and how intervals were computed."""

from __future__ import annotations

from collections.abc import Mapping

from plait.evaluation.schema import Evaluation
from plait.report.sections import Section, full_of, has_intervals, has_sd

__all__ = ["Provenance"]


class Provenance(Section):
    """How it was made: seeds, versions, recipe, and how intervals were computed."""

    rank = 100
    template = """
{{ page.tree({"random seeds": e.seeds}) }}
{% if e.versions %}{{ page.tree(e.versions) }}{% endif %}
{% if e.recipe_yaml %}<details><summary>The recipe in full</summary><pre>{{ e.recipe_yaml }}</pre></details>{% endif %}
{% if e.intervals %}<p class="note">{{ words.interval_note(e.intervals) }}{% if with_interval %} The same groups are left out in turn in every seed and subset, so differences are paired (MacKinnon, Nielsen &amp; Webb 2023; degrees of freedom after Bell &amp; McCaffrey 2002; shares by their logit, correlations by Fisher’s z). Intervals are about new groups;{% if with_sd %} the spread over seeds is given separately, as sd.{% else %} how much another seed would change is not known.{% endif %}{% endif %}{% if modalities | length > 1 %} The best single modality is picked on these same items, which flatters it a little.{% endif %}</p>{% endif %}
"""

    def title(self, evaluation: Evaluation) -> str:
        return "How it was made"

    def content(self, evaluation: Evaluation) -> Mapping[str, object] | None:
        return {
            "modalities": full_of(evaluation)["modalities"],
            "with_sd": has_sd(evaluation),
            "with_interval": has_intervals(evaluation),
        }
