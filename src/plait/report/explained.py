"""Answers for raw files with their evidence: which seconds of which stream speak for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from plait.core.errors import ConfigError
from plait.core.parts import suggest
from plait.core.progress import Progress
from plait.corpus.corpus import Corpus
from plait.evaluation.explanation.attribution import METHODS
from plait.evaluation.explanation.flow import attention_flow
from plait.evaluation.explanation.neighbours import Near, TrainingItems
from plait.evaluation.explanation.parts import Answer, Parts, claims_of
from plait.evaluation.explanation.schema import ExplainedRow, Turning
from plait.evaluation.explanation.turning import Span, turning_spans
from plait.examples.data import ItemData
from plait.examples.items import Item
from plait.models.model import Model
from plait.prediction.predict import Predictor
from plait.streams.stream import Stream
from plait.tasks.claims import Claim

__all__ = ["BINS", "Explained", "explain_files"]

BINS = 30
"""Parts of each stream's time."""

BATCH = 16
"""Items at once."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Explained:
    """A claim of an answer and what speaks for it.

    Attributes:
        recording: its id.
        start, stop: the interval that was asked about, seconds.
        answer: all of it.
        method: of attribution.
        evidence: by modality, how much each part speaks for the claim, [parts]; log-probability (the mean over the
            claim's instants or tokens), or the value's units.
        turning: the shortest span without which another class is named, from the interval's start; None: there is none.
        instead: that class.
        claim: what of the answer is explained (`plait.tasks.Task.claims`): the class, an event, a word; "" : all of it.
        span: seconds of the recording that the claim names; None: it names none.
        objects: what the parts are, if they are not equal times of the interval.
        attention: by modality, the share of the fused result's attention that each part has, all together 1; empty
            where the model's fusion has none (`plait.evaluation.explanation.flow`).
        near: the nearest training items; None: they were not asked for.
    """

    recording: str
    start: float
    stop: float
    answer: str
    method: str
    evidence: Mapping[str, Floats]
    turning: Span | None
    instead: str
    claim: str = ""
    span: tuple[float, float] | None = None
    objects: Sequence[str] = ()
    attention: Mapping[str, Floats] = field(default_factory=dict)
    near: Near | None = None

    def __str__(self) -> str:
        place = f"{self.recording} {self.start:.2f}-{self.stop:.2f} s: {self.answer}"
        best = self.strongest()
        when = f" {self.span[0]:.2f}-{self.span[1]:.2f} s" if self.span else ""
        of = f"{self.claim}{when}" if self.claim else "it"
        told = f"; most for {of}: {best}" if best else f"; nothing speaks for {of}"
        if self.turning is not None:
            a, b = (self.start + t for t in self.turning[:2])
            told += f"; without {a:.2f}-{b:.2f} s it would be {self.instead}"
        if self.attention:
            shares = ", ".join(f"{m} {100 * float(v.sum()):.0f} %" for m, v in self.attention.items())
            told += f"; attention: {shares}"
        return place + told + (f"; {self.near}" if self.near else "")

    def strongest(self) -> str:
        """The modality, and the seconds or the object, of the part that speaks for the claim most; "" if nothing
        does."""
        rows = [(float(v.max()), m, int(v.argmax()), len(v)) for m, v in self.evidence.items() if len(v)]
        value, modality, place, count = max(rows, default=(0.0, "", 0, 1))
        if not value > 0:
            return ""
        if self.objects:
            return f"{modality} {self.objects[place]}"
        step = (self.stop - self.start) / count
        return f"{modality} {self.start + place * step:.2f}-{self.start + (place + 1) * step:.2f} s"

    def to_json(self) -> ExplainedRow:
        """One object; the evidence by modality, and the ends of the turning span in the recording's seconds."""
        turning: Turning | None = None
        if self.turning is not None:
            ends = [round(self.start + t, 4) for t in self.turning[:2]]
            turning = {"start": ends[0], "stop": ends[1], "answer": self.instead}
        found: ExplainedRow = {
            "recording": self.recording,
            "start": self.start,
            "stop": self.stop,
            "answer": self.answer,
            "method": self.method,
            "evidence": _rounded(self.evidence),
            "turning": turning,
            "claim": self.claim,
            "span": None if self.span is None else [round(t, 4) for t in self.span],
            "objects": [*self.objects],
        }
        if self.attention:
            found["attention"] = _rounded(self.attention)
        if self.near:
            found["nearest"] = self.near.to_json()
        return found


def explain_files(
    predictor: Predictor,
    paths: Sequence[str | Path],
    *,
    method: str = "occlusion",
    seen: Callable[[Explained, Mapping[str, Stream]], None] | None = None,
    training: TrainingItems | None = None,
    nearest: int = 3,
    progress: Progress | None = None,
) -> list[Explained]:
    """Answers for raw files, as `plait.predict` gives them, with the evidence of each of their claims.

    Args:
        predictor: a model.
        paths: files, folders, or one manifest.
        method: of `plait.evaluation.explanation.attribution.METHODS`.
        seen: called with each claim and the streams of its recording by modality, which can be read until it returns.
        training: of the same model; None: nearest training items are not looked for.
        nearest: how many of them.
        progress: called after each item.

    Raises:
        ConfigError: there is no such method.
        DataError: as `Predictor`; or the run is pre-trained only.
    """
    if method not in METHODS:
        raise ConfigError(f"method {method!r}: there is none. {suggest(method, METHODS)}")
    found = list[Explained]()
    with predictor.examples(list(paths)) as (items, data, _, corpus):
        for start in range(0, len(items), BATCH):
            index = range(start, min(start + BATCH, len(items)))
            near: Sequence[Near | None] = [None] * len(index)
            if training is not None:
                near = training.near(data.batch(list(index), predictor.model.dims), nearest)
            for i, own, close in zip(index, _explained(predictor.model, data, index, method), near):
                own = [replace(one, near=close) for one in own]
                found += own
                if seen is not None:
                    streams = _streams(corpus, items[i], predictor.prepared.modalities)
                    for one in own:
                        seen(one, streams)
                if progress is not None:
                    progress(i + 1, len(items), items[i].recording)
    return found


def _explained(model: Model, data: ItemData, index: Sequence[int], method: str) -> list[list[Explained]]:
    """Of each item its claims; without a claim the answer alone."""
    batch = data.batch(list(index), model.dims)
    with torch.no_grad():
        output = model.eval().answer(model.encode(batch.inputs), None, batch.at)
    items = [data.items[i] for i in index]
    answers = [a.shifted(item.start) for a, item in zip(model.task.decode(output, batch.at), items)]
    found = [[Explained(x.recording, x.start, x.stop, str(a), method, {}, None, "")] for x, a in zip(items, answers)]
    for own, attention in zip(found, _attended(model, Parts(data, batch, BINS))):
        own[0] = replace(own[0], attention=attention)
    rows = [(k, claim) for k, own in enumerate(claims_of(model, batch)) for claim in own]
    for start in range(0, len(rows), BATCH):
        some = rows[start : start + BATCH]
        for (k, _), one in zip(some, _of_claims(model, data, [(index[k], found[k][0], c) for k, c in some])):
            found[k].append(one)
    return [own[1:] or own for own in found]  # the answer alone, where it claims nothing


def _attended(model: Model, parts: Parts) -> list[dict[str, Floats]]:
    """By modality the share of attention that each part has, of each item; empty where there is none, or of objects."""
    flow = None if parts.objects else attention_flow(model, parts)
    if flow is None:
        return [{} for _ in parts.seconds]
    shares = flow.double().numpy().reshape(len(flow), len(parts.names), -1)
    there = {m: t.present.numpy() for m, t in parts.tokens.items()}
    return [{m: own[j] for j, m in enumerate(parts.names) if there[m][k]} for k, own in enumerate(shares)]


def _of_claims(model: Model, data: ItemData, rows: Sequence[tuple[int, Explained, Claim]]) -> list[Explained]:
    """Each claim of an item, given by its number."""
    batch = data.batch([i for i, *_ in rows], model.dims)
    answer, parts = Answer.of(model, batch, [claim for *_, claim in rows]), Parts(data, batch, BINS)
    values = METHODS[rows[0][1].method](answer, parts).double().numpy().reshape(len(rows), len(parts.names), -1)
    turned = turning_spans(answer, batch.inputs, parts.seconds)
    classes = [str(name) for name in model.task.state().get("classes", [])]
    there = {m: t.present.numpy() for m, t in batch.inputs.items()}
    return [
        replace(
            plain,
            evidence={m: values[k, j] * (claim.unit or 1.0) for j, m in enumerate(parts.names) if there[m][k]},
            turning=turned[k],
            instead=_name(classes, turned[k]),
            claim="" if claim.text == plain.answer else claim.text,
            span=claim.span and (plain.start + claim.span[0], plain.start + claim.span[1]),
            objects=parts.objects[k] if parts.objects else (),
        )
        for k, (_, plain, claim) in enumerate(rows)
    ]


def _rounded(values: Mapping[str, Floats]) -> dict[str, list[float]]:
    return {m: [round(float(x), 6) for x in own] for m, own in values.items()}


def _name(classes: Sequence[str], span: Span | None) -> str:
    if span is None:
        return ""
    return classes[span.answer] if span.answer < len(classes) else str(span.answer)


def _streams(corpus: Corpus, item: Item, modalities: Mapping[str, str]) -> dict[str, Stream]:
    own = corpus[item.recording].streams
    return {m: own[name] for m, name in modalities.items() if name in own}
