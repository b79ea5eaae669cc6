"""What each modality learnt while the model was trained, and warnings."""

from __future__ import annotations

from collections.abc import Mapping

from markupsafe import Markup

from plait.evaluation.schema import Evaluation, Training
from plait.report import learning
from plait.report.sections import Section

__all__ = ["Learning"]


class Learning(Section):
    """Each modality's own curves, its speed, and how far the fused answer leans on it; warnings first."""

    rank = 78
    template = """
{% if warnings %}<div class="caution" role="note">{% for w in warnings %}<p>{{ w }}</p>{% endfor %}</div>
{% elif sure %}<p>No modality was seen to learn nothing, to be memorised, or to starve the rest.</p>
{% else %}<p>Whether a modality learnt nothing, was memorised, or starved the rest cannot be told: the validation part has too few groups.</p>{% endif %}
<p class="note">Each modality’s own head, a line for each seed and fold. Training losses are those of the steps, with augmentation and dropout, so they may lie above those on validation. Speed: the likelihood of its answers on training items over that of the others. Leaning: how far the fused answer moves if the modality is hidden, as a share; a modality that says the same as another is little leaned on.</p>
<div class="grid">
{% for f in figures %}<figure><figcaption><h3>{{ f.title }}</h3></figcaption>{{ f.svg }}</figure>
{% endfor %}
</div>
"""

    def title(self, evaluation: Evaluation) -> str:
        return "While it was trained"

    def content(self, evaluation: Evaluation) -> Mapping[str, object] | None:
        training = evaluation.get("training")
        curves = training["seeds"] if training else []
        known = [m for m in evaluation["modalities"] if any(learning.column(c, f"valid_loss.{m}") for c in curves)]
        if not training or not known:
            return None
        metric = evaluation["task"]["metric"]
        figures = [{"title": m, "svg": Markup(learning.own(curves, m, metric, f"own{i}"))} for i, m in enumerate(known)]
        if len(known) > 1:
            figures.append({"title": "Side by side", "svg": Markup(learning.beside(curves, known, "beside"))})
        sure = any(v is not None for c in curves for m in known for v in learning.column(c, f"learnt_high.{m}"))
        return {"figures": figures, "warnings": _told(training), "sure": sure}


def _told(training: Training) -> list[str]:
    """Warnings as sentences, each with its replicate if there are several."""
    several = len(training["seeds"]) > 1
    return [
        f"From epoch {one['epoch']}{' of ' + one['replicate'] if several else ''} on: {one['text']}"
        for one in training.get("warnings", [])
    ]
