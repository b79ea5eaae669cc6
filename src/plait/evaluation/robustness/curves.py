"""Curves of a metric over damage, and the area under them, against late fusion and the best single stream."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from plait.core.errors import DataError
from plait.core.parts import parts
from plait.core.progress import Progress
from plait.evaluation.examined import Examined
from plait.evaluation.explanation.summary import large
from plait.evaluation.intervals import FEWEST_GROUPS, Floats, Units, difference_of, jackknife_p
from plait.evaluation.replicates import ReplicateOutput, Subset, paddings_of, stacked
from plait.evaluation.robustness.corruptions import Corruption
from plait.evaluation.robustness.signals import SEED, Refused, points_of, source_of
from plait.evaluation.rows import interval_row
from plait.evaluation.schema import CorruptionCurve
from plait.evaluation.slices import holm
from plait.evaluation.summary import left_out_of
from plait.examples.data import Batch, ItemData, loader
from plait.models.ensemble import Encoded
from plait.models.model import Model
from plait.tasks import Task
from plait.tokens import Instants, Tokens
from plait.transforms.noise import Noise

__all__ = ["Damage", "corrupted", "curves_of", "damaged", "noisy", "seed_of"]

EVERY = ""
"""Stands for all modalities, damaged together."""

CLEAN = "clean"
"""Stands for no damage."""


class Damage:
    """Answers to damaged items, gathered over the replicates of a run.

    Args:
        signals: whether raw signals are damaged too, which takes their features anew for each noise and level.
        most: items of each replicate, drawn at random; None: all of them.
    """

    def __init__(self, *, signals: bool, most: int | None = None) -> None:
        self._signals, self._most = signals, most
        self._answers, self._refused = list[ReplicateOutput](), list[Refused]()

    def add(self, one: Examined, output: ReplicateOutput, progress: Progress | None = None) -> None:
        """Ask one replicate, unless its model is large.

        Args:
            one: its model and test items.
            output: its answers to them as they are.
            progress: told of each level of each noise of a raw signal.
        """
        if large(one.model):
            return
        data, output = _some(one, output, self._most)
        found = corrupted(one.model, data, output)
        if self._signals:
            more, refused = noisy(one, found, progress)
            found = _with(found, more)
            self._refused += refused
        self._answers.append(found)

    def sections(self, task: Task) -> dict[str, object]:
        """What belongs into ``robustness``: ``corruptions``, and the noises that could not be made (``refused``)."""
        if not self._answers:
            return {}
        refused = [one._asdict() for one in dict.fromkeys(self._refused)]
        return {"corruptions": curves_of(task, self._answers), **({"refused": refused} if refused else {})}


def corrupted(model: Model, data: ItemData, output: ReplicateOutput) -> ReplicateOutput:
    """The replicate's answers to items whose features are damaged, and to them as they are.

    Keys are who answers, at which stage (``features``), what is damaged, how, and at which level. Who answers:
    ``model``; ``late``: the mean of its modalities' own heads, if these are trained and outputs can be added up; and
    each modality alone. Texts are looked for quickly (`plait.tasks.Task.quick_scores`), by all alike.

    Args:
        model: answers.
        data: the items.
        output: its answers to them as they are.
    """
    found, whole = dict[Subset, Floats](), [*_encoded(model.eval(), loader(data, model.dims, batch=64))]
    clean = _answers(model, whole, model.modalities)
    found |= {(f"{who}|{CLEAN}",): scores for who, scores in clean.items()}
    for name, cls in parts(Corruption).items():
        for modality in (*model.modalities, *([EVERY] if len(model.modalities) > 1 else [])):
            for level in cls.levels:
                batches, hit = damaged(model, data, modality, name, level), [modality] if modality else model.modalities
                key = f"features|{modality}|{name}|{level:g}"
                answers = clean | _answers(model, _partly(model, batches, whole, hit), hit)
                found |= {(f"{who}|{key}",): scores for who, scores in answers.items()}
    there = np.ones(len(output.items), bool)
    return replace(output, outputs=found, present={key[0]: there for key in found})


def noisy(
    one: Examined, output: ReplicateOutput, progress: Progress | None = None
) -> tuple[dict[Subset, Floats], list[Refused]]:
    """Answers as of `corrupted`, to items with noise on the raw signal (stage ``signal``), and noises that could not be
    made, as hum in a stream of too low a rate. ``output``: from `corrupted`."""
    found, refused, points = dict[Subset, Floats](), list[Refused](), points_of(one)
    clean = {who: output.outputs[(f"{who}|{CLEAN}",)] for who in ("model", "late", *one.modalities)
             if (f"{who}|{CLEAN}",) in output.outputs}  # fmt: skip
    for i, point in enumerate(points):
        if progress is not None:
            progress(i, len(points), f"{one.replicate.name} {point.modality} {point.kind} {point.level:g}")
        if any(r[:2] == point[:2] for r in refused):
            continue
        try:
            data = ItemData(one.items, source_of(one, point), one.asked, one.modalities)
        except DataError as error:
            reason = error.problems[0].rpartition(": ")[2]  # without the file, which may lie anywhere
            refused.append(Refused(point.modality, point.kind, reason))
            continue
        key = f"signal|{point.modality}|{point.kind}|{point.level:g}"
        answers = _answers(one.model, _encoded(one.model, loader(data, one.model.dims, batch=64)), [point.modality])
        found |= {(f"{who}|{key}",): scores for who, scores in (clean | answers).items()}
    return found, refused


def seed_of(modality: str, kind: str, level: float) -> int:
    """The seed of a damage to features: by the damage alone, so that it is the same for every seed of the model."""
    return zlib.crc32(f"{modality}|{kind}|{level:g}".encode())


def damaged(model: Model, data: ItemData, modality: str, kind: str, level: float) -> Iterator[Batch]:
    """Batches of the items with damaged features, as `corrupted` answers for them.

    What was lost is drawn again by this call: masks follow from the kind, the level and the order of the items.

    Args:
        model: for the widths of features.
        data: the items.
        modality: what is damaged; "": all.
        kind: of a `Corruption`.
        level: of the damage.
    """
    corruption, generator = parts(Corruption)[kind](), torch.Generator().manual_seed(seed_of(modality, kind, level))
    for batch in loader(data, model.dims, batch=64):
        spans = [data.items[int(i)].stop - data.items[int(i)].start for i in batch.items]
        seconds = torch.tensor(spans, dtype=torch.float32)
        yield batch._replace(
            inputs={
                m: corruption(t, level, seconds, generator) if modality in (m, EVERY) else t
                for m, t in batch.inputs.items()
            }
        )


def _with(output: ReplicateOutput, more: Mapping[Subset, Floats]) -> ReplicateOutput:
    there = np.ones(len(output.items), bool)
    present = {**output.present, **{key[0]: there for key in more}}
    return replace(output, outputs={**output.outputs, **more}, present=present)


def _some(one: Examined, output: ReplicateOutput, most: int | None) -> tuple[ItemData, ReplicateOutput]:
    """Some of the items at random, in their order, and the answers to them."""
    if most is None or most >= len(one.items):
        return one.data, output
    index = np.sort(np.random.default_rng(one.replicate.seed).permutation(len(one.items))[:most])
    items = [one.items[i] for i in index]
    return ItemData(items, one.features, one.model.task.asked(items), one.modalities), output.of(index)


def _encoded(model: Model, batches: Iterable[Batch]) -> Iterator[tuple[Batch, Encoded]]:
    """Batches, and what the encoders give of them."""
    for batch in batches:
        with torch.inference_mode():
            encoded = model.encode(batch.inputs)
        yield batch, encoded


def _partly(
    model: Model, damaged: Iterable[Batch], whole: Iterable[tuple[Batch, Encoded]], hit: Sequence[str]
) -> Iterator[tuple[Batch, Encoded]]:
    """As `_encoded`, of batches that are damaged in some modalities: the encoders of the others need not run again."""
    for batch, (_, known) in zip(damaged, whole):
        with torch.inference_mode():
            encoded = _replaced(known, model.encode({m: batch.inputs[m] for m in hit}))
        yield batch, encoded


def _answers(model: Model, batches: Iterable[tuple[Batch, Encoded]], hit: Sequence[str]) -> dict[str, Floats]:
    """Answers of all, and of those single modalities that are hit: the others answer as before."""
    model.eval()
    rows: dict[str, list[Floats]] = {}
    with torch.inference_mode():
        for batch, encoded in batches:
            kept = model.kept(encoded, batch.at)
            for who, output in _outputs(model, kept, batch.inputs, batch.at, hit).items():
                rows.setdefault(who, []).append(model.task.quick_scores(output))
    padding, _ = paddings_of(model.task)
    return {who: stacked(own, padding) for who, own in rows.items()}


def _replaced(whole: Encoded, part: Encoded) -> Encoded:
    """The tokens of all modalities, with those of some of them in place of their own."""
    found = Encoded({**whole, **part})
    if whole.wide is not None and part.wide is not None:
        found.wide = _replaced(whole.wide, part.wide)
    return found


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
    above 0 is better, paired, with the interval over groups. p-values of the gains are corrected for the number of rows
    (Holm): of thirty damages that make no difference, one is likely to have an interval without 0. The best single
    stream is the best undamaged one.

    Args:
        task: names and computes the metric.
        replicates: from `corrupted` and `noisy`, one per seed and fold.
    """
    common = [key for key in replicates[0].outputs if all(key in one.outputs for one in replicates)]
    alike = [replace(one, outputs={key: one.outputs[key] for key in common}) for one in replicates]
    known, units = left_out_of(task, alike)
    sign = 1 if task.higher_is_better else -1
    damages = dict.fromkeys(tuple(name.split("|")[1:4]) for name in known if not name.endswith(f"|{CLEAN}"))
    names = dict.fromkeys(name.split("|")[0] for name in known)
    singles = [n for n in names if n not in ("model", "late")]
    best = max(singles, key=lambda m: sign * known[f"{m}|{CLEAN}"][0], default="")
    found = list[CorruptionCurve]()
    for stage, modality, kind in damages:
        row, levels = _described(stage, modality, kind)

        def values(who: str, of: str = f"{stage}|{modality}|{kind}", at: Sequence[float] = levels) -> Floats:
            return np.stack([known[f"{who}|{CLEAN}"], *(known[f"{who}|{of}|{level:g}"] for level in at)])

        own = values("model")
        row |= {"values": own[:, 0].tolist(), "area": float(own[:, 0].mean())}
        if "late" in names:
            late = values("late")
            gain = sign * difference_of(own.mean(0), late.mean(0))
            row |= {"late": late[:, 0].tolist(), "gain_over_late": float(gain[0])}
            row |= {"interval": interval_row(gain, units), "p": _p(gain, units)}
        if best:
            row |= {"single": {"modality": best, "values": values(best)[:, 0].tolist()}}
        found.append(row)
    return _corrected(found)


def _p(gain: Floats, units: Units) -> float | None:
    """Two-sided, of a gain [1 + units]; None where too few groups tell it."""
    p = jackknife_p(gain, units.df) if units.groups >= FEWEST_GROUPS else math.nan
    return None if math.isnan(p) else p


def _corrected(rows: list[CorruptionCurve]) -> list[CorruptionCurve]:
    """The rows with p-values corrected for their number."""
    tested = [(row, p) for row in rows if (p := row.get("p")) is not None]
    for (row, _), p in zip(tested, holm([p for _, p in tested])):
        row["p_corrected"] = p
    return rows


def _described(stage: str, modality: str, kind: str) -> tuple[CorruptionCurve, Sequence[float]]:
    """A row without its values, and its levels without that of no damage."""
    of = parts(Corruption)[kind] if stage == "features" else parts(Noise)[kind]
    nothing = of.none if issubclass(of, Corruption) else None
    seeds = [seed_of(modality, kind, level) if stage == "features" else SEED for level in of.levels]
    row: CorruptionCurve = {
        "modality": modality,
        "stage": "features" if stage == "features" else "signal",
        "kind": kind,
        "axis": of.axis,
        "levels": [nothing, *of.levels],
        "seeds": seeds,
        "values": [],
        "area": 0.0,
    }
    return row, of.levels
