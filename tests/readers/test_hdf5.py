"""HDF5 behind the gate: what is read of a file, what is refused, and that no file keeps or ends this process."""

from __future__ import annotations

import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plait.core.errors import DataError
from plait.core.jobs import gate
from plait.readers import open_streams
from plait.readers._budget import Budget
from plait.readers._hdf5 import behind, opened


def _at(file, names):
    place = "/"
    for name in names.split("/"):
        place = file.links(place)[name]
    return place


def _read(path, name, lo=0, hi=None, budget=1.0):
    with opened(path, Budget(budget).purse(path)) as file:
        dataset = file.dataset(_at(file, name))
        return file.read(dataset, lo, dataset.shape[0] if hi is None else hi)


TYPES = ("<f4", "<f8", ">f8", "<f2", "<i1", "<u1", ">i2", "<u4", "<i8", ">u8")


@settings(max_examples=30, deadline=None)
@given(
    shape=st.lists(st.integers(1, 9), min_size=1, max_size=3).map(tuple),
    dtype=st.sampled_from(TYPES),
    packing=st.sampled_from(
        [{}, {"compression": "gzip"}, {"shuffle": True}, {"fletcher32": True, "compression": 9}, {"compression": "lzf"}]
    ),
    libver=st.sampled_from(["earliest", "latest"]),
    data=st.data(),
)
def test_any_rows_of_any_array(tmp_path_factory, shape, dtype, packing, libver, data):
    path = tmp_path_factory.mktemp("h") / "a.h5"
    values = np.random.default_rng(0).integers(0, 100, shape).astype(dtype)
    options = {"chunks": tuple(data.draw(st.integers(1, n)) for n in shape), **packing} if packing else {}
    with h5py.File(path, "w", libver=libver) as file:
        file.create_dataset("a/b/x", data=values, **options)
    got = _read(path, "a/b/x")
    assert (got.shape, got.dtype.kind, got.dtype.isnative) == (values.shape, values.dtype.kind, True)
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


@pytest.mark.parametrize("libver", ["earliest", "latest"])
def test_groups_of_thousands(tmp_path, libver):
    """In a tree, and in the dense way."""
    path = tmp_path / "a.h5"
    with h5py.File(path, "w", libver=libver) as file:
        for i in range(500):
            file[f"data/vid{i}/x"] = np.array([i])
        for i in range(60):
            file["data/vid7"].attrs[f"note {i}"] = "x" * 50
    with opened(path, Budget().purse(path)) as file:
        links = file.links(_at(file, "data"))
        assert sorted(links) == sorted(f"vid{i}" for i in range(500))
        assert all(file.read(file.dataset(_at(file, f"data/vid{i}/x")), 0, 1)[0] == i for i in (0, 7, 499))
        assert file.attributes(links["vid7"], ("note 3", "none")) == {"note 3": "x" * 50}


def test_chunks_that_were_not_written_hold_the_fill_value(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("x", (5, 2), "f4", chunks=(2, 2), fillvalue=np.nan)[:2] = 1
    assert np.array_equal(_read(path, "x"), [[1, 1], [1, 1], *[[np.nan] * 2] * 3], equal_nan=True)


def _virtual(file):
    layout = h5py.VirtualLayout((4,), "f8")
    layout[:] = h5py.VirtualSource("other.h5", "x", (4,))
    file.create_virtual_dataset("x", layout)


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda f: f.create_dataset("x", data=np.array([1 + 2j])), "neither numbers nor texts"),
        (lambda f: f.create_dataset("x", data=np.array([1], np.longdouble)), "neither numbers nor texts"),
        (lambda f: f.create_dataset("x", (5, 2), "f4"), "it has a shape, but no values"),
        (_virtual, "in other files"),
        (lambda f: f.create_dataset("x", (4,), "f8", external=[("raw.bin", 0, 32)]), "in other files"),
    ],
)
def test_what_is_not_read_is_said(tmp_path, write, message):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
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
        with opened(path, Budget().purse(path)) as file:
            assert list(file.links("/")) == ["own"]


@pytest.mark.slow
def test_what_unpacks_to_too_much_is_refused(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        wide = file.create_dataset("wide", (10, 10**7), "f8", chunks=(1, 10**7), compression="gzip")
        wide[:3] = 0
    for lo, hi in ((0, 1), (0, 3)):
        with pytest.raises(DataError, match=r"would take [\d,]+ bytes unpacked.*option budget"):
            _read(path, "wide", lo, hi)
    assert _read(path, "wide", 2, 3, budget=3).shape == (1, 10**7)


def walk(path):
    with h5py.File(path) as file:
        file.visit(lambda name: None)


@pytest.mark.slow
def test_a_file_that_the_library_never_leaves_costs_seconds(monkeypatch):
    """It walks round the names of this one for ever, in C; read as a sequence, the file is refused before that."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))  # the other process finds `walk` there
    monkeypatch.setitem(sys.modules, "test_hdf5", sys.modules[__name__])
    monkeypatch.setattr(walk, "__module__", "test_hdf5")
    monkeypatch.setattr("plait.readers._hdf5._SECONDS", 1.0)
    monkeypatch.setattr("plait.readers._hdf5._MEMORY", 1 << 36)  # the names fill memory too: on a fast machine, first
    path = Path(__file__).parents[1] / "fuzz/cases/csd/endless_names/a.csd"
    gate._end()
    with pytest.raises(DataError, match=r"a\.csd: the file is so broken that its reader takes too long"):
        behind(walk, path)
    with pytest.raises(DataError, match="bad symbol table node"):
        open_streams(path)
