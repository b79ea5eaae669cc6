"""What plait writes is what the other tools read; what it reads back is what it wrote."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tarfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io.wavfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from plait.core.errors import ConfigError, DataError
from plait.core.parts import parts
from plait.corpus.corpus import (
    AnnotationEntry,
    Corpus,
    CorpusWriter,
    RecordingEntry,
    StreamEntry,
    write_manifest,
)
from plait.interchange import Format, export_corpus, import_corpus
from plait.interchange.annotations import lanes
from plait.interchange.sample import Piece, Sample, add_sample, clock_facts, clock_of, samples
from plait.readers import open_streams
from plait.streams.clock import Grid, Spans, Ticks
from plait.streams.stream import Stream

PACKED = ["hf_datasets", "webdataset"]


def exported(corpus: Corpus, to: Any, tmp_path: Path, **more: Any) -> Path:
    out = tmp_path / "out"
    export_corpus(corpus, out, to, cache=tmp_path / "cache", **more)
    return out


def test_every_format_is_listed() -> None:
    assert set(parts(Format)) == {"csd", "elan", "hf_datasets", "lhotse", "srt", "textgrid", "vtt", "webdataset"}


@pytest.mark.parametrize("form", PACKED)
def test_written_and_read_back(form: str, corpus: Corpus, tmp_path: Path) -> None:
    out = exported(corpus, form, tmp_path, features={"imu": "series", "words": None})
    moved = import_corpus(out, tmp_path / "again", form)
    assert (moved.recordings, moved.streams, moved.notes) == (2, 3, {})
    again = Corpus(tmp_path / "again/manifest.jsonl")
    for one in corpus:
        other = again[one.id]
        assert (dict(other.labels), other.annotations, dict(other.meta)) == (
            dict(one.labels),
            one.annotations,
            dict(one.meta),
        )
        assert (other.group, other.split) == (one.group, one.split)
        for name in set(one.streams) - {"voice"}:
            np.testing.assert_array_equal(other.streams[name].read(), one.streams[name].read())
            np.testing.assert_array_equal(other.streams[name].clock.times, one.streams[name].clock.times)
    clock = again["talk.1"].streams["imu"].clock
    assert isinstance(clock, Grid)
    assert clock.rate == Grid(0, 29.97, 1).rate
    assert isinstance(again["talk/2"].streams["imu"].clock, Ticks)


@pytest.mark.parametrize("form", sorted(parts(Format)))
def test_the_same_corpus_gives_the_same_bytes(form: str, corpus: Corpus, tmp_path: Path) -> None:
    found = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        out = exported(corpus, form, tmp_path / name)
        found.append({p.name: p.read_bytes() for p in sorted(out.rglob("*")) if p.is_file() and p.name != "state.json"})
    if form == "csd":  # HDF5 keeps the time of its making
        assert found[0].keys() == found[1].keys()
    else:
        assert found[0] == found[1]


def test_what_stands_there_is_not_overwritten(corpus: Corpus, tmp_path: Path) -> None:
    out = exported(corpus, "webdataset", tmp_path)
    with pytest.raises(ConfigError, match="is there already"):
        exported(corpus, "webdataset", tmp_path)
    import_corpus(out, tmp_path / "again", "webdataset")
    with pytest.raises(ConfigError, match="is there already"):
        import_corpus(out, tmp_path / "again", "webdataset")
    with pytest.raises(DataError, match="no such file or folder"):
        import_corpus(tmp_path / "nowhere", tmp_path / "third", "webdataset")
    with pytest.raises(ConfigError, match="such files are read by a reader"):
        import_corpus(out, tmp_path / "fourth", "elan")
    with pytest.raises(ConfigError, match="Did you mean 'webdataset'"):
        export_corpus(corpus, tmp_path / "fifth", "webdatset")


def test_hugging_face_reads_it(corpus: Corpus, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    table = datasets.load_from_disk(str(exported(corpus, "hf_datasets", tmp_path)))
    assert table["id"][:] == ["talk.1", "talk/2"]
    row = table.with_format("numpy")[0]
    np.testing.assert_array_equal(row["imu"], corpus["talk.1"].streams["imu"].read())
    np.testing.assert_allclose(row["imu.starts"], corpus["talk.1"].streams["imu"].clock.times)
    assert list(row["words"]) == ["don't", 'stop <here> & "there"', ""]
    assert table[1]["words"] is None
    assert [a["tier"] for a in table[0]["annotations"]] == ["gesture", "gesture", "valence"]


def test_datasets_of_others_are_read(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    buffer = io.BytesIO()
    import wave

    with wave.open(buffer, "wb") as out:
        out.setparams((1, 2, 8000, 0, "NONE", ""))
        out.writeframes(np.zeros(800, "<i2").tobytes())
    features = datasets.Features(
        id=datasets.Value("string"),
        audio={"bytes": datasets.Value("binary"), "path": datasets.Value("string")},
        text=datasets.Value("string"),
        label=datasets.ClassLabel(names=["no", "yes"]),
        track=datasets.List(datasets.List(datasets.Value("float32"))),
        odd=datasets.List(datasets.Value("string")),
    )
    rows = [
        {"id": f"r{i}", "audio": {"bytes": buffer.getvalue(), "path": "x.wav"}, "text": "hi", "label": i % 2,
         "track": [[1.0, 2.0]] * (i + 3), "odd": ["a"]}
        for i in range(3)
    ]  # fmt: skip
    whole = datasets.Dataset.from_list(rows, features=features).cast_column("audio", datasets.Audio(decode=False))
    datasets.DatasetDict(train=whole.select([0, 1]), test=whole.select([2])).save_to_disk(str(tmp_path / "theirs"))
    moved = import_corpus(tmp_path / "theirs", tmp_path / "ours", {"name": "hf_datasets", "rate": 10})
    assert moved.notes == {"values of the column 'odd'": 3}
    corpus = Corpus(tmp_path / "ours/manifest.jsonl")
    assert [(r.id, r.split, r.labels["label"]) for r in corpus] == [
        ("r0", "train", "no"),
        ("r1", "train", "yes"),
        ("r2", "test", "no"),
    ]
    assert corpus["r1"].streams["audio"].shape == (800, 1)
    assert corpus["r2"].streams["track"].shape == (5, 2)
    assert corpus["r2"].streams["track"].clock.times[-1] == pytest.approx(0.4)


@pytest.mark.slow
def test_webdataset_reads_it(corpus: Corpus, tmp_path: Path) -> None:
    pytest.importorskip("webdataset")
    out = exported(corpus, {"name": "webdataset", "per_shard": 1}, tmp_path)
    shards = sorted(map(str, out.glob("*.tar")))
    assert len(shards) == 2
    # In a process of its own: the library leaves files open, which is an error here.
    code = (
        "import sys, json, io, numpy as np, webdataset as w\n"
        "rows = list(w.WebDataset(sys.argv[1:], shardshuffle=False, empty_check=False))\n"
        "about = [json.loads(r['json']) for r in rows]\n"
        "own = about[0]['streams']['imu']['member'] + '.npy'\n"
        "print(json.dumps([[a['id'] for a in about], np.load(io.BytesIO(rows[0][own])).tolist()]))"
    )
    done = subprocess.run([sys.executable, "-c", code, *shards], capture_output=True, text=True, check=True)
    ids, values = json.loads(done.stdout)
    assert ids == ["talk.1", "talk/2"]
    np.testing.assert_array_equal(np.float32(values), corpus["talk.1"].streams["imu"].read())


def tar_of(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def test_a_webdataset_of_others_is_unpacked_and_imported(tmp_path: Path) -> None:
    table = b"time,x\n" + b"".join(b"%f,%d\n" % (i / 10, i) for i in range(20))
    tar = tar_of(tmp_path / "theirs.tar", {"a/one.csv": table, "a/two.csv": table, "../../escape.csv": table})
    moved = import_corpus(tar, tmp_path / "ours", "webdataset")
    assert not (tmp_path / "escape.csv").exists()
    assert not (tmp_path.parent / "escape.csv").exists()
    assert sorted(p.name for p in (tmp_path / "ours").glob("*.csv")) == ["-..-escape.csv", "a-one.csv", "a-two.csv"]
    assert moved.recordings == 3
    assert Corpus(tmp_path / "ours/manifest.jsonl")["a-one"].streams


def test_samples_of_others_whose_names_are_alike_all_come_over(tmp_path: Path) -> None:
    def table(x: int) -> bytes:
        return b"time,x\n" + b"".join(b"%f,%d\n" % (i / 10, x) for i in range(5))

    (tmp_path / "theirs").mkdir()
    tar_of(tmp_path / "theirs/s0.tar", {"a/b.csv": table(1), "a-b.csv": table(2), "a/b.imu.csv": table(3), "a": b"x"})
    tar_of(tmp_path / "theirs/s1.tar", {"a/b.csv": table(4)})
    moved = import_corpus(tmp_path / "theirs", tmp_path / "ours", "webdataset")
    assert moved.notes == {"members whose names have no ending or occur twice": 1}
    found = [{n: s.read()[0, 0] for n, s in r.streams.items()} for r in Corpus(tmp_path / "ours/manifest.jsonl")]
    assert sorted(map(sorted, (f.items() for f in found))) == [
        [("imu", 3), ("series", 1)],
        [("series", 2)],
        [("series", 4)],
    ]


def test_broken_shards_say_where(corpus: Corpus, tmp_path: Path) -> None:
    out = exported(corpus, "webdataset", tmp_path)
    (shard,) = out.glob("*.tar")
    whole = shard.read_bytes()
    for i, size in enumerate((100, 700, 1600, 2700)):
        (tmp_path / "cut").mkdir(exist_ok=True)
        (tmp_path / "cut/s.tar").write_bytes(whole[:size])
        with pytest.raises(DataError, match=r"s\.tar|not whole|no file|folder"):
            import_corpus(tmp_path / "cut", tmp_path / f"again{i}", "webdataset")
    (out / "state.json").write_text("{}")
    with pytest.raises(DataError):
        import_corpus(tmp_path / "corpus", tmp_path / "x", "hf_datasets")


def test_a_cut_dataset_says_where(corpus: Corpus, tmp_path: Path) -> None:
    out = exported(corpus, "hf_datasets", tmp_path)
    data = out / "data-00000-of-00001.arrow"
    data.write_bytes(data.read_bytes()[:900])
    with pytest.raises(DataError, match=r"data-00000-of-00001\.arrow: cannot be read"):
        import_corpus(out, tmp_path / "again", "hf_datasets")


def test_lhotse_reads_it_on_the_sounds_own_clock(corpus: Corpus, tmp_path: Path) -> None:
    lhotse = pytest.importorskip("lhotse")
    out = exported(corpus, "lhotse", tmp_path)
    recordings = lhotse.RecordingSet.from_file(out / "recordings.jsonl.gz")
    supervisions = lhotse.SupervisionSet.from_file(out / "supervisions.jsonl.gz")
    lhotse.CutSet.from_manifests(recordings=recordings, supervisions=supervisions).to_eager()
    (recording,) = recordings
    assert (recording.id, recording.num_samples, recording.sampling_rate) == ("talk.1", 32000, 8000)
    assert recording.load_audio().shape == (1, 32000)
    said = {s.text: s for s in supervisions if s.custom["tier"] == "words"}
    # 0.5 s of the recording is (0.5 - 0.25) / 1.0001 s of the file.
    assert said["don't"].start == pytest.approx(0.25 / 1.0001, abs=1e-5)
    assert said["don't"].speaker == "anna"


def test_lhotse_is_read(corpus: Corpus, tmp_path: Path) -> None:
    out = exported(corpus, "lhotse", tmp_path)
    (out / "plait.json").unlink()  # as where another tool wrote the manifests
    moved = import_corpus(out, tmp_path / "again", "lhotse")
    assert moved.recordings == 1
    again = Corpus(tmp_path / "again/manifest.jsonl", allow_outside=True)["talk.1"]
    assert again.streams["sound"].shape == (32000, 1)
    assert {a.tier for a in again.annotations} == {"gesture", "valence", "words"}
    assert again.group == "anna"
    whole = (out / "supervisions.jsonl.gz").read_bytes()
    (out / "supervisions.jsonl.gz").write_bytes(b"\x1f\x8b")
    with pytest.raises(DataError, match="cannot be read"):
        import_corpus(out, tmp_path / "third", "lhotse")
    (out / "supervisions.jsonl.gz").write_bytes(whole)
    (out / "recordings.jsonl").write_text('{"id": "x"}\n')
    (out / "recordings.jsonl.gz").unlink()
    with pytest.raises(DataError, match="has no id or no sources"):
        import_corpus(out, tmp_path / "fourth", "lhotse")


def test_csd_is_hdf5_as_the_sdk_lays_it_out(corpus: Corpus, tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    out = exported(corpus, "csd", tmp_path)
    with h5py.File(out / "imu.csd") as file:
        assert list(file) == ["imu"]
        assert set(file["imu"]) == {"data", "metadata"}
        own = file["imu"]["data"]["talk.1"]
        np.testing.assert_array_equal(own["features"], corpus["talk.1"].streams["imu"].read())
        np.testing.assert_allclose(own["intervals"][:, 0], corpus["talk.1"].streams["imu"].clock.times)
        assert (own["intervals"][1:, 0] == own["intervals"][:-1, 1]).all()
        assert json.loads(file["imu"]["metadata"]["root name"][0]) == "imu"
    with h5py.File(out / "words.csd") as file:
        assert file["words"]["data"]["talk.1"]["features"][0, 0].decode() == "don't"
    with h5py.File(out / "valence.csd") as file:
        assert file["valence"]["data"]["talk.1"]["features"][0, 0] == 0.5


def test_elan_reads_it(corpus: Corpus, tmp_path: Path) -> None:
    pympi = pytest.importorskip("pympi")
    out = exported(corpus, "elan", tmp_path)
    assert [p.name for p in out.iterdir()] == ["talk.1.eaf"]
    document = pympi.Elan.Eaf(str(out / "talk.1.eaf"))
    assert set(document.get_tier_names()) == {"gesture@ann", "gesture", "valence", "words"}
    said = sorted(document.get_annotation_data_for_tier("words"))
    assert said[1][:3] == (1000, 1750, 'stop <here> & "there"')
    (link,) = document.get_linked_files()
    assert link["MEDIA_URL"].endswith("/a.wav")


def test_our_readers_read_the_annotations(corpus: Corpus, tmp_path: Path) -> None:
    for form, ending, exact in (("textgrid", "TextGrid", 1e-9), ("elan", "eaf", 5e-4)):
        (tmp_path / form).mkdir()
        path = exported(corpus, form, tmp_path / form) / f"talk.1.{ending}"
        streams = open_streams(path)
        words = streams["words"]
        assert [t for t in words.read() if t] == ["don't", 'stop <here> & "there"']
        clock = words.clock
        assert isinstance(clock, Spans)
        kept = [i for i, t in enumerate(words.read()) if t]
        np.testing.assert_allclose(clock.starts[kept], [0.5, 1], atol=exact)
        np.testing.assert_allclose(clock.stops[kept], [1, 1.75], atol=exact)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0.001, 20), st.text(max_size=3)), max_size=30))
def test_lanes_never_overlap_and_lose_nothing(rows: list[tuple[float, float, str]]) -> None:
    intervals = sorted((a, a + d, t) for a, d, t in rows if a + d > a)
    dealt = lanes(intervals)
    assert sorted(row for lane in dealt for row in lane) == intervals
    for lane in dealt:
        assert all(a[1] <= b[0] for a, b in pairwise(lane))


@pytest.mark.slow
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    said=st.lists(st.tuples(st.text(max_size=5), st.floats(0, 50), st.floats(0, 5)), max_size=6),
    n=st.integers(0, 20),
    form=st.sampled_from(PACKED),
    seed=st.integers(0, 10**9),
)
def test_any_sample_survives(
    said: list[tuple[str, float, float]], n: int, form: str, seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("any")
    rng = np.random.default_rng(seed)
    said = sorted(said, key=lambda w: w[1])
    said = [w for w in said if w[0].isprintable()]
    starts = np.array([a for _, a, _ in said])
    streams = {
        "x": Stream.of(rng.normal(size=(n, 3)).astype(np.float32), rate="30000/1001", start=float(rng.integers(5))),
        "w": Stream.of(np.array([t for t, _, _ in said], object), spans=(starts, starts + [d for _, _, d in said]))
        if said
        else Stream.of(np.array([], object), times=[], kind="words"),
    }
    with CorpusWriter(folder / "c") as writer:
        writer.add("id with ünicode.and.dots", streams, labels={"y": 3})
    corpus = Corpus(folder / "c/manifest.jsonl")
    out = exported(corpus, form, folder, features={"x": "series", "w": None})
    import_corpus(out, folder / "again", form)
    (one,), (other,) = corpus, Corpus(folder / "again/manifest.jsonl")
    assert (other.id, dict(other.labels)) == (one.id, {"y": 3})
    for name in streams:
        np.testing.assert_array_equal(other.streams[name].read(), one.streams[name].read())
        np.testing.assert_allclose(other.streams[name].clock.times, one.streams[name].clock.times)


def test_clocks_come_back() -> None:
    times = np.array([0.0, 1.5, 2.0])
    for clock in (Grid(0.5, 29.97, 3), Ticks(times), Spans(times, times + 1)):
        piece = Piece(np.zeros((3, 1), np.float32), clock)
        assert clock_of(clock_facts(clock), *piece.edges()) == clock
    with pytest.raises(DataError, match="describes no clock"):
        clock_of({"clock": "grid", "rate": "0"}, times, times)


def test_numbers_on_intervals_keep_their_middles(tmp_path: Path) -> None:
    clock = Spans(np.array([0.0, 1.0]), np.array([0.5, 2.0]))
    with CorpusWriter(tmp_path) as writer:
        lost = add_sample(writer, Sample("a", {"x": Piece(np.zeros((2, 1), np.float32), clock)}))
    assert lost == 1
    assert Corpus(tmp_path / "manifest.jsonl")["a"].streams["x"].clock.times.tolist() == [0.25, 1.5]


def test_a_stream_that_no_recording_has(corpus: Corpus, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no recording has the stream 'imo'"):
        exported(corpus, "csd", tmp_path, features={"imo": None})
    assert next(iter(samples(corpus, [], set(), None))).streams == {}


def test_lhotse_gives_back_recordings_labels_and_clocks(tmp_path: Path) -> None:
    lhotse = pytest.importorskip("lhotse")
    (tmp_path / "raw").mkdir()
    rng = np.random.default_rng(0)
    entries = []
    for i in range(3):
        sounds = {}
        for name in ("near", "far")[: 1 + (i > 0)]:
            path = tmp_path / f"raw/r{i}.{name}.wav"
            scipy.io.wavfile.write(path, 8000, (rng.normal(0, 0.1, 16000) * 32767).astype(np.int16))
            sounds[name] = StreamEntry(path=path.name, offset=0.5 * i, drift_ppm=100.0 * i)
        annotations = [AnnotationEntry(start=1.0, stop=1.5, label="hm", tier="said")]
        more = {"labels": {"mood": "good"}, "group": f"g{i}", "split": "train", "meta": {"age": 30 + i}}
        entries.append(RecordingEntry(id=f"r{i}", streams=sounds, annotations=annotations, **more))
    write_manifest(tmp_path / "raw/manifest.jsonl", entries)
    corpus = Corpus(tmp_path / "raw/manifest.jsonl")
    moved = export_corpus(corpus, tmp_path / "out", "lhotse", cache=tmp_path / "cache")
    assert moved.notes == {
        "labels of whole recordings (plait alone reads them back)": 3,
        "facts about recordings (meta) (plait alone reads them back)": 3,
        "sides of recordings (train, valid, test) (plait alone reads them back)": 3,
    }
    assert len(lhotse.RecordingSet.from_file(tmp_path / "out/recordings.jsonl.gz")) == 5
    assert import_corpus(tmp_path / "out", tmp_path / "again", "lhotse").recordings == 3
    again = Corpus(tmp_path / "again/manifest.jsonl", allow_outside=True)
    for one in corpus:
        other = again[one.id]
        assert list(other.streams) == list(one.streams)
        assert (other.labels, other.group, other.split, other.meta) == (one.labels, one.group, one.split, one.meta)
        assert [(a.start, a.stop, a.label, a.tier) for a in other.annotations] == [
            (pytest.approx(a.start, abs=1e-5), pytest.approx(a.stop, abs=1e-5), a.label, a.tier)
            for a in one.annotations
        ]
        for name in one.streams:
            np.testing.assert_array_equal(other.streams[name].read(), one.streams[name].read())
            np.testing.assert_allclose(other.streams[name].clock.times[[0, -1]], one.streams[name].clock.times[[0, -1]])
    (tmp_path / "out/plait.json").write_text('{"format": "plait-lhotse-1", "recordings": {"r0": 1}}')
    with pytest.raises(DataError, match=r"plait\.json: cannot be read"):
        import_corpus(tmp_path / "out", tmp_path / "third", "lhotse")
