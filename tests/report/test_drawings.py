"""Which answers are drawn, and where the files lie."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from plait.corpus.corpus import Corpus, CorpusWriter
from plait.prediction.predict import Prediction
from plait.report.drawings import draw_answers
from plait.streams.stream import Stream
from plait.tasks.answers import Relations, Text
from plait.tasks.evidence import Caption

SAID = Caption(((4.0, 4.5, "a", 0.9), (4.5, 5.0, "dog", 0.8)), ("eye", "ear"), (None, None), (4.5,))
RELATED = Relations((("0", "on", "1", 0.7),), {"0": "cup", "1": "table"}, {"0": (1.0, 1.0, 3.0, 3.0)})


def predicted(recording: str, start: float, answer: object) -> Prediction:
    return Prediction(recording, start, start + 1, answer, ("eye",), ())  # type: ignore[arg-type]


def corpus(folder: Path) -> Corpus:
    film = np.zeros((12, 16, 20, 3), np.uint8)
    film[9] = 200  # at 4.5 seconds
    with CorpusWriter(folder) as out:
        out.add("day/one", {"film": Stream.of(film, rate=2), "noise": Stream.of(np.zeros(6, np.float32), rate=1)})
        out.add("deaf", {"noise": Stream.of(np.zeros(6, np.float32), rate=1)})
    return Corpus(folder / "manifest.jsonl")


def test_captions_and_relations_are_drawn_and_other_answers_are_not(tmp_path: Path) -> None:
    rows = [
        predicted("day/one", 4.0, SAID),
        predicted("day/one", 2.0, RELATED),
        predicted("day/one", 3.0, Text(((3.0, 4.0, "yes", 0.9),))),
        predicted("day/one", 5.0, None),
        predicted("deaf", 0.0, SAID),
        predicted("deaf", 1.0, RELATED),
        predicted("deaf", 1.0, RELATED),
    ]
    streams = {"eye": "film", "ear": "noise"}
    drawn = draw_answers(rows, corpus(tmp_path / "c"), streams, tmp_path / "out")
    assert [path.name for path in drawn] == ["day_one-4.00.png", "day_one-2.00.png", "deaf-1.00.png", "deaf-1.00-2.png"]
    pictures = [cv2.imread(str(path)) for path in drawn]
    assert all(picture is not None for picture in pictures)
    assert (pictures[0] == 200).all(-1).any(), "the key frame at 4.5 s of the recording is shown"
