"""`plait segment`: annotations in a new manifest beside the old."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from plait.cli import main
from plait.core.errors import DataError
from plait.corpus.corpus import Corpus, CorpusWriter
from plait.quality.check import check_corpus
from plait.segment.segment import annotate, write_segments
from plait.streams.recording import Annotation
from plait.streams.stream import Stream


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """Three recordings: pictures and sound, sound alone, and one whose sound is a picture."""
    rng = np.random.default_rng(0)
    film = rng.integers(0, 60, (2, 6, 8, 3)).repeat(8, 1).repeat(8, 2).repeat(50, 0).astype(np.uint8)
    film[50:] += 120
    t = np.arange(64000) / 16000
    tone = sum(np.sin(2 * np.pi * k * 130 * t) / k for k in range(1, 12)) * ((t > 1) & (t < 2.5)) * 0.1
    voice = Stream.of((tone + 1e-4 * rng.standard_normal(64000)).astype(np.float32), rate=16000, kind="waveform")
    with CorpusWriter(tmp_path) as out:
        note = [Annotation(0.5, 1.0, "mine", "shot", "anna")]
        out.add("a", {"view": Stream.of(film, rate=25), "mic": voice}, annotations=note)
        out.add("b", {"mic": voice})
        out.add("c", {"mic": Stream.of(np.zeros((40, 2)), rate=10)})
    return tmp_path / "manifest.jsonl"


def test_shots_and_speech_are_written_beside(manifest: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["segment", str(manifest), "--shots", "view", "--scenes", "--speech", "mic", "--json"]) == 1
    said = json.loads(capsys.readouterr().out)
    assert said["tiers"]["shot"] == {"intervals": 2, "seconds": 4.0, "recordings": 1}
    assert said["tiers"]["speech"]["recordings"] == 2
    assert said["tiers"]["speech"]["seconds"] == pytest.approx(3.0, abs=0.5)
    assert said["absent"] == {"view": 2}
    assert len(said["problems"]) == 1
    assert said["problems"][0].startswith("manifest.jsonl 'c' 'mic': ")
    assert "speech needs sound, but the stream is series" in said["problems"][0]
    out = Path(said["manifest"])
    assert out == manifest.with_suffix(".segments.jsonl")
    corpus = Corpus(out)
    assert corpus["a"].streams["view"].shape == (100, 48, 64, 3)
    tier = corpus["a"].tier("shot")
    assert [(a.start, a.stop, a.label, a.annotator) for a in tier] == [
        (0.0, 2.0, 1, "plait"), (0.5, 1.0, "mine", "anna"), (2.0, 4.0, 2, "plait"),
    ]  # fmt: skip
    assert check_corpus(out).problems == []


def test_again_replaces_only_what_it_made(manifest: Path) -> None:
    out = manifest.with_name("two.jsonl")
    assert main(["segment", str(manifest), "--shots", "view", "--out", str(out)]) == 0
    assert main(["segment", str(out), "--shots", "view", "--speech", "mic", "--out", str(out)]) == 1
    tiers = [a.tier for a in Corpus(out)["a"].annotations]
    assert tiers.count("shot") == 3
    assert "speech" in tiers
    assert {a.tier for a in Corpus(out)["b"].annotations} == {"speech"}


def test_words_need_a_model_and_streams_that_are_there(manifest: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["segment", str(manifest)]) == 2
    assert main(["segment", str(manifest), "--words", "mic", "mic"]) == 2
    assert main(["segment", str(manifest), "--speech", "micc"]) == 2
    said = capsys.readouterr().err
    assert "name a stream for shots" in said
    assert "a CTC model is needed" in said
    assert "Did you mean 'mic'" in said


def test_a_report_goes_into_its_own_folder_only(manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    corpus = Corpus(manifest)
    report = annotate(corpus, {"x": (("mic",), lambda recording: ([Annotation(0, 1, recording.id, "who")], {}))})
    assert report.tiers() == {"who": {"intervals": 3, "seconds": 3.0, "recordings": 3}}
    with pytest.raises(DataError, match="Write the new manifest beside it"):
        write_segments(corpus, report, tmp_path_factory.mktemp("other") / "m.jsonl")
