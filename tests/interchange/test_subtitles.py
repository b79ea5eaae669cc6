"""Subtitles are read again as they were, by plait's reader and by pysubs2."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pysubs2
import pytest

from plait.core.errors import ConfigError
from plait.corpus.corpus import Corpus, CorpusWriter
from plait.interchange import export_corpus
from plait.interchange.subtitles import Srt
from plait.readers import open_streams
from plait.streams.recording import Annotation
from plait.streams.stream import Stream

SAID = [(0.25, 0.5, "good"), (0.5, 0.875, "d<a>y & night"), (3661.004, 3662.5, "all")]


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    with CorpusWriter(tmp_path / "made") as out:
        imu = Stream.of(np.zeros((40_000, 1)), rate=10)
        out.add("a", {"imu": imu}, annotations=[Annotation(*row, "words") for row in SAID])
        more = [Annotation(0, 1, "one\ntwo", "text"), Annotation(1, 2, " ", "text"), Annotation(0, 1, "nod", "head")]
        out.add("b", {"imu": imu}, annotations=more)
        out.add("c", {"imu": imu})
    return Corpus(tmp_path / "made/manifest.jsonl")


@pytest.mark.parametrize("to", ["srt", "vtt"])
def test_cues_are_read_again(to: str, corpus: Corpus, tmp_path: Path) -> None:
    moved = export_corpus(corpus, tmp_path / "out", to, cache=tmp_path / "cache")
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [f"a.{to}", f"b.head.{to}", f"b.text.{to}"]
    (stream,) = open_streams(tmp_path / "out" / f"a.{to}").values()
    rows = [(a, b, str(label)) for a, b, label in zip(stream.clock.starts, stream.clock.stops, stream.read())]
    assert [row[:2] for row in rows] == [pytest.approx(row[:2]) for row in SAID]
    assert [row[2] for row in rows] == ["good", "d<a>y & night" if to == "vtt" else "dy & night", "all"]
    assert moved.notes.get("texts with markup, which readers take out", 0) == (to == "srt")
    foreign = pysubs2.load(str(tmp_path / "out" / f"a.{to}"))
    assert [(e.start, e.end) for e in foreign] == [(round(a * 1000), round(b * 1000)) for a, b, _ in SAID]
    assert moved.notes["recordings without annotations or words"] == 1
    assert moved.notes["texts of several lines (now one)"] == 1
    assert moved.notes["intervals without a text"] == 1


def test_words_are_joined_to_lines_that_people_read(corpus: Corpus, tmp_path: Path) -> None:
    export_corpus(corpus, tmp_path / "out", {"name": "srt", "words": 7}, cache=tmp_path / "cache")
    assert (tmp_path / "out/a.srt").read_text(encoding="utf-8") == (
        "1\n00:00:00,250 --> 00:00:00,875\ngood d<a>y & night\n\n2\n01:01:01,004 --> 01:01:02,500\nall\n"
    )


def test_wrong_options_are_refused() -> None:
    with pytest.raises(ConfigError, match="got words 0"):
        Srt(words=0)
