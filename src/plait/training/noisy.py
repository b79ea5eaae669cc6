"""Features of streams with noise added to the raw stream, kept in the same store."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import count

import numpy as np
from numpy.typing import NDArray

from plait.core.parts import Spec
from plait.corpus.corpus import Corpus
from plait.examples.units.around import base_of
from plait.store.prepare import features_of
from plait.store.store import Store
from plait.streams.clock import Clock
from plait.streams.stream import ArraySource, Stream
from plait.training.experiment import Experiment
from plait.transforms.noise import add_noise, noise_named, noise_of

__all__ = ["NoisyFeatures", "noisy_sources"]

INTERFERERS = 5
"""Number of other recordings that are mixed into one noise."""

SHORT = 200_000
"""Most observations of an interferer that is kept in memory."""


@dataclass(frozen=True)
class NoisyFeatures:
    """Features of one modality under noise; computed on demand and kept.

    Attributes:
        kind: the noise, see `plait.transforms.noise`.
        levels: lowest and highest level, in the unit of the kind; each level is drawn uniformly between them.
        pool: recordings that interferers are drawn from (never the recording itself).
        seed: of levels, interferers and noise, combined with the recording's id.
    """

    experiment: Experiment
    store: Store
    modality: str
    kind: Spec
    levels: tuple[float, float]
    pool: tuple[str, ...]
    seed: int
    _kept: dict[str, tuple[NDArray[np.float32], Clock] | None] = field(default_factory=dict)

    def get(self, recording: str, modality: str) -> tuple[NDArray[np.float32], Clock] | None:
        """(features [n, dim], clock); None if the stream is missing."""
        if recording not in self._kept:
            plan, name = self.experiment, self.experiment.streams[self.modality]
            interferers = self._interferers(recording, name)
            found = features_of(
                plan.corpus,
                recording,
                name,
                plan.features[self.modality],
                self.store,
                change=lambda stream: self._noise(stream, recording, interferers),
                tag=self._tag(recording, interferers),
            )
            self._kept[recording] = found and plan.shape(self.modality, found)
        return self._kept[recording]

    def _rng(self, recording: str, part: str) -> np.random.Generator:
        # By the recording's id: the draw does not depend on which recordings came before.
        digest = hashlib.blake2b(f"{self.seed}/{part}/{recording}".encode(), digest_size=8).digest()
        return np.random.default_rng(int.from_bytes(digest, "little"))

    def _interferers(self, recording: str, name: str) -> list[str]:
        corpus = self.experiment.corpus
        others = [r for r in self.pool if r != recording and name in corpus.entry(r).streams]
        number = min(INTERFERERS, len(others))
        # Do not rename "voices": here it seeds the draw and in the tag it is part of the key of stored features.
        return [others[i] for i in self._rng(recording, "voices").choice(len(others), number, replace=False)]

    def _noise(self, stream: Stream, recording: str, interferers: Sequence[str]) -> Stream:
        rng = self._rng(recording, "noise")
        name, corpus = self.experiment.streams[self.modality], self.experiment.corpus
        level = float(rng.uniform(*self.levels))
        others = [_interferer(corpus, one, name) for one in interferers] if noise_of(self.kind).interferers else []
        return add_noise(stream, self.kind, level, rng, others)

    def _tag(self, recording: str, interferers: Sequence[str]) -> dict[str, object]:
        return {
            "noise": noise_named(self.kind)[1],
            "levels": list(self.levels),
            "seed": self.seed,
            "recording": recording,
            "voices": list(interferers),
        }


@lru_cache(maxsize=512)
def _interferer(corpus: Corpus, recording: str, name: str) -> Stream:
    """Another recording's stream; a short one is decoded once and reused in several noises."""
    stream: Stream = corpus[recording].streams[name]
    if len(stream) > SHORT:
        return stream
    return replace(stream, source=ArraySource(stream.read()), first=0)


def noisy_sources(
    experiment: Experiment, store: Store, pool: Sequence[str]
) -> dict[str, list[tuple[float, list[NoisyFeatures]]]]:
    """The noisy copies of training features, by modality and noise: the probability of their use, and the copies."""
    found: dict[str, list[tuple[float, list[NoisyFeatures]]]] = {}
    for modality, plans in experiment.recipe.augment.noise.items():
        # Evaluation uses the seed 0: no training copy is the noise that the model is tested with.
        seeds, found[modality] = count(1000), []
        for plan in plans:
            span = (min(plan.levels), max(plan.levels))
            copies = [
                NoisyFeatures(experiment, store, modality, plan.kind, span, tuple(pool), seed=next(seeds))
                for _ in range(plan.copies)
            ]
            found[modality].append((plan.probability, copies))
    # What is noise in an item is noise in its context.
    return found | {m: found[base_of(m)] for m in experiment.modalities if m not in found and base_of(m) in found}
