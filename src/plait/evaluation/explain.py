"""What takes more answers than the table of subsets: exchanged modalities, swaps, explanations in time."""

from __future__ import annotations

from plait.evaluation.cause.mediation import Mediated, fusion_of, mediable, mediated, mediation_of
from plait.evaluation.cause.swaps import Swap, swap_rows, swappable, swaps_of
from plait.evaluation.contribution.bank import Bank
from plait.evaluation.contribution.dependence import Exchanged, dependence_of
from plait.evaluation.examined import Examined
from plait.evaluation.explanation.summary import Tried, faithfulness_of, tried_of
from plait.evaluation.replicates import ReplicateOutput
from plait.tasks import Task

__all__ = ["Explanations"]


class Explanations:
    """Gathered over the replicates of a run, as far as their task can be asked.

    Args:
        replicates: how many there are: they share the items, draws and pairs that one model would be asked for.
    """

    def __init__(self, replicates: int = 1) -> None:
        self._replicates = replicates
        self._exchanged, self._swaps = list[Exchanged](), list[Swap]()
        self._tried = list[Tried]()
        self._mediated, self._fusion = list[Mediated](), ""

    def add(self, one: Examined, output: ReplicateOutput) -> None:
        """Ask one replicate.

        Args:
            one: its model and test items.
            output: its answers to them as they are.
        """
        bank, seed = Bank(one.model, one.data), one.replicate.seed
        slow = hasattr(one.model.task, "texts")  # texts are looked for at length
        # the draws and pairs of one model are shared among the replicates, whose means are taken
        draws, pairs = max((2 if slow else 10) // self._replicates, 2), round(300 / self._replicates**0.5)
        self._exchanged.append(Exchanged(bank, output, permutations=draws, pairs=pairs))
        if swappable(bank):
            self._swaps += swaps_of(bank, output.target, seed=seed)
        if mediable(bank) and len(bank.modalities) > 1:
            self._mediated, self._fusion = [*self._mediated, *mediated(bank, seed=seed)], fusion_of(bank.model)
        self._tried += tried_of(one.model, one.data, seed=seed, replicates=self._replicates)

    def sections(self, task: Task) -> dict[str, object]:
        """The sections of an evaluation; empty where nobody was asked."""
        if not self._exchanged:
            return {}
        found: dict[str, object] = {"dependence": dependence_of(task, self._exchanged)}
        found |= {"swaps": swap_rows(self._swaps)} if self._swaps else {}
        found |= {"mediation": mediation_of(self._mediated, self._fusion)} if self._fusion else {}
        found |= {"faithfulness": faithfulness_of(self._tried)} if self._tried else {}
        return found
