"""Made-up dialogues for benchmarks/conversation.py: what a turn means depends on the turns before."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from plait.corpus.corpus import CorpusWriter
from plait.streams.recording import Annotation
from plait.streams.stream import Stream

WIDTH = 12
"""Numbers that describe the sound, and the pictures, of a turn."""

SAID = (
    ["No, not again.", "Leave me alone.", "That is terrible.", "You ruined it.", "I am so tired of this."],
    ["That is wonderful!", "Thank you so much!", "I love it.", "What a great idea!", "Well done, my friend."],
)


def dialogues(folder: Path, *, count: int = 80, turns: int = 10, seed: int = 0) -> Path:
    """Dialogues of three people: streams text, sound, picture; tiers emotion, speaker. Returns the manifest.

    Every turn has a sign, good or bad, which each stream shows by itself, wrongly in one turn of ten: what is said, and
    one vector per turn for its sound and one for its pictures, as such corpora often come. The emotion is the sign of
    most of three turns: the turn itself, the one before and the speaker's own last one; where one of them is missing,
    the turn's own sign counts for it. So the turn alone gives three quarters of the emotions, and with both others
    nearly all.
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
    text, sound, picture = (np.where(rng.random(turns) < 0.1, 1 - sign, sign) for _ in range(3))
    starts = np.arange(turns, dtype=float)
    middle, spans = starts + 0.5, (starts, starts + 1.0)
    return {
        "text": Stream.of([SAID[s][rng.integers(len(SAID[s]))] for s in text], spans=spans, kind="words"),
        "sound": Stream.of(_vectors(sound, rng), times=middle),
        "picture": Stream.of(_vectors(picture, rng), times=middle),
    }


def _vectors(sign: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Numbers of which the first half leans to the sign, in noise, [turns, WIDTH]."""
    leaning = np.where(np.arange(WIDTH) < WIDTH // 2, 1.0, 0.0) * (2.0 * sign[:, None] - 1)
    return leaning + rng.standard_normal((len(sign), WIDTH))
