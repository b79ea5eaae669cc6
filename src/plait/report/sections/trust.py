"""How far to trust it: noise, missing streams, calibration, training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from markupsafe import Markup

from plait.evaluation.schema import Evaluation
from plait.report import plots, words
from plait.report.sections import Section

__all__ = ["Trust"]


class Trust(Section):
    """How far to trust it: noise, missing streams, calibration, training."""

    rank = 70
    template = """
<div class="grid">
{% for f in figures %}<figure><figcaption><h3>{{ f.title }}</h3><p>{{ f.text }}</p></figcaption>{{ f.svg }}</figure>
{% endfor %}
</div>
"""

    def title(self, evaluation: Evaluation) -> str:
        return "How far to trust it"

    def content(self, evaluation: Evaluation) -> Mapping[str, object] | None:
        figures = [f for f in _figures(evaluation) if f["svg"]]
        return {"figures": figures} if figures else None


def _figures(evaluation: Evaluation) -> list[dict[str, object]]:
    """Plots of half a page each, with a title and a caption."""
    found = _robustness(evaluation)
    calibration = evaluation.get("calibration")
    if calibration and calibration["bins"]:
        text = "On the dashed line confidence and accuracy agree; below it the model is too sure. Larger dots hold more items."
        error = words.show("accuracy", calibration["ece"], unit=False)
        text += f" Expected calibration error: {error} points."
        bound = calibration.get("ece_bound")
        if bound is not None:
            high = words.show("accuracy", bound, unit=False)
            text += f" A perfectly calibrated model of as many items shows up to {high} by chance (95 of 100)."
        found.append(_figure("Is it as sure as it should be?", text, plots.reliability(calibration["bins"], "rel")))
    scatter = evaluation.get("scatter")
    if scatter:
        text = "Answers against truth, all modalities together, first seed; on the dashed line they agree."
        found.append(_figure("Answers and truth", text, plots.scatter(scatter["target"], scatter["predicted"], "sca")))
    training = evaluation.get("training")
    if training and training["seeds"]:
        svg = plots.training(training["seeds"], evaluation["task"]["metric"], "tra")
        found.append(_figure("Training", "A line for each seed and fold.", svg))
    return found


def _robustness(evaluation: Evaluation) -> list[dict[str, object]]:
    robustness = evaluation.get("robustness")
    if not robustness:
        return []
    found = []
    pairs = dict.fromkeys((r["modality"], r["kind"]) for r in robustness.get("noise") or [])
    for i, (modality, kind) in enumerate(pairs):
        text = f"Noise on {modality} alone: {kind.replace('_', ' ')}.{_band(evaluation, robustness['noise'])}"
        found.append(_figure(f"When {modality} gets noisy", text, plots.noise(evaluation, modality, kind, f"noi{i}")))
    if robustness.get("missing"):
        text = f"Streams hidden at random, nothing retrained.{_band(evaluation, robustness['missing'])}"
        found.append(_figure("When streams are missing", text, plots.missing(evaluation, "mis")))
    return found


def _band(evaluation: Evaluation, rows: Sequence[Mapping[str, object]]) -> str:
    over = "seeds and folds" if len(evaluation["folds"]) > 1 else "seeds"
    return f" The band is one standard deviation over {over}." if any(r.get("sd") for r in rows) else ""


def _figure(title: str, text: str, svg: str) -> dict[str, object]:
    return {"title": title, "text": text, "svg": Markup(svg)}
