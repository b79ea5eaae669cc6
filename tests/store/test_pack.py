from __future__ import annotations

import json
import logging
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

from plait.core.errors import DataError
from plait.corpus.corpus import Corpus, CorpusWriter, StreamEntry, write_manifest
from plait.store import prepare as module
from plait.store.pack import Pack, open_pack, write_pack
from plait.store.prepare import Prepared, prepare, prepare_all
from plait.store.store import Store
from plait.streams.clock import Clock, Grid, Spans, Ticks
from plait.streams.stream import Stream


def clock_of(kind: int, n: int) -> Clock:
    if kind == 0:
        return Grid(Fraction(1, 3), "30000/1001", n)
    if kind == 1:
        return Grid(0, 16000, n).corrected(1.25, 187.3)
    starts = np.arange(n) / 3
    return Ticks(starts) if kind == 2 else Spans(starts, starts + 0.7)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "cache")


def packed(store: Store, kinds: list[tuple[int, int]], dim: int) -> tuple[Path, list[str]]:
    keys = [f"{i:02d}" * 20 for i in range(len(kinds))]
    rng = np.random.default_rng(0)
    for key, (kind, n) in zip(keys, kinds):
        notes = {"notes": {"dropped": n}} if n % 2 else {}
        store.put(key, rng.normal(size=(n, dim)).astype(np.float32), clock_of(kind, n), notes)
    path = store.folder / "packs" / "x.safetensors"
    write_pack(path, keys, store)
    return path, keys


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 7)), min_size=1, max_size=6), st.integers(0, 5))
def test_a_pack_holds_what_the_store_holds(store: Store, kinds: list[tuple[int, int]], dim: int) -> None:
    path, keys = packed(store, kinds, dim)
    pack = open_pack(path)
    assert pack is not None
    assert len(pack) == len(keys)
    for key, (_, n) in zip(keys, kinds):
        found, truth = pack.get(key), store.get(key)
        assert found is not None
        assert truth is not None
        np.testing.assert_array_equal(found[0], truth[0])
        assert found[1] == truth[1]
        assert not found[0].flags.writeable
        assert pack.notes(key) == ({"dropped": n} if n % 2 else {})
    assert pack.get("ff" * 20) is None
    np.testing.assert_array_equal(load_file(path)["values"], pack.values)


def test_every_truncation_and_foreign_content_count_as_absent(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    path, _ = packed(store, [(2, 5), (0, 3)], 4)
    whole = path.read_bytes()
    for content in [whole[:size] for size in (0, 7, 40, len(whole) // 2, len(whole) - 1)] + [whole[:-30] + b"\0" * 30]:
        path.write_bytes(content)
        caplog.clear()
        with caplog.at_level(logging.WARNING, "plait"):
            assert open_pack(path) is None
        assert "it will be rebuilt" in caplog.text
    path.unlink()
    caplog.clear()
    assert open_pack(path) is None
    assert not caplog.text


def test_widths_that_differ_and_items_that_have_gone_are_refused(store: Store) -> None:
    store.put("aa", np.ones((2, 3), np.float32), Grid(0, 1, 2))
    store.put("bb", np.ones((2, 4), np.float32), Grid(0, 1, 2))
    with pytest.raises(DataError, match=r"width \[3, 4\]"):
        write_pack(store.folder / "x.safetensors", ["aa", "bb"], store)
    with pytest.raises(DataError, match="cc are not in the store"):
        write_pack(store.folder / "x.safetensors", ["aa", "cc"], store)
    assert not list(store.folder.glob("x*"))


# packs of prepared features


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    rng = np.random.default_rng(0)
    with CorpusWriter(tmp_path / "corpus") as out:
        for i in range(5):
            streams = {"imu": Stream.of(rng.normal(size=(60 + i, 3)), rate=20)}
            if i != 2:
                streams["said"] = Stream.of([f"word {i}", ""], spans=([0, 1], [1, 2]))
            out.add(f"rec{i}", streams, group=f"g{i}")
    return Corpus(tmp_path / "corpus" / "manifest.jsonl")


STREAMS = {"imu": "series", "said": "hashed_text"}


def contents(prepared: Prepared, corpus: Corpus) -> dict[tuple[str, str], tuple[bytes, str]]:
    found = {(r, s): prepared.get(r, s) for r in corpus.ids for s in prepared.specs}
    return {k: (f[0].tobytes(), json.dumps([*f[1].times])) for k, f in found.items() if f is not None}


def test_packed_features_are_the_same(corpus: Corpus, store: Store) -> None:
    before = prepare(corpus, STREAMS, store)
    truth, notes = contents(before, corpus), before.notes
    assert not before.packs
    packs = before.pack().packs
    assert {name: len(pack) for name, pack in packs.items()} == {"imu": 5, "said": 4}
    assert contents(before, corpus) == truth
    again = prepare(corpus, STREAMS, Store(store.folder))
    assert set(again.packs) == {"imu", "said"}
    assert contents(again, corpus) == truth
    assert again.notes == notes
    assert (again.computed, again.cached) == (0, 9)
    assert again.report()["packed_bytes"].keys() == {"imu", "said"}


def test_a_pack_serves_some_recordings_other_clocks_and_a_store_that_lost_its_items(
    corpus: Corpus, store: Store
) -> None:
    truth = contents(prepare(corpus, STREAMS, store).pack(), corpus)
    for path in store.folder.glob("??/*.safetensors"):
        path.unlink()
    some = prepare(corpus, STREAMS, store, recordings={"rec1", "rec3"})
    assert (some.computed, some.cached) == (0, 4)
    assert contents(some, corpus) == {k: v for k, v in truth.items() if k[0] in ("rec1", "rec3")}
    moved = [
        e.model_copy(update={"streams": {n: s.model_copy(update={"offset": 2.5}) for n, s in e.streams.items()}})
        for e in corpus.entries
    ]
    write_manifest(corpus.folder / "moved.jsonl", moved)
    later = prepare(Corpus(corpus.folder / "moved.jsonl"), STREAMS, store)
    assert later.computed == 0
    assert later.packs
    found = later.get("rec1", "imu")
    assert found is not None
    assert found[1].start == 2.5


def test_a_change_packs_anew_in_the_same_place(corpus: Corpus, store: Store) -> None:
    prepare(corpus, STREAMS, store).pack()
    before = sorted(store.folder.glob("packs/*"))
    path = corpus.folder / "arrays" / "rec0.imu.npy"
    np.save(path, np.load(path) + 1)
    changed = prepare(corpus, STREAMS, store)
    assert changed.computed == 1
    assert set(changed.packs) == {"said"}
    truth = contents(changed, corpus)
    changed.pack()
    assert set(changed.packs) == {"imu", "said"}
    assert contents(changed, corpus) == truth
    assert sorted(store.folder.glob("packs/*")) == before
    other = prepare(corpus, {"imu": {"name": "series", "differences": True}}, store).pack()
    assert len(list(store.folder.glob("packs/*"))) == 3
    assert other.packs["imu"].values.shape[1] != changed.packs["imu"].values.shape[1]


def test_two_plans_of_one_stream_share_work_and_pack(corpus: Corpus, store: Store) -> None:
    one, two = prepare_all(corpus, [{"imu": "series"}, {"imu": "series"}], store)
    assert [(p.computed, p.cached) for p in (one, two)] == [(5, 0), (0, 5)]
    assert one.pack().packs["imu"].path == two.pack().packs["imu"].path


def test_an_interrupted_pack_is_no_pack(corpus: Corpus, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    prepared = prepare(corpus, STREAMS, store)

    def broken(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("os.replace", broken)
    with pytest.raises(KeyboardInterrupt):
        prepared.pack()
    assert not prepared.packs
    assert not list(store.folder.glob("packs/*"))
    monkeypatch.undo()
    assert set(prepared.pack().packs) == {"imu", "said"}


def test_a_full_disk_costs_the_pack_only(
    corpus: Corpus, store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    prepared = prepare(corpus, STREAMS, store)
    monkeypatch.setattr(module, "write_pack", full)
    assert not prepared.pack().packs
    assert "not packed, which is slower but no worse" in caplog.text
    assert prepared.get("rec0", "imu") is not None


def test_streams_of_large_items_are_left_as_they_are(
    corpus: Corpus, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LARGE", 100)
    assert not prepare(corpus, STREAMS, store).pack().packs
    assert not (store.folder / "packs").exists()


def test_items_that_differ_in_width_are_left_and_told(
    tmp_path: Path, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    with CorpusWriter(tmp_path / "c") as out:
        out.add("a", {"x": Stream.of(np.ones((9, 1)), rate=1)})
        out.add("b", {"x": Stream.of(np.ones((9, 2)), rate=1)})
    assert not prepare(Corpus(tmp_path / "c" / "manifest.jsonl"), {"x": None}, store).pack().packs
    assert "of width [1, 2]" in caplog.text


def test_a_pack_takes_one_map_where_files_take_one_each(store: Store) -> None:
    """Linux grants a process some 65,000 maps: fewer than a large corpus has items."""
    keys = [f"{i:02x}" * 20 for i in range(40)]
    for key in keys:
        store.put(key, np.ones((100, 64), np.float32), Grid(0, 1, 100))
    path = store.folder / "x.safetensors"
    write_pack(path, keys, store)

    def maps(name: str) -> int:
        return sum(name in line for line in Path("/proc/self/maps").read_text().splitlines())

    pack = open_pack(path)
    assert isinstance(pack, Pack)
    held = [pack.get(key) for key in keys]
    assert len(held) == 40
    assert maps(str(path)) == 1
    apart = [store.get(key) for key in keys]
    assert len(apart) == 40
    assert maps(str(store.folder)) == 41


def test_warped_clocks_come_through(corpus: Corpus, store: Store) -> None:
    def bend(entry: StreamEntry) -> StreamEntry:
        return entry.model_copy(update={"warp": [(1.0, 0.0), (2.0, 0.25)]})

    entries = [e.model_copy(update={"streams": {n: bend(s) for n, s in e.streams.items()}}) for e in corpus.entries]
    write_manifest(corpus.path, entries)
    bent = Corpus(corpus.path)
    truth = contents(prepare(bent, STREAMS, store), bent)
    assert contents(prepare(bent, STREAMS, store).pack(), bent) == truth
