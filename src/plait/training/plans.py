"""The plan of each modality: its own, or for a context that of the modality whose context it is."""

from __future__ import annotations

from collections.abc import Mapping

from plait.core.errors import ConfigError, raise_all
from plait.corpus.corpus import Corpus
from plait.examples.units.around import Around, base_of
from plait.recipe import Recipe, StreamPlan

__all__ = ["held_by", "plan_of", "with_contexts"]


def held_by(corpus: Corpus, recipe: Recipe, streams: Mapping[str, str]) -> dict[str, str]:
    """Those modalities of a recipe, each with its stream or tier, that some recording of a corpus has."""
    there = {name for entry in corpus.entries for name in entry.streams}
    tiers = {a.tier for entry in corpus.entries for a in entry.annotations}

    def held(modality: str, stream: str) -> bool:
        plan = plan_of(recipe, modality)
        if plan.boxes:
            return {plan.stream or base_of(modality), plan.boxes} <= there
        return stream in there or (plan.tier == stream and stream in tiers)

    return {m: s for m, s in streams.items() if held(m, s)}


def plan_of(recipe: Recipe, modality: str) -> StreamPlan:
    """The plan of a modality of a recipe. A context has the plan of its modality; only its encoder may be another.

    >>> streams = {"text": StreamPlan(feature="hashed_text"), "text.before": StreamPlan(encoder="linear")}
    >>> plan = plan_of(Recipe(corpus="m", task="classify", streams=streams), "text.before")
    >>> plan.feature, plan.encoder
    ('hashed_text', 'linear')
    """
    own, base = recipe.streams.get(modality), base_of(modality)
    held = recipe.streams.get(base)
    if base == modality or held is None:
        return own or StreamPlan()
    return held.model_copy(update={"encoder": own.encoder if own and own.encoder else held.encoder})


def with_contexts(streams: Mapping[str, str], around: Around | None, plans: Mapping[str, object]) -> dict[str, str]:
    """The stream of each modality, contexts included; the plans of a recipe are checked to fit.

    Args:
        streams: by modality, without contexts.
        around: the context that items have; None: none.
        plans: by modality.

    Raises:
        ConfigError: the plan of a context that there is not, or that sets more than the encoder.
    """
    found = dict(streams)
    for modality in around.modalities(list(streams)) if around else ():
        found[modality] = streams[base_of(modality)]
    problems = []
    for modality, plan in plans.items():
        if modality not in found:
            problems.append(f"streams.{modality}: items have no such context. Give task.context.")
        elif modality not in streams and isinstance(plan, StreamPlan) and plan != StreamPlan(encoder=plan.encoder):
            problems.append(f"streams.{modality}: a context may have another encoder, and nothing else of its own.")
    raise_all(ConfigError, problems)
    return found
