"""Features of a stream whose clock is bent are those of the stream itself, at bent times."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from plait.corpus.corpus import Corpus, CorpusWriter, write_manifest
from plait.features.spectral import LogMel
from plait.store.prepare import prepare
from plait.store.store import Store
from plait.streams.clock import Grid
from plait.streams.stream import Stream
from plait.streams.warp import Warp, Warped, warped

LOST = [(1.0, 0.0), (1.0, 0.25)]


def test_features_are_computed_on_the_regular_clock_and_bent_afterwards() -> None:
    sound = Stream.of(
        np.random.default_rng(0).normal(0, 0.1, (32000, 1)).astype(np.float32), rate=16000, kind="waveform"
    )
    values, clock = LogMel()(sound)
    bent, moved = LogMel()(sound.on(warped(sound.clock, Warp(LOST))))
    np.testing.assert_array_equal(bent, values)
    assert isinstance(moved, Warped)
    assert moved.base == clock
    np.testing.assert_allclose(moved.times, clock.times + 0.25 * (clock.times >= 1.0))


def test_a_new_warp_costs_nothing_and_moves_the_clock(tmp_path: Path) -> None:
    with CorpusWriter(tmp_path) as out:
        out.add("a", {"imu": Stream.of(np.zeros((100, 2)), rate=50)})
    corpus, store = Corpus(tmp_path / "manifest.jsonl"), Store(tmp_path / "store")
    assert prepare(corpus, {"imu": None}, store).computed == 1
    entry = corpus.entry("a")
    entry.streams["imu"] = entry.streams["imu"].model_copy(update={"warp": LOST, "offset": 0.5})
    write_manifest(tmp_path / "bent.jsonl", [entry])
    prepared = prepare(Corpus(tmp_path / "bent.jsonl"), {"imu": None}, store)
    assert prepared.computed == 0
    found = prepared.get("a", "imu")
    assert found is not None
    assert found[1] == Warped(Grid(0.5, 50, 100), Warp(LOST))
