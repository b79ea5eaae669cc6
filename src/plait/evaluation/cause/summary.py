"""What the facts of a corpus tell of causes: a claim about the world, and where errors are the same."""

from __future__ import annotations

from collections.abc import Sequence

from plait.core.errors import ConfigError
from plait.core.parts import suggest
from plait.evaluation.cause.claim import Claim, claim_of
from plait.evaluation.cause.invariance import GROUP, invariance_of
from plait.evaluation.facts import about_of, item_facts
from plait.evaluation.replicates import ReplicateOutput, Scored, pools_of
from plait.training.experiment import Experiment

__all__ = ["Causes"]


class Causes:
    """Args:
        experiment: the corpus and its items; a claim is about all of them, of whatever part.
        claim: what the user names.
        environments: see `invariance_of`.

    Raises:
        ConfigError: a fact that no item has, or of a kind that is not needed; before anything is scored.
    """

    def __init__(self, experiment: Experiment, claim: Claim, environments: str = GROUP) -> None:
        self.facts, self.environments = item_facts(experiment), environments
        known = {name for own in self.facts.values() for name in own}
        if environments not in (GROUP, *known):
            raise ConfigError(f"environments: no item has the fact {environments!r}. {suggest(environments, known)}")
        target, items = about_of(experiment)["target"], experiment.items.items
        told = {i.id: {**self.facts[i.id], **({target: i.target} if target else {})} for i in items}
        self.claim = claim_of(claim, told, {i.id: i.group for i in items})

    def sections(self, outputs: Sequence[ReplicateOutput], task: Scored) -> dict[str, object]:
        """The sections of an evaluation."""
        invariance = invariance_of(pools_of(outputs, task), self.facts, self.environments)
        return {"claim": self.claim, **({} if invariance is None else {"invariance": invariance})}
