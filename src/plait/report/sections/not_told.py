"""What is not told of this task, and why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from plait.evaluation.schema import Evaluation
from plait.report.sections import Section

__all__ = ["NotTold"]


class NotTold(Section):
    """Which parts of the evaluation do not apply to the task, each with its reason; of several targets which is meant."""

    rank = 86
    template = """
<ul>{% for note in notes %}<li><b>{{ note[0] }}</b>: {{ note[1] }}</li>
{% endfor %}</ul>
"""

    def title(self, evaluation: Evaluation) -> str:
        return "What is not told, and why"

    def content(self, evaluation: Evaluation) -> Mapping[str, object] | None:
        notes = [*_notes(evaluation), *_of_explanations(evaluation)]
        return {"notes": notes} if notes else None


def _notes(evaluation: Evaluation) -> Iterator[tuple[str, str]]:
    if lead := evaluation["task"].get("lead"):
        yield "Other targets", f"classes, values, and how sure they are, are told of the first target, {lead}."
    if len(evaluation["modalities"]) > 1:
        if not any("shapley" in row for row in evaluation.get("contributions", [])):
            yield "Shapley values", "they need answers to every subset of the modalities."
        elif "item_shares" not in evaluation:
            yield "Shares of single items", "the metric says nothing of one item."
    if not _one_each(evaluation):
        yield (
            "Abstention and conformal sets",
            "they speak of one class or one value per item; instants, words and pairs of one item are not exchangeable.",
        )
    if evaluation["task"].get("ranks"):
        yield "Parts of the items", "a rank depends on how many rows are searched, so unequal parts cannot be compared."


def _of_explanations(evaluation: Evaluation) -> Iterator[tuple[str, str]]:
    if "dependence" not in evaluation:
        return
    if len(evaluation["modalities"]) > 1 and "additive" not in evaluation["dependence"]:
        yield "The additive projection", "it needs one answer per item, of outputs whose sums mean something."
    if not (evaluation.get("robustness") or {}).get("corruptions"):
        yield "Curves of damage", "with a language model of this size they would take hours."
    if not _one_each(evaluation):
        yield "Swaps and shortcuts", "they need a class of each item."


def _one_each(evaluation: Evaluation) -> bool:
    """Whether there is one class or one value per item."""
    timed = "rate" in evaluation["task"] or "rivals" in evaluation
    return not timed and (
        evaluation["task"].get("classes") is not None or "scatter" in evaluation or "lead" in evaluation["task"]
    )
