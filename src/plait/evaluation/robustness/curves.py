"""Curves of a metric over damage, and the area under them, against late fusion and the best single stream."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from plait.core.parts import parts
from plait.evaluation.intervals import Floats, difference_of
from plait.evaluation.replicates import ReplicateOutput, Subset, paddings_of, stacked
from plait.evaluation.robustness.corruptions import Corruption
from plait.evaluation.rows import interval_row
from plait.evaluation.schema import CorruptionCurve
from plait.evaluation.summary import left_out_of
from plait.examples.data import ItemData, loader
from plait.models.ensemble import Encoded
from plait.models.model import Model
from plait.tasks import Task
from plait.tokens import Instants, Tokens

__all__ = ["corrupted", "curves_of"]

EVERY = ""
"""Stands for all modalities, damaged together."""


def corrupted(model: Model, data: ItemData, output: ReplicateOutput) -> ReplicateOutput:
    """The replicate's answers to damaged items, keyed by who answers, what is damaged, how, and at which level.

    Who answers: ``model``; ``late``: the mean of its modalities' own heads, if these are trained and outputs can be
    added up; and each modality alone. Texts are looked for quickly (`plait.tasks.Task.quick_scores`), by all alike.

    Args:
        model: answers.
        data: the items.
        output: its answers to them as they are.
    """
    model.eval()
    found: dict[Subset, Floats] = {}
    whole: dict[str, Floats] = {}
    for name, cls in parts(Corruption).items():
        corruption = cls()
        for modality in (*model.modalities, *([EVERY] if len(model.modalities) > 1 else [])):
            hit = model.modalities if modality == EVERY else [modality]
            for level in (corruption.none, *corruption.levels):
                key = f"{modality}|{name}|{level:g}"
                whole = whole or _answers(model, data, corruption, [], level, key)
                own = {} if level == corruption.none else _answers(model, data, corruption, hit, level, key)
                # Who does not look at what is damaged answers as before.
                found |= {(f"{who}|{key}",): scores for who, scores in (whole | own).items()}
    there = np.ones(len(output.items), bool)
    return replace(output, outputs=found, present={key[0]: there for key in found})


def _answers(
    model: Model, data: ItemData, corruption: Corruption, hit: Sequence[str], level: float, key: str
) -> dict[str, Floats]:
    # Seeded by the damage, so that each is the same for every seed of the model, whatever else is tried.
    generator = torch.Generator().manual_seed(zlib.crc32(key.encode()))
    rows: dict[str, list[Floats]] = {}
    with torch.inference_mode():
        for batch in loader(data, model.dims, batch=64):
            spans = [data.items[int(i)].stop - data.items[int(i)].start for i in batch.items]
            seconds = torch.tensor(spans, dtype=torch.float32)
            tokens = {m: corruption(t, level, seconds, generator) if m in hit else t for m, t in batch.inputs.items()}
            encoded = model.kept(model.encode(tokens), batch.at)
            for who, output in _outputs(model, encoded, tokens, batch.at, hit or model.modalities).items():
                rows.setdefault(who, []).append(model.task.quick_scores(output))
    padding, _ = paddings_of(model.task)
    return {who: stacked(own, padding) for who, own in rows.items()}


def _outputs(
    model: Model, encoded: Encoded, tokens: dict[str, Tokens], at: Instants | None, singles: Sequence[str]
) -> dict[str, Tensor]:
    found = {"model": model.answer(encoded, None, at)}
    if len(model.modalities) > 1:
        if model.unimodal_weight > 0 and model.task.additive:
            own = model.opinions(encoded, None, at)[2]
            there = torch.stack([tokens[m].present for m in model.modalities]).float()
            weights = (there / there.sum(0).clamp(min=1)).reshape(*there.shape, *[1] * (found["model"].ndim - 1))
            found["late"] = (weights * torch.stack([own[m] for m in model.modalities])).sum(0)
        found |= {m: model.answer(encoded, (m,), at) for m in singles}
    return found


def curves_of(task: Task, replicates: Sequence[ReplicateOutput]) -> list[CorruptionCurve]:
    """A curve for each kind of damage and each modality (the last: all together), with the areas under it.

    The area is the mean of the metric over the levels, the undamaged one among them; the gain is that over late fusion,
    above 0 is better, paired, with the interval over groups. The best single stream is the best undamaged one.

    Args:
        task: names and computes the metric.
        replicates: from `corrupted`, one per seed and fold.
    """
    known, units = left_out_of(task, replicates)
    sign = 1 if task.higher_is_better else -1
    curves = dict.fromkeys(tuple(name.split("|")[1:3]) for name in known)
    names = dict.fromkeys(name.split("|")[0] for name in known)
    singles = [n for n in names if n not in ("model", "late")]
    kinds, found = parts(Corruption), list[CorruptionCurve]()
    for modality, kind in curves:
        levels = (kinds[kind].none, *kinds[kind].levels)

        def values(who: str, of: tuple[str, str] = (modality, kind), at: tuple[float, ...] = levels) -> Floats:
            return np.stack([known[f"{who}|{of[0]}|{of[1]}|{level:g}"] for level in at])

        own = values("model")
        row: CorruptionCurve = {
            "modality": modality,
            "kind": kind,
            "axis": kinds[kind].axis,
            "levels": [*levels],
            "values": own[:, 0].tolist(),
            "area": float(own[:, 0].mean()),
        }
        if "late" in names:
            late = values("late")
            gain = sign * difference_of(own.mean(0), late.mean(0))
            row |= {
                "late": late[:, 0].tolist(),
                "gain_over_late": float(gain[0]),
                "interval": interval_row(gain, units),
            }
        if singles:
            best = max(singles, key=lambda m: sign * values(m)[0, 0])
            row |= {"single": {"modality": best, "values": values(best)[:, 0].tolist()}}
        found.append(row)
    return found
