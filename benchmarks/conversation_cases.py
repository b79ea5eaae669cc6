"""Made-up dialogues for benchmarks/conversation.py: what a turn means depends on the turns before."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from plait.corpus.corpus import CorpusWriter
from plait.streams.recording import Annotation
from plait.streams.stream import Stream

RATE, FILM = 8000, 10
"""Samples of sound and pictures per second; a turn takes one second."""

SAID = (
    ["No, not again.", "Leave me alone.", "That is terrible.", "You ruined it.", "I am so tired of this."],
    ["That is wonderful!", "Thank you so much!", "I love it.", "What a great idea!", "Well done, my friend."],
)


def dialogues(folder: Path, *, count: int = 80, turns: int = 10, seed: int = 0) -> Path:
    """Dialogues of three people: streams text, sound, picture; tiers emotion, speaker. Returns the manifest.

    Every turn has a sign, good or bad. Each stream shows it by itself, wrongly in one turn of ten: what is said, high
    or low sound, bright or dark pictures. The emotion is the sign of most of three turns: the turn itself, the one
    before and the speaker's own last one; where one of them is missing, the turn's own sign counts for it. So the turn
    alone gives three quarters of the emotions, and with both others nearly all.
    """
    rng = np.random.default_rng(seed)
    with CorpusWriter(folder) as out:
        for i in range(count):
            sign, who = rng.integers(0, 2, turns), rng.integers(0, 3, turns)
            emotion = ["happy" if votes >= 2 else "angry" for votes in _votes(sign, who)]
            notes = [Annotation(float(k), k + 1.0, emotion[k], "emotion") for k in range(turns)]
            notes += [Annotation(float(k), k + 1.0, "abc"[who[k]], "speaker") for k in range(turns)]
            side = ("train", "train", "train", "valid", "test", "test")[i % 6]
            out.add(f"talk{i:03d}", _streams(sign, rng), annotations=notes, split=side)
    return folder / "manifest.jsonl"


def _votes(sign: NDArray[np.int64], who: NDArray[np.int64]) -> list[int]:
    last: dict[int, int] = {}
    found = []
    for k, own in enumerate(sign):
        before = sign[k - 1] if k else own
        found.append(int(own + before + last.get(int(who[k]), int(own))))
        last[int(who[k])] = int(own)
    return found


def _streams(sign: NDArray[np.int64], rng: np.random.Generator) -> dict[str, Stream]:
    turns = len(sign)
    text, high, bright = (np.where(rng.random(turns) < 0.1, 1 - sign, sign) for _ in range(3))
    spans = ([float(k) for k in range(turns)], [k + 1.0 for k in range(turns)])
    pitch = np.repeat(np.where(high, 900.0, 500.0), RATE)
    sound = np.sin(2 * np.pi * np.cumsum(pitch) / RATE) + 0.3 * rng.standard_normal(turns * RATE)
    film = np.repeat(np.where(bright, 150.0, 100.0), FILM)[:, None, None]
    film = film + 20 * rng.standard_normal((turns * FILM, 8, 8))
    return {
        "text": Stream.of([SAID[s][rng.integers(len(SAID[s]))] for s in text], spans=spans, kind="words"),
        "sound": Stream.of(0.2 * sound, rate=RATE, kind="waveform"),
        "picture": Stream.of(film.clip(0, 255).astype(np.uint8), rate=FILM, kind="frames"),
    }
