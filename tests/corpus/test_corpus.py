from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from plait.core.errors import ConfigError, DataError
from plait.corpus.corpus import Corpus, CorpusWriter, write_manifest
from plait.streams.recording import Annotation, Recording
from plait.streams.stream import Stream


def test_arrays_come_back_as_they_were_written(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    streams = {
        "imu": Stream.of(rng.normal(size=(40, 6)), rate="333/7", start=1.25),
        "beats": Stream.of(rng.normal(size=(5, 1)), times=[0.1, 0.2, 0.7, 0.7, 2.0]),
        "pose": Stream.of(rng.normal(size=(9, 20, 3)), rate=30),
        "mic": Stream.of(rng.normal(size=160), rate=16000, kind="waveform"),
        "said": Stream.of(np.array(["so", "it goes"], object), spans=([0.0, 1.0], [0.5, 1.75])),
    }
    marks = [Annotation(0.5, 1.0, "nod", "head", "ann")]
    with CorpusWriter(tmp_path) as out:
        out.add("a/b", streams, labels={"n": 3}, annotations=marks, meta={"age": 7}, group="g", split="test")
    found = Corpus(tmp_path / "manifest.jsonl")["a/b"]
    assert (found.labels, found.meta, found.group, found.split) == ({"n": 3}, {"age": 7}, "g", "test")
    assert found.annotations == tuple(marks)
    for name, stream in streams.items():
        back = found.streams[name]
        assert back.kind == stream.kind
        np.testing.assert_array_equal(back.read(), stream.read())
        np.testing.assert_allclose(back.clock.times, stream.clock.times, rtol=0, atol=1e-12)


def test_nothing_is_written_when_the_block_fails(tmp_path: Path) -> None:
    def failing() -> None:
        with CorpusWriter(tmp_path) as out:
            out.add("a", {"x": Stream.of(np.zeros((3, 1)), rate=1)})
            raise RuntimeError

    with pytest.raises(RuntimeError):
        failing()
    assert not (tmp_path / "manifest.jsonl").exists()


def corpus_of(folder: Path, *lines: object) -> Corpus:
    path = folder / "m.jsonl"
    path.write_text("\n".join(x if isinstance(x, str) else json.dumps(x) for x in lines))
    return Corpus(path)


def test_every_bad_line_is_told_with_its_number(tmp_path: Path) -> None:
    lines = ['{"id": "a"}', "{not json", '{"id": "a"}', '{"streams": {}}', '{"id": "b", "lables": {}}']
    with pytest.raises(DataError) as caught:
        corpus_of(tmp_path, *lines)
    text = str(caught.value)
    for place in ("m.jsonl:2", "m.jsonl:3 id: 'a' stands on line 1 too", "m.jsonl:4 id", "m.jsonl:5 lables"):
        assert place in text


@pytest.mark.parametrize("path", ["../secret.npy", "/etc/hostname", "sub/../../secret.npy"])
def test_a_path_cannot_leave_the_folder_unless_allowed(tmp_path: Path, path: str) -> None:
    inside = tmp_path / "in"
    inside.mkdir()
    np.save(tmp_path / "secret.npy", np.zeros((3, 1)))
    corpus = corpus_of(inside, {"id": "a", "streams": {"x": {"path": path, "reader": "array"}}})
    with pytest.raises(DataError, match=r"m.jsonl:1 'x'.*leaves the corpus folder.*--allow-outside"):
        corpus["a"].streams["x"]
    if path == "../secret.npy":
        opened = Corpus(inside / "m.jsonl", allow_outside=True)["a"].streams["x"]
        assert opened.shape == (3, 1)


def test_a_link_out_of_the_folder_is_a_way_out_too(tmp_path: Path) -> None:
    inside = tmp_path / "in"
    inside.mkdir()
    np.save(tmp_path / "secret.npy", np.zeros((3, 1)))
    (inside / "x.npy").symlink_to(tmp_path / "secret.npy")
    corpus = corpus_of(inside, {"id": "a", "streams": {"x": {"path": "x.npy"}}})
    with pytest.raises(DataError, match="leaves the corpus folder"):
        corpus["a"].streams["x"]


def test_errors_name_line_and_stream(tmp_path: Path) -> None:
    corpus = corpus_of(
        tmp_path,
        {"id": "a", "streams": {"x": {"path": "none.npy"}, "y": {}, "z": {"path": "m.jsonl", "reader": "arry"}}},
    )
    with pytest.raises(DataError, match=r"m.jsonl:1 'x'.*no such file"):
        corpus["a"].streams["x"]
    with pytest.raises(DataError, match=r"m.jsonl:1 'y'.*neither a path nor texts"):
        corpus["a"].streams["y"]
    with pytest.raises((DataError, ConfigError), match="array"):
        corpus["a"].streams["z"]
    with pytest.raises(DataError, match="no recording 'b'"):
        corpus["b"]


def test_asking_whether_a_stream_is_there_opens_nothing(tmp_path: Path) -> None:
    recording = corpus_of(tmp_path, {"id": "a", "streams": {"x": {"path": "none.npy"}}})["a"]
    assert "x" in recording.streams
    assert "x" in recording.cut(0, 1).streams
    assert list(recording.streams) == ["x"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(st.floats(-3, 3), st.floats(-200, 200), st.floats(0, 1e9))
def test_the_manifests_clock_correction(tmp_path: Path, offset: float, drift: float, origin: float) -> None:
    np.save(tmp_path / "x.npy", np.zeros((100, 1)))
    entry = {"path": "x.npy", "rate": "50", "offset": offset, "drift_ppm": round(drift, 3), "origin": round(origin)}
    found = corpus_of(tmp_path, {"id": "a", "streams": {"x": entry}})["a"].streams["x"].clock.times
    wanted = (np.arange(100) / 50 - round(origin)) * (1 + round(drift, 3) * 1e-6) + offset
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-6)


def test_normalised_time(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((80, 1)))
    corpus = corpus_of(tmp_path, {"id": "a", "streams": {"x": {"path": "x.npy", "duration": 1.0}}})
    clock = corpus["a"].streams["x"].clock
    assert (clock.start, clock.stop, clock.n) == (0.0, 1.0, 80)


def test_the_manifest_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "m.jsonl"
    write_manifest(path, [])
    before = path.read_text()

    def breaking() -> object:
        raise RuntimeError
        yield

    with pytest.raises(RuntimeError):
        write_manifest(path, breaking())  # type: ignore[arg-type]
    assert path.read_text() == before


@given(st.floats(0, 9), st.floats(0.01, 5), st.floats(0, 9), st.floats(0.01, 5))
def test_a_cut_recording_is_a_view(a: float, length: float, c: float, other: float) -> None:
    stream = Stream.of(np.arange(100)[:, None], rate=10)
    marks = (Annotation(1, 3, "x"), Annotation(6, 6.5, "y"))
    recording = Recording("r", {"s": stream}, annotations=marks)
    once = recording.cut(a, a + length)
    values = once.streams["s"].read()[:, 0]
    assert all(a - 1e-6 <= v / 10 < a + length for v in values)
    assert all(a <= m.start < m.stop <= a + length for m in once.annotations)
    start, stop = max(a, c), min(a + length, c + other)
    if stop > start:
        twice, direct = once.cut(c, c + other), recording.cut(start, stop)
        np.testing.assert_array_equal(twice.streams["s"].read(), direct.streams["s"].read())
        assert twice.annotations == direct.annotations


def test_a_stream_of_words_is_a_tier() -> None:
    words = Stream.of(np.array(["bin", "a"], object), spans=([0.0, 0.5], [0.5, 0.75]))
    found = Recording("r", {"words": words}).tier("words")
    assert [(m.start, m.stop, m.label) for m in found] == [(0.0, 0.5, "bin"), (0.5, 0.75, "a")]
    assert Recording("r", {"words": words}).tier("other") == ()
    with pytest.raises(DataError, match="stop > start"):
        Recording("r", {}).cut(2, 2)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [({}, "exactly one"), ({"rate": 1, "times": [0]}, "exactly one"), ({"times": [0, 1]}, "3 values but 2"),
     ({"rate": 1, "kind": "smell"}, "smell")],
)  # fmt: skip
def test_streams_that_do_not_fit_are_refused(arguments: dict[str, object], said: str) -> None:
    with pytest.raises(DataError, match=said):
        Stream.of(np.zeros((3, 2)), **arguments)  # type: ignore[arg-type]
