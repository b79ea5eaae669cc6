"""Answers for raw files with their evidence: which seconds of which stream speak for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from plait.core.errors import ConfigError
from plait.core.parts import suggest
from plait.core.progress import Progress
from plait.corpus.corpus import Corpus
from plait.evaluation.explanation.attribution import METHODS
from plait.evaluation.explanation.parts import Answer, Parts
from plait.evaluation.explanation.turning import Span, turning_spans
from plait.examples.data import ItemData
from plait.examples.items import Item
from plait.prediction.predict import Predictor
from plait.streams.stream import Stream

__all__ = ["BINS", "Explained", "explain_files"]

BINS = 30
"""Parts of each stream's time."""

BATCH = 16
"""Items at once."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Explained:
    """An answer and what speaks for it.

    Attributes:
        recording: its id.
        start, stop: the interval that was asked about, seconds.
        answer: the class that was named, or the value.
        method: of attribution.
        evidence: by modality, how much each part of the interval speaks for the answer, [parts]; log-probability, or
            the value's units.
        turning: the shortest span without which another class is named, from the interval's start; None: there is none.
        instead: that class.
    """

    recording: str
    start: float
    stop: float
    answer: str
    method: str
    evidence: Mapping[str, Floats]
    turning: Span | None
    instead: str

    def __str__(self) -> str:
        place = f"{self.recording} {self.start:.2f}-{self.stop:.2f} s: {self.answer}"
        best = self.strongest()
        told = f"; most for it: {best[0]} {best[1]:.2f}-{best[2]:.2f} s" if best else ""
        if self.turning is None:
            return place + told
        a, b = (self.start + t for t in self.turning[:2])
        return f"{place}{told}; without {a:.2f}-{b:.2f} s it would be {self.instead}"

    def strongest(self) -> tuple[str, float, float] | None:
        """The modality and the seconds of the part that speaks for the answer most; None if nothing does."""
        rows = [(float(v.max()), m, int(v.argmax()), len(v)) for m, v in self.evidence.items() if len(v)]
        value, modality, place, count = max(rows, default=(0.0, "", 0, 1))
        step = (self.stop - self.start) / count
        return (modality, self.start + place * step, self.start + (place + 1) * step) if value > 0 else None

    def to_json(self) -> dict[str, object]:
        """One object; the evidence by modality, and the ends of the turning span in the recording's seconds."""
        turning = None
        if self.turning is not None:
            ends = [round(self.start + t, 4) for t in self.turning[:2]]
            turning = {"start": ends[0], "stop": ends[1], "answer": self.instead}
        return {
            "recording": self.recording,
            "start": self.start,
            "stop": self.stop,
            "answer": self.answer,
            "method": self.method,
            "evidence": {m: [round(float(x), 6) for x in own] for m, own in self.evidence.items()},
            "turning": turning,
        }


def explain_files(
    predictor: Predictor,
    paths: Sequence[str | Path],
    *,
    method: str = "occlusion",
    seen: Callable[[Explained, Mapping[str, Stream]], None] | None = None,
    progress: Progress | None = None,
) -> list[Explained]:
    """Answers for raw files, as `plait.predict` gives them, with their evidence.

    Args:
        predictor: a model of a task with one class or one value per item.
        paths: files, folders, or one manifest.
        method: of `plait.evaluation.explanation.attribution.METHODS`.
        seen: called with each answer and the streams of its recording by modality, which can be read until it returns.
        progress: called after each item.

    Raises:
        ConfigError: there is no such method.
        DataError: as `Predictor`; or the task answers over time or in texts.
    """
    if method not in METHODS:
        raise ConfigError(f"method {method!r}: there is none. {suggest(method, METHODS)}")
    found = list[Explained]()
    with predictor.examples(list(paths)) as (items, data, _, corpus):
        for start in range(0, len(items), BATCH):
            own = range(start, min(start + BATCH, len(items)))
            for one, item in zip(_explained(predictor, data, own, method), items[start : own.stop]):
                found.append(one)
                if seen is not None:
                    seen(one, _streams(corpus, item, predictor.prepared.modalities))
                if progress is not None:
                    progress(len(found), len(items), one.recording)
    return found


def _explained(predictor: Predictor, data: ItemData, index: Sequence[int], method: str) -> list[Explained]:
    model = predictor.model
    batch = data.batch(list(index), model.dims)
    answer, parts = Answer.of(model, batch), Parts(data, batch, BINS)
    values = METHODS[method](answer, parts).double().numpy().reshape(len(index), len(parts.names), BINS)
    spans = turning_spans(answer, batch.inputs, parts.seconds)
    told = [str(a) for a in model.task.decode(answer.whole)]
    classes = [str(name) for name in model.task.state().get("classes", [])]
    there = {m: t.present.numpy() for m, t in batch.inputs.items()}
    return [
        Explained(
            data.items[i].recording,
            data.items[i].start,
            data.items[i].stop,
            told[k],
            method,
            {m: values[k, j] for j, m in enumerate(parts.names) if there[m][k]},
            spans[k],
            _name(classes, spans[k]),
        )
        for k, i in enumerate(index)
    ]


def _name(classes: Sequence[str], span: Span | None) -> str:
    if span is None:
        return ""
    return classes[span.answer] if span.answer < len(classes) else str(span.answer)


def _streams(corpus: Corpus, item: Item, modalities: Mapping[str, str]) -> dict[str, Stream]:
    own = corpus[item.recording].streams
    return {m: own[name] for m, name in modalities.items() if name in own}
