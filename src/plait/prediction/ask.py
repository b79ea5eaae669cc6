"""A question that is asked in prediction: features of a text in place of a stream of texts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from plait.core.errors import ConfigError
from plait.examples.data import FeatureSource
from plait.examples.items import Item
from plait.store.stepped import build_feature
from plait.streams.clock import Clock
from plait.streams.stream import Stream
from plait.training.preparation import Preparation

__all__ = ["Asking"]


class Asking:
    """Features of which one modality is a question about each item, whatever its recording has there.

    Args:
        source: features of the other modalities.
        prepared: which features the model's modalities have.
        question: the text.
        items: what it is asked about.

    Attributes:
        modality: the one that holds texts.

    Raises:
        ConfigError: the model has no such modality, or several; the question is empty or longer than its feature reads.
    """

    def __init__(self, source: FeatureSource, prepared: Preparation, question: str, items: Sequence[Item]) -> None:
        built = {m: build_feature(spec, f"streams.{m}.feature") for m, spec in prepared.features.items()}
        texts = [m for m, feature in built.items() if "words" in feature.kinds]
        if len(texts) != 1:
            found = f"several: {', '.join(texts)}" if texts else "none"
            raise ConfigError(
                f"ask: needs a model with one stream of texts; this one has {found}. Give texts as files."
            )
        if not question.split():
            raise ConfigError("ask: the question is empty. Give it words, or leave it out.")
        (self.modality,) = texts
        self.source, self.feature, self.question, self.spans = source, built[self.modality], question, _spans(items)
        self.feature(self._stream([(0.0, 1.0)]))
        if notes := self.feature.notes():
            raise ConfigError(f"ask: the question is too long ({', '.join(notes)}). Ask in fewer words.")

    def _stream(self, spans: Sequence[tuple[float, float]]) -> Stream:
        words = np.array([self.question] * len(spans), object)
        starts, stops = zip(*spans)
        return Stream.of(words, spans=(starts, stops), kind="words")

    def get(self, recording: str, modality: str) -> tuple[NDArray[np.float32], Clock] | None:
        if modality != self.modality:
            return self.source.get(recording, modality)
        return self.feature(self._stream(self.spans[recording]))


def _spans(items: Sequence[Item]) -> dict[str, list[tuple[float, float]]]:
    """The interval of each item, without its context, by recording and in order."""
    found: dict[str, list[tuple[float, float]]] = {}
    for item in items:
        before, after = item.context
        found.setdefault(item.recording, []).append((item.start + before, item.stop - after))
    return {recording: sorted(set(spans)) for recording, spans in found.items()}
