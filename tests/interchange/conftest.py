"""A small corpus with every sort of clock and of label."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest

from plait.corpus.corpus import AnnotationEntry, Corpus, RecordingEntry, StreamEntry, write_manifest


def sound(path: Path, seconds: float, rate: int = 8000) -> None:
    with wave.open(str(path), "wb") as out:
        out.setparams((1, 2, rate, 0, "NONE", ""))
        tone = np.sin(2 * np.pi * 300 * np.arange(round(seconds * rate)) / rate)
        out.writeframes((8000 * tone).astype("<i2").tobytes())


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    """``talk.1`` has everything, its sound on a clock that is off; ``talk/2`` has a loose sensor and no words."""
    folder = tmp_path / "corpus"
    folder.mkdir()
    sound(folder / "a.wav", 4)
    rng = np.random.default_rng(0)
    np.save(folder / "grid.npy", rng.normal(size=(40, 2)).astype(np.float32))
    np.save(folder / "loose.npy", rng.normal(size=(30, 2)).astype(np.float32))
    np.save(folder / "loose.times.npy", np.cumsum(rng.uniform(0.05, 0.2, 30)))
    words = StreamEntry(texts=["don't", 'stop <here> & "there"', ""], spans=[(0.5, 1), (1, 1.75), (2, 2.5)])
    loose = {"kind": "series", "times": "loose.times.npy"}
    entries = [
        RecordingEntry(
            id="talk.1",
            streams={
                "voice": StreamEntry(path="a.wav", offset=0.25, drift_ppm=100),
                "imu": StreamEntry(path="grid.npy", rate="30000/1001", offset=0.5, options={"kind": "series"}),
                "words": words,
            },
            labels={"mood": "glad", "score": 1.5, "spoken": True},
            annotations=[
                AnnotationEntry(start=0.5, stop=1.25, label="nod", tier="gesture", annotator="ann"),
                AnnotationEntry(start=1, stop=2, label="wave", tier="gesture"),
                AnnotationEntry(start=1, stop=2, label=0.5, tier="valence"),
            ],
            meta={"place": "lab"},
            group="anna",
            split="train",
        ),
        RecordingEntry(id="talk/2", streams={"imu": StreamEntry(path="loose.npy", options=loose)}, group="bob"),
    ]
    write_manifest(folder / "manifest.jsonl", entries)
    return Corpus(folder / "manifest.jsonl")
