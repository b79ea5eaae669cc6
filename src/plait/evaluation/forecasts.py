"""What an evaluation says of forecasts beside their metrics: cheap rivals, and whether another stream helps."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

import numpy as np

from plait.evaluation.intervals import Floats, Units
from plait.evaluation.replicates import ReplicateOutput, Scored, Subset
from plait.evaluation.rows import ratio_of_means
from plait.evaluation.schema import Baseline, Ratio, Verdict

__all__ = ["helpful_streams", "rivals_of"]


def rivals_of(pools: Sequence[ReplicateOutput], task: Scored) -> dict[str, Baseline]:
    """Metrics of the cheap answers that a task knows (its ``rivals``), by name; mean over seeds."""
    rivals = getattr(task, "rivals", None)
    if rivals is None:
        return {}
    found = [{name: task.metrics(scores, p.target) for name, scores in rivals(p.target).items()} for p in pools]
    return {
        name: {"metrics": {metric: float(np.mean([f[name][metric] for f in found])) for metric in found[0][name]}}
        for name in found[0]
    }


def helpful_streams(pools: Sequence[ReplicateOutput], task: Scored, units: Units) -> list[Verdict]:
    """For each stream that is forecast, whether the others help beside its own past.

    The loss of all streams together over that of the target's own past, on the same items: below 1 with its whole
    interval, another stream helps. Its own past is the same model with the target's stream alone, or the ridge
    regression among the ``rivals``, whichever is better: a model that is poor at the one must not seem to gain. A
    stream is named if it helps both ways: all over all but it, and it beside the own one over that one alone.
    Intervals by the cluster jackknife, as everywhere.

    The deletion test of a forecast (Samek et al. 2017; see `plait.evaluation.deletion`) removes what the verdict points
    to: how far the answer moves without a stream that is named, over how far it moves without one that is not.

    Args:
        pools: answers for every subset of the modalities.
        task: with ``losses(scores, target)``, a loss per item and target; ``streams``, the targets' names;
            ``rivals(target)``, one of them ``ridge``; and, for the deletion test, ``moved(scores, other, target)``.
        units: what is left out together, over all pools.
    """
    losses, rivals = getattr(task, "losses", None), getattr(task, "rivals", None)
    full = max(pools[0].outputs, key=len)
    if losses is None or rivals is None or len(full) < 2:
        return []
    found = {s: np.concatenate([losses(p.outputs[s], p.target) for p in pools]) for s in pools[0].outputs}
    ridge = np.concatenate([losses(rivals(p.target)["ridge"], p.target) for p in pools])
    moved = _moves_without(pools, task, full)
    verdicts = []
    for i, name in enumerate(getattr(task, "streams", ())):
        if (name,) in found:
            losses_of = {subset: loss[:, i] for subset, loss in found.items()}
            verdict = _verdict(name, full, losses_of, ridge[:, i], units)
            if deletion := _deletion(verdict, {m: own[:, i] for m, own in moved.items()}, units):
                verdict["deletion"] = deletion
            verdicts.append(verdict)
    return verdicts


def _moves_without(pools: Sequence[ReplicateOutput], task: Scored, full: Subset) -> dict[str, Floats]:
    """How far answers move without each stream, [items, targets]."""
    moved, outputs = getattr(task, "moved", None), pools[0].outputs
    less = {m: _only(full, {*full} - {m}) for m in full}
    return {
        m: np.concatenate([moved(p.outputs[full], p.outputs[some], p.target) for p in pools])
        for m, some in less.items()
        if moved is not None and some in outputs
    }


def _deletion(verdict: Verdict, moved: dict[str, Floats], units: Units) -> Ratio | None:
    """How far the answer moves without a stream that is named, over how far without another; None without both."""
    named = [moved[m] for m in verdict["which"] if m in moved]
    other = [own for m, own in moved.items() if m not in (*verdict["which"], verdict["target"])]
    if not named or not other:
        return None
    return ratio_of_means(np.mean(named, 0), np.mean(other, 0), units)


def _verdict(name: str, full: Subset, losses: dict[Subset, Floats], ridge: Floats, units: Units) -> Verdict:
    own, rest = losses[name,], [m for m in full if m != name]
    ratio = ratio_of_means(losses[full], ridge if np.nanmean(ridge) < np.nanmean(own) else own, units)
    each = {
        m: ratio_of_means(losses[full], losses[less], units)
        for m in rest
        if (less := _only(full, {*full} - {m})) in losses
    }
    beside = {m: ratio_of_means(losses[two], own, units) for m in rest if (two := _only(full, {name, m})) in losses}
    helps = _below(ratio)
    which = [m for m in rest if helps and all(_below(by[m]) for by in (each, beside) if m in by)]
    return {
        "target": name,
        "helps": helps,
        "ratio": ratio["ratio"],
        "interval": ratio["interval"],
        "which": which,
        "each": each,
    }


def _only(full: Subset, some: Collection[str]) -> Subset:
    return tuple(m for m in full if m in some)


def _below(ratio: Ratio) -> bool:
    high = ratio["interval"]["high"]
    return high is not None and math.isfinite(high) and high < 1
