"""How far a trained model's answers hang on each modality, and on their interaction, over all replicates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from plait.evaluation.contribution.bank import Bank
from plait.evaluation.contribution.emap import projectable, projected
from plait.evaluation.contribution.permutation import permuted
from plait.evaluation.intervals import Floats, difference_of
from plait.evaluation.replicates import ReplicateOutput, Subset
from plait.evaluation.rows import interval_row
from plait.evaluation.schema import Additive, Dependence, PermutationRow
from plait.evaluation.summary import left_out_of
from plait.tasks import Task

__all__ = ["Exchanged", "dependence_of"]

WHOLE, ADDITIVE = "all as they are", "additive"


class Exchanged:
    """One replicate's answers to items with exchanged modalities.

    Attributes:
        permuted: its answers as they are, and with each modality permuted, by their names.
        additive: its answers, and those of its additive projection, on some of the items; None where there is none
            (`plait.evaluation.contribution.emap.projectable`).
        share: of the variance of the outputs, what is not additive.
    """

    def __init__(self, bank: Bank, output: ReplicateOutput, *, permutations: int = 10, pairs: int = 300) -> None:
        self.modalities = bank.modalities
        found = permuted(bank, permutations=permutations, seed=output.seed)
        rows: dict[Subset, Floats] = {(f"{m} {k}",): scores for m, own in found.items() for k, scores in enumerate(own)}
        full = output.outputs[tuple(bank.modalities)]
        self.permuted = _as(output, {(WHOLE,): full, **rows})
        self.additive, self.share = None, 0.0
        if projectable(bank):
            (whole,) = np.nonzero(np.all([bank.data.present(m) for m in bank.modalities], axis=0))
            if len(whole) > 1:
                made = projected(bank, most=pairs, seed=output.seed)
                some = output.of(made.items)
                self.additive = _as(some, {(WHOLE,): made.whole, (ADDITIVE,): made.scores})
                self.share = made.share


def dependence_of(task: Task, replicates: Sequence[Exchanged]) -> Dependence:
    """What the exchanged items of all replicates show, with intervals over groups; above 0: answers get worse.

    Args:
        task: names and computes the metrics.
        replicates: one per seed and fold.
    """
    sign = 1 if task.higher_is_better else -1
    left_out, units = left_out_of(task, [one.permuted for one in replicates])
    found: list[PermutationRow] = []
    for m in replicates[0].modalities:
        own = [values for name, values in left_out.items() if name.rpartition(" ")[0] == m]
        drop = sign * difference_of(left_out[WHOLE], np.mean(own, axis=0))
        spread = float(np.std([values[0] for values in own], ddof=1)) if len(own) > 1 else None
        found.append({"modality": m, "drop": float(drop[0]), "sd": spread, "interval": interval_row(drop, units)})
    result: Dependence = {"permutation": sorted(found, key=lambda row: -(row["drop"] or 0.0))}
    additive = _additive(task, replicates, sign)
    if additive is not None:
        result["additive"] = additive
    return result


def _additive(task: Task, replicates: Sequence[Exchanged], sign: int) -> Additive | None:
    told = [one.additive for one in replicates if one.additive is not None]
    if len(told) < len(replicates):
        return None
    left_out, units = left_out_of(task, told)
    whole, made = left_out[WHOLE], left_out[ADDITIVE]
    gain: Floats = sign * difference_of(whole, made)
    return {
        "items": len({item for one in told for item in one.items}),
        "model": float(whole[0]),
        "projection": float(made[0]),
        "gain": float(gain[0]),
        "interval": interval_row(gain, units),
        "non_additive": float(np.mean([one.share for one in replicates])),
    }


def _as(output: ReplicateOutput, outputs: dict[Subset, Floats]) -> ReplicateOutput:
    there = np.ones(len(output.items), bool)
    return replace(output, outputs=outputs, present={name: there for key in outputs for name in key})
