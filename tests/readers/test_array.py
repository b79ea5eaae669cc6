"""Arrays: npy, npz and mat."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import scipy.io

from plait.core.errors import ConfigError, DataError
from plait.corpus.corpus import Corpus, CorpusWriter
from plait.readers import open_streams
from plait.readers._mat import list_mat
from plait.readers._mat73 import is_mat73, list_mat73
from plait.readers.array import Array
from plait.streams.clock import Grid, Ticks
from plait.streams.stream import Stream


def test_what_the_corpus_writer_wrote_comes_back(tmp_path):
    rng = np.random.default_rng(0)
    streams = {
        "imu": Stream.of(rng.standard_normal((50, 6)), rate=50, start=1.5),
        "beats": Stream.of(rng.standard_normal((7, 1)), times=np.cumsum(rng.random(7))),
        "body": Stream.of(rng.standard_normal((9, 20, 3)), rate="30000/1001"),
        "mouth": Stream.of(rng.integers(0, 255, (5, 8, 9, 3)).astype(np.uint8), rate=25),
        "said": Stream.of(["a", "b"], spans=([0, 1], [0.5, 2])),
    }
    with CorpusWriter(tmp_path) as out:
        out.add("one", streams)
    back = Corpus(tmp_path / "manifest.jsonl")["one"].streams
    for name, stream in streams.items():
        assert back[name].kind == stream.kind
        assert back[name].clock == stream.clock
        assert np.array_equal(back[name].read(), stream.read())


def test_npz_gives_numeric_arrays_and_texts_by_name(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, x=np.arange(6.0).reshape(2, 3), t=[0.5, 0.7], words=np.array(["hi", "ho"]), n=3)
    assert set(open_streams(path)) == {"x", "t"}
    timed = Array(times="t").open(path)
    assert timed["x"].clock == Ticks([0.5, 0.7])
    assert set(timed) == {"x"}
    texts = Array(variable="words").open(path)["words"]
    assert (texts.kind, texts.read().tolist(), texts.clock) == ("words", ["hi", "ho"], Grid(0, 1, 2))
    assert Array(variable="words", row=1).open(path)["words"].read().tolist() == ["ho"]
    row = Array(variable="x", row=-1).open(path)["x"]
    assert (row.shape, row.read().tolist()) == ((1, 3), [[3, 4, 5]])


def test_mat_with_time_on_another_axis(tmp_path):
    path = tmp_path / "a.mat"
    skeleton = np.random.default_rng(0).standard_normal((20, 3, 41))
    scipy.io.savemat(path, {"d_skel": skeleton, "name": "walk"}, do_compression=True)
    stream = open_streams(path, options={"time_axis": 2, "rate": 30})["d_skel"]
    assert (stream.kind, stream.shape, stream.clock) == ("pose", (41, 20, 3), Grid(0, 30, 41))
    assert np.array_equal(stream.read(), skeleton.transpose(2, 0, 1))


def test_npy_is_memory_mapped_and_its_reads_are_writable(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, np.arange(10.0))
    stream = Array(rate=5).open(path)["values"]
    assert stream.shape == (10, 1)
    part = stream.cut(1, 1.4).read()
    part += 1
    assert stream.cut(1, 1.4).read().tolist() == [[5], [6]]


def _object(path):
    np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)


def _infinite(path):
    np.save(path, np.array([1.0, 2.0, np.inf]))


@pytest.mark.parametrize(
    ("name", "write", "options", "message"),
    [
        ("a.npy", _object, {}, r"a\.npy: .*objects"),
        (
            "a.npz",
            lambda p: np.savez(p, x=np.array([None, {}])),
            {"variable": "x"},
            r"a\.npz:x: is an array of objects",
        ),
        ("a.npy", _infinite, {}, r"a\.npy: 1 observations hold infinite values, first number 2\."),
        ("a.mat", lambda p: p.write_bytes(b"MATLAB 7.3 MAT-file, Platform" + bytes(600)), {}, r"a\.mat: .*7\.3 .*-v7"),
        ("a.mat", lambda p: p.write_bytes(b"MATLAB 5.0" + bytes(40)), {}, r"cannot be read as a MATLAB file"),
        ("a.npz", lambda p: p.write_bytes(b"PK\3\4"), {}, r"cannot be read as an archive"),
        ("a.npy", lambda p: np.save(p, np.zeros(3)), {"variable": "x"}, r"has no array 'x'\. There is: values\."),
        ("a.npy", lambda p: np.save(p, np.zeros(3)), {"times": "t.npy"}, r"neither a variable nor a file 't\.npy'"),
        ("a.npy", lambda p: np.save(p, np.zeros(3)), {"row": 3}, r"has shape \(3,\), so no row 3"),
        ("a.npy", lambda p: np.save(p, np.zeros(3)), {"time_axis": 1}, r"no time axis 1"),
        (
            "a.npz",
            lambda p: np.savez(p, x=np.zeros(3), t=[0, 1]),
            {"times": "t"},
            r"3 observations, but 't' has 2 times",
        ),
        ("a.npz", lambda p: np.savez(p, x=np.zeros(2), t=[1, 0]), {"times": "t"}, r"go backwards"),
        ("a.npz", lambda p: np.savez(p, x=np.array(["a"])), {}, r"has no numeric array"),
    ],
)
def test_bad_arrays_say_where_and_what_to_do(tmp_path, name, write, options, message):
    write(tmp_path / name)
    with pytest.raises(DataError, match=message):
        [stream.read() for stream in open_streams(tmp_path / name, options=options).values()]


def test_options_are_checked():
    with pytest.raises(ConfigError, match="both"):
        Array(rate=1, times="t")
    with pytest.raises(ConfigError, match="kind"):
        Array(kind="film")


def test_real_skeletons(real_data):
    path = sorted((real_data / "utd_mhad/Skeleton").glob("*.mat"))[0]
    stream = Array(time_axis=2).open(path)["d_skel"]
    assert stream.kind == "pose"
    assert stream.read().shape == (len(stream), 20, 3)
    assert Array().open(sorted((real_data / "utd_mhad/Inertial").glob("*.mat"))[0])["d_iner"].shape[1:] == (6,)


def test_mat_files_of_every_version_are_those_of_scipy():
    """Files that scipy brings for its own tests: versions 4 to 7.3, both byte orders, packed and not."""
    h5py = pytest.importorskip("h5py")
    files = sorted((Path(scipy.io.__file__).parent / "matlab/tests/data").glob("test*.mat"))
    if not files:
        pytest.skip("scipy is installed without its test data")
    compared = 0
    for path in files:
        if is_mat73(path):
            with h5py.File(path) as file:
                want, arrays = {name: array[()].T for name, array in file.items()}, list_mat73(path)
        else:
            want, arrays = scipy.io.loadmat(path), list_mat(path)
        for found in arrays:
            if found.kind != "O":
                values, other = found.load(), want[found.name]
                if found.kind == "U":
                    other = np.char.rstrip(other)
                assert values.shape == other.shape, (path.name, found.name)
                assert np.array_equal(values, other), (path.name, found.name)
                compared += 1
    assert compared > 40


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("version", ["4", "5"])
def test_mat_values_are_loaded_when_they_are_asked_for(tmp_path, packed, version):
    path = tmp_path / "a.mat"
    values = {"x": np.arange(12, dtype=np.int16).reshape(4, 3), "y": np.array([[1.5], [np.nan]]), "z": "naïve"}
    packing = {"do_compression": packed} if version == "5" else {}
    scipy.io.savemat(path, values, format=version, **packing)
    found = {a.name: a for a in list_mat(path)}
    assert {n: (a.shape, a.kind) for n, a in found.items()} == {
        "x": ((4, 3), "i"),
        "y": ((2, 1), "f"),
        "z": ((1,), "U"),
    }
    assert np.array_equal(found["x"].load(), values["x"])
    assert np.array_equal(found["y"].load(), values["y"], equal_nan=True)
    assert found["z"].load().tolist() == ["naïve"]
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(DataError, match="cannot be read as a MATLAB file"):
        list_mat(path)


def test_a_mat_file_that_claims_more_than_it_holds(tmp_path):
    path = tmp_path / "a.mat"
    scipy.io.savemat(path, {"x": np.arange(6.0)})
    data = path.read_bytes()
    path.write_bytes(data.replace(struct.pack("<2i", 1, 6), struct.pack("<2i", 2**30, 2**30)))
    with pytest.raises(DataError, match="an array has the sizes"):
        list_mat(path)


def _mat73(path, **arrays):
    """A file as MATLAB 7.3 writes it: a head of 512 bytes, axes in reverse, and the class of each array beside it."""
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, (kind, values, more) in arrays.items():
            made = file.create_dataset(name, data=values, **more.pop("how", {}))
            made.attrs["MATLAB_class"] = np.bytes_(kind)
            for key, value in more.items():
                made.attrs[key] = value
        cell = file.create_dataset("cell", (1, 1), h5py.ref_dtype)
        cell.attrs["MATLAB_class"] = np.bytes_("cell")
        file.create_group("s/x").parent.attrs["MATLAB_class"] = np.bytes_("struct")
        cell[0, 0] = file.create_group("#refs#").create_dataset("a", data=[[1.0]]).ref
    data = path.read_bytes()
    path.write_bytes(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\0\2IM" + data[128:])
    return path


def test_matlab_73(tmp_path, caplog):
    rng = np.random.default_rng(0)
    x, codes = rng.standard_normal((500, 6)), np.frombuffer("naïve 😀 ".encode("utf-16-le"), "<u2")
    z = np.zeros((2, 2), [("real", "f8"), ("imag", "f8")])
    path = _mat73(
        tmp_path / "a.mat",
        x=("double", x.T, {"how": {"compression": "gzip", "chunks": (3, 100), "shuffle": True}}),
        n=("int16", np.arange(24, dtype="i2").reshape(4, 3, 2), {}),
        on=("logical", np.array([[1, 0, 1]], "u1"), {"MATLAB_int_decode": np.int32(1)}),
        said=("char", codes[:, None], {"MATLAB_int_decode": np.int32(2)}),
        none=("double", np.array([0, 3], "u8"), {"MATLAB_empty": np.uint8(1)}),
        table=("table", np.array([[1, 2]], "u4"), {"MATLAB_object_decode": np.int32(3)}),
        z=("double", z, {}),
    )
    found = Array().open(path)
    assert {name: s.shape for name, s in found.items()} == {"x": (500, 6), "n": (2, 3, 4), "on": (3, 1), "none": (0, 3)}
    assert np.array_equal(found["x"].read(), x)
    assert np.array_equal(found["n"].read(), np.arange(24).reshape(4, 3, 2).T)
    assert found["on"].read().tolist() == [[1], [0], [1]]
    assert Array(variable="said").open(path)["said"].read().tolist() == ["naïve 😀"]
    told = caplog.text.replace("(values are neither numbers nor texts (class 6))", "")
    assert "left out: cell (cell), s (struct), said, table (table), z" in told
    for name in ("cell", "s", "z"):
        with pytest.raises(DataError, match=f"a.mat:{name}: is an array of objects or complex numbers"):
            Array(variable=name).open(path)


def test_a_broken_matlab_73_file_says_so(tmp_path):
    path = _mat73(tmp_path / "a.mat", x=("double", np.arange(4000.0)[:, None], {}))
    path.write_bytes(path.read_bytes()[:9000])
    with pytest.raises(DataError, match=r"a\.mat: cannot be read as a MATLAB 7\.3 file \(.*truncated file.*-v7"):
        Array().open(path)
    path.write_bytes(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\0\2IM")
    with pytest.raises(DataError, match=r"a\.mat: cannot be read as a MATLAB 7\.3 file \(.*file signature not found"):
        Array().open(path)


def test_what_functions_close_over_is_no_stream(tmp_path, caplog):
    """MATLAB keeps it in an array without a name."""
    path = tmp_path / "a.mat"
    scipy.io.savemat(path, {"x": np.arange(6.0), "wsp": np.zeros(9, np.uint8), "cells": np.array([1, "a"], object)})
    data = path.read_bytes()
    name = struct.pack("<2H4s", 1, 3, b"wsp")
    assert name in data
    path.write_bytes(data.replace(name, struct.pack("<2I", 1, 0)))
    assert list(open_streams(path)) == ["x"]
    assert "left out: cells (cell) (" in caplog.text
