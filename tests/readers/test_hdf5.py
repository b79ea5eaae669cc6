"""HDF5 without the library, against the library."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plait.readers._hdf5 import opened

h5py = pytest.importorskip("h5py")


def _at(file, path):
    address = file.root
    for name in path.split("/"):
        address = file.links(address)[name]
    return address


def _read(path, name, lo=0, hi=None):
    with opened(path) as file:
        dataset = file.dataset(_at(file, name))
        return file.read(dataset, lo, dataset.shape[0] if hi is None else hi)


TYPES = ("<f4", "<f8", ">f8", "<f2", "<i1", "<u1", ">i2", "<u4", "<i8", ">u8")


@settings(max_examples=30, deadline=None)
@given(
    shape=st.lists(st.integers(1, 9), min_size=1, max_size=3).map(tuple),
    dtype=st.sampled_from(TYPES),
    chunked=st.booleans(),
    packing=st.sampled_from([{}, {"compression": "gzip"}, {"shuffle": True}, {"fletcher32": True, "compression": 9}]),
    newest=st.booleans(),
    data=st.data(),
)
def test_arrays_are_those_of_h5py(tmp_path_factory, shape, dtype, chunked, packing, newest, data):
    path = tmp_path_factory.mktemp("h") / "a.h5"
    values = np.random.default_rng(0).integers(0, 100, shape).astype(dtype)
    options = {}
    if (chunked or packing) and not newest:
        options = {"chunks": tuple(data.draw(st.integers(1, n)) for n in shape), **packing}
    with h5py.File(path, "w", libver="latest" if newest else "earliest") as file:
        file.create_dataset("a/b/x", data=values, **options)
    got = _read(path, "a/b/x")
    assert (got.shape, got.dtype.kind) == (values.shape, values.dtype.kind)
    assert np.array_equal(got, values)
    lo = data.draw(st.integers(0, shape[0]))
    hi = data.draw(st.integers(lo, shape[0]))
    assert np.array_equal(_read(path, "a/b/x", lo, hi), values[lo:hi])


def test_texts_of_fixed_and_of_any_length(tmp_path):
    path = tmp_path / "a.h5"
    words = ["so", "", "grün", "a much longer text than the others " * 9]
    with h5py.File(path, "w") as file:
        file["any"] = words
        file["fixed"] = np.array([w.encode() for w in words[:3]], "S6").reshape(3, 1)
    assert [w.decode() for w in _read(path, "any").tolist()] == words
    assert _read(path, "fixed").tolist() == [[w.encode()] for w in words[:3]]


def test_groups_of_thousands(tmp_path):
    """A tree of several levels, and headers that go on elsewhere."""
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        for i in range(500):
            file[f"data/vid{i}/x"] = np.array([i])
        for i in range(60):
            file["data/vid7"].attrs[f"note {i}"] = "x" * 50
    with opened(path) as file:
        links = file.links(_at(file, "data"))
        assert sorted(links) == sorted(f"vid{i}" for i in range(500))
        assert all(int(file.read(file.dataset(file.links(links[f"vid{i}"])["x"]), 0, 1)[0]) == i for i in (0, 7, 499))


def _dense(file):
    for i in range(20):
        file[f"x{i}"] = [1]


@pytest.mark.parametrize(
    ("write", "libver", "message"),
    [
        (_dense, "latest", "stored in the dense way"),
        (
            lambda f: f.create_dataset("x", data=np.arange(9.0), chunks=(2,)),
            "latest",
            "stored in a way that is not read",
        ),
        (lambda f: f.create_dataset("x", data=np.array([1 + 2j])), "earliest", "neither numbers nor texts"),
        (lambda f: f.create_dataset("x", data=np.arange(9.0), compression="lzf"), "earliest", "filter 32000"),
        (lambda f: f.create_dataset("x", (5, 2), "f4", chunks=(2, 2)), "earliest", "chunks of an array are missing"),
        (lambda f: f.create_dataset("x", (5, 2), "f4"), "earliest", "a shape, but no values"),
    ],
)
def test_what_is_not_read_is_said(tmp_path, write, libver, message):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w", libver=libver) as file:
        write(file)
    with pytest.raises(ValueError, match=message):
        _read(path, "x")


def test_links_to_elsewhere_are_not_followed(tmp_path):
    for libver in ("earliest", "latest"):
        path = tmp_path / f"{libver}.h5"
        with h5py.File(path, "w", libver=libver) as file:
            file["own"] = [1]
            file["soft"] = h5py.SoftLink("/own")
            file["other"] = h5py.ExternalLink("other.h5", "x")
        with opened(path) as file:
            assert list(file.links(file.root)) == ["own"]
