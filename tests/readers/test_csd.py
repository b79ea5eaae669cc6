"""Computational sequences: files as the CMU Multimodal SDK writes them, and a folder of them as a corpus."""

from __future__ import annotations

import logging

import h5py
import numpy as np
import pytest

from plait.core.errors import ConfigError, DataError
from plait.corpus.corpus import Corpus
from plait.importing.folder import import_folder
from plait.readers import open_streams
from plait.readers.csd import Csd
from plait.streams.clock import Spans


def _write(path, name, recordings):
    with h5py.File(path, "w") as file:
        for key, (features, intervals) in recordings.items():
            file[f"{name}/data/{key}/features"] = features
            file[f"{name}/data/{key}/intervals"] = intervals
        file[f"{name}/metadata/root name"] = name
    return path


def _spans(n, step=0.5):
    return np.stack([np.arange(n), np.arange(n) + 1], 1) * step


def test_recordings_by_their_id_and_one_of_them_by_the_sequence_s_name(tmp_path):
    values = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
    path = _write(tmp_path / "f.csd", "FACET_4.2", {"vid1": (values, _spans(6)), "vid2": (values[:2], _spans(2))})
    found = open_streams(path)
    assert sorted(found) == ["vid1", "vid2"]
    assert found["vid1"].clock == Spans(np.arange(6) / 2, np.arange(1, 7) / 2)
    assert np.array_equal(found["vid1"].read(), values)
    assert np.array_equal(found["vid1"].cut(1, 2).read(), values[2:4])
    (name,) = Csd(recording="vid2").open(path)
    assert name == "FACET_4.2"


def test_words_and_intervals_out_of_order(tmp_path, caplog):
    rows = (np.array([[b"film"], [b"gr\xc3\xbcn"], [b"sp"]], "S8"), [[2, 3], [0, 1], [1, 2]])
    stream = open_streams(_write(tmp_path / "w.csd", "words", {"v": rows}))["v"]
    assert (stream.kind, stream.read().tolist()) == ("words", ["grün", "sp", "film"])
    assert stream[1:3].read().tolist() == ["sp", "film"]
    assert "3 intervals out of order were sorted" in caplog.text


def test_infinite_values_are_refused_or_counted(tmp_path, caplog):
    path = _write(tmp_path / "c.csd", "COVAREP", {"v": (np.array([[1, -np.inf], [2, 3.0]]), _spans(2))})
    with pytest.raises(DataError, match=r"c\.csd:v: 1 observations hold infinite values"):
        open_streams(path)["v"].read()
    with caplog.at_level(logging.WARNING, "plait"):
        values = open_streams(path, options={"infinite": "nan"})["v"].read()
    assert np.array_equal(values, [[1, np.nan], [2, 3]], equal_nan=True)
    assert "1 infinite values are read as NaN" in caplog.text


def test_a_folder_of_them_is_a_corpus_joined_by_id(tmp_path):
    rng = np.random.default_rng(0)
    ids = [f"vid{i}" for i in range(4)]
    facet = {k: (rng.normal(size=(5, 3)), _spans(5)) for k in ids}
    _write(tmp_path / "CMU_MOSI_VisualFacet_4.1.csd", "FACET_4.1", facet)
    said = {k: (np.array([[b"so"], [b"so"]], "S4"), _spans(2, 1)) for k in ids[:3]}
    _write(tmp_path / "CMU_MOSI_TimestampedWords.csd", "words", said)
    score = {k: (np.array([[float(i)], [-1.0]]), _spans(2, 1.25)) for i, k in enumerate(ids)}
    _write(tmp_path / "CMU_MOSI_Opinion_Labels.csd", "Opinion Segment Labels", score)
    rules = {"Opinion Segment Labels": {"rename": "sentiment", "tier": True}, "FACET_4.1": {"rename": "face"}}
    report = import_folder(tmp_path, options={"streams": rules})
    assert (report.recordings, report.left_out) == (4, {})
    corpus = Corpus(tmp_path / "manifest.jsonl")
    assert {r.id: sorted(r.streams) for r in corpus} == {k: ["face", "words"] if k in said else ["face"] for k in ids}
    assert np.array_equal(corpus["vid2"].streams["face"].read(), facet["vid2"][0])
    labels = [(a.start, a.stop, a.label, a.tier) for a in corpus["vid2"].annotations]
    assert labels == [(0, 1.25, 2.0, "sentiment"), (1.25, 2.5, -1.0, "sentiment")]


def test_one_bad_recording_leaves_the_others(tmp_path):
    _write(tmp_path / "a.csd", "A", {"good": (np.ones((2, 1)), _spans(2)), "bad": (np.ones((3, 1)), _spans(2))})
    report = import_folder(tmp_path)
    assert report.recordings == 1
    assert "3 observations, but intervals of shape (2, 2)" in report.left_out["a.csd:bad"]


def _linked(path):
    with h5py.File(path, "w") as file:
        file["x/data/v/intervals"] = _spans(2)
        file["x/data/v/features"] = h5py.ExternalLink("other.h5", "secret")


def _outside(path):
    with h5py.File(path, "w") as file:
        file["x/data/v/intervals"] = _spans(2)
        (path.parent / "raw.bin").write_bytes(bytes(64))
        file["x/data/v"].create_dataset("features", (2, 1), "f8", external=[(str(path.parent / "raw.bin"), 0, 16)])


def _claiming(path):
    with h5py.File(path, "w") as file:
        file["x/data/v"] = h5py.Empty("f")
        del file["x/data/v"]
        file["x/data/v/intervals"] = _spans(2)
        file["x/data/v"].create_dataset("features", (10**12, 3), "f8", chunks=(100, 3))[:2] = 1


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda p: p.write_bytes(b"nothing"), "cannot be read as a computational sequence"),
        (lambda p: h5py.File(p, "w").close(), "is no computational sequence"),
        (_linked, r"a\.csd:v: has no array 'features' of its own"),
        (_outside, r"a\.csd:v: features cannot be read \(its values are in other files, which are not followed\)"),
        (_claiming, r"a\.csd: features would take 24,000,000,000,000 bytes unpacked, of a file of .*option budget"),
        (lambda p: _write(p, "x", {"v": (np.ones((2, 1)), [[1, 0], [1, 2]])}), "a.csd:v: interval 0 runs from"),
    ],
)
def test_bad_files_say_what_is_wrong(tmp_path, write, message):
    write(tmp_path / "a.csd")
    with pytest.raises(DataError, match=message):
        open_streams(tmp_path / "a.csd")


def test_options_are_checked(tmp_path):
    path = _write(tmp_path / "a.csd", "x", {"vid1": (np.ones((2, 1)), _spans(2))})
    with pytest.raises(ConfigError, match="infinite"):
        Csd(infinite="zero")
    with pytest.raises(DataError, match=r"has no recording 'vid'\. Did you mean 'vid1'"):
        Csd(recording="vid").open(path)
