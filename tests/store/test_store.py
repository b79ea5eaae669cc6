from __future__ import annotations

import json
import logging
import os
import resource
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

from plait.core.errors import DataError
from plait.corpus.corpus import Corpus, StreamEntry
from plait.store.prepare import prepare
from plait.store.store import Store, key_of
from plait.streams.clock import Clock, Grid, Spans, Ticks

KEY = "ab" * 20
CLOCKS: list[Clock] = [
    Grid(Fraction(1, 3), "30000/1001", 7),
    Grid(0, 16000, 7).corrected(1.25, 187.3),
    Ticks(np.cumsum(np.full(7, 0.1))),
    Spans(np.arange(7) / 3, np.arange(7) / 3 + 0.7),
]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "cache")


def numbers(n: int = 7, d: int = 3) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(n, d)).astype(np.float32)


@pytest.mark.parametrize("clock", CLOCKS, ids=lambda c: type(c).__name__)
def test_what_is_put_is_got(store: Store, clock: Clock) -> None:
    values = numbers()
    values[2, 1] = np.nan
    store.put(KEY, values, clock, {"notes": {"é": 3}})
    found = store.get(KEY)
    assert found is not None
    np.testing.assert_array_equal(found[0], values)
    assert found[1] == clock
    assert store.meta(KEY) == {"notes": {"é": 3}}
    assert store.has(KEY)
    assert not found[0].flags.writeable


@pytest.mark.parametrize("clock", CLOCKS, ids=lambda c: type(c).__name__)
def test_the_library_reads_our_files(store: Store, clock: Clock) -> None:
    store.put(KEY, numbers(), clock)
    np.testing.assert_array_equal(load_file(store.path_of(KEY))["values"], numbers())


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 9), st.integers(0, 5), st.booleans())
def test_any_size_is_aligned(store: Store, n: int, d: int, grid: bool) -> None:
    clock: Clock = Grid(0, 3, n) if grid else Spans(np.arange(n), np.arange(n) + 1)
    store.put(KEY, numbers(n, d), clock)
    found = store.get(KEY)
    assert found is not None
    np.testing.assert_array_equal(found[0], numbers(n, d))
    assert found[1] == clock
    head = store.path_of(KEY).read_bytes()[:8]
    assert int.from_bytes(head, "little") % 8 == 0


@contextmanager
def open_files_at_most(more: int) -> Iterator[None]:
    """The process may open so many more than it has."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(name) for name in os.listdir("/proc/self/fd"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1 + more, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_no_file_is_called_damaged_because_too_many_are_open(store: Store) -> None:
    store.put(KEY, numbers(), Ticks(np.arange(7)))
    with open_files_at_most(8), ExitStack() as held:
        with suppress(OSError):
            while True:
                held.enter_context(open(os.devnull))
        with pytest.raises(DataError, match="ulimit"):
            store.get(KEY)
    assert store.get(KEY) is not None


def test_thousands_may_be_held_at_once(store: Store) -> None:
    """Each holds a memory map, but no file: a common limit is 1024."""
    store.put(KEY, numbers(), Ticks(np.arange(7)))
    with open_files_at_most(64):
        held = [store.get(KEY) for _ in range(400)]
    store.path_of(KEY).unlink()
    assert held[0] is not None
    np.testing.assert_array_equal(held[0][0], numbers())


def test_values_are_not_read_before_they_are_used(store: Store) -> None:
    store.put(KEY, np.ones((1 << 20, 16), np.float32), Grid(0, 1, 1 << 20))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    found = store.get(KEY)
    assert found is not None
    assert resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before < 4000, "64 MiB would be 16384 pages"
    assert found[0][-1, -1] == 1


def test_absent(store: Store) -> None:
    assert not store.has(KEY)
    assert store.get(KEY) is None
    assert store.meta(KEY) == {}


def test_every_truncation_counts_as_absent(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    store.put(KEY, numbers(), Ticks(np.arange(7)))
    path, whole = store.path_of(KEY), store.path_of(KEY).read_bytes()
    for size in [0, 5, 8, 50, len(whole) // 2, len(whole) - 1]:
        path.write_bytes(whole[:size])
        caplog.clear()
        with caplog.at_level(logging.WARNING, "plait"):
            assert store.get(KEY) is None
        assert "it will be rebuilt" in caplog.text
    path.write_bytes(whole)
    assert store.has(KEY)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=60))
def test_foreign_bytes_count_as_absent(store: Store, content: bytes) -> None:
    path = store.path_of(KEY)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    assert not store.has(KEY)


@pytest.mark.parametrize("header", [b"[]", b"{}", b'{"__metadata__": {"format": "plait-features-1"}}', b"\xff"])
def test_foreign_headers_count_as_absent(store: Store, header: bytes) -> None:
    path = store.path_of(KEY)
    path.parent.mkdir(parents=True)
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    assert not store.has(KEY)


def test_a_file_under_another_name_counts_as_absent(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    store.put(KEY, numbers(), Grid(0, 1, 7))
    other = KEY[:-1] + "0"
    store.path_of(KEY).rename(store.path_of(other))
    with caplog.at_level(logging.WARNING, "plait"):
        assert not store.has(other)
    assert "other features than its name says" in caplog.text


def test_a_failed_write_leaves_the_old_file_and_no_other(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.put(KEY, numbers(), Grid(0, 1, 7))

    def broken(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("os.replace", broken)
    with pytest.raises(KeyboardInterrupt):
        store.put(KEY, numbers() * 2, Grid(0, 1, 7))
    found = store.get(KEY)
    assert found is not None
    np.testing.assert_array_equal(found[0], numbers())
    assert len(list(store.folder.rglob("*.*"))) == 1


def test_wrong_shapes_are_refused(store: Store) -> None:
    with pytest.raises(DataError, match=r"shape \(7, 3\) with 6 times"):
        store.put(KEY, numbers(), Grid(0, 1, 6))


def test_keys_follow_what_matters_and_nothing_else() -> None:
    spec = {"name": "log_mel", "mels": 40}
    base = StreamEntry(path="a.wav")
    same = [StreamEntry(path="b/c.WAV", offset=1.0, drift_ppm=30, origin=4, sync={"by": "sound"})]
    other = [
        StreamEntry(path="a.mp4"),
        StreamEntry(path="a.wav", part="left"),
        StreamEntry(path="a.wav", reader="media"),
        StreamEntry(path="a.wav", options={"rate": 3}),
        StreamEntry(path="a.wav", rate=8000),
        StreamEntry(path="a.wav", duration=3.0),
        StreamEntry(texts=["a"]),
        StreamEntry(texts=["a"], spans=[(0, 1)]),
    ]
    key = key_of(base, "00", spec, 1)
    assert {key_of(e, "00", spec, 1) for e in same} == {key}
    keys = [key_of(e, "00", spec, 1) for e in other]
    keys += [key_of(base, "01", spec, 1), key_of(base, "00", {**spec, "mels": 41}, 1), key_of(base, "00", spec, 2)]
    keys += [key_of(base, "00", spec, 1, reader=2)]
    assert len({key, *keys}) == 1 + len(keys)


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every file counts as one that has long been there."""
    monkeypatch.setattr("plait.store.store.SETTLED_NS", -1)


@pytest.mark.usefixtures("settled")
def test_digests_are_remembered(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"one")
    first = store.digest_of(path)
    store.flush()
    again = Store(store.folder)
    with monkeypatch.context() as patch:
        patch.setattr("builtins.open", lambda *_: pytest.fail("read again"))
        assert again.digest_of(path) == first
    path.chmod(0o600)
    assert again.digest_of(path) == first, "only the rights changed: read again, the same digest"


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize("how", ["written over", "moved there"])
def test_a_file_replaced_with_its_times_restored_is_seen(store: Store, tmp_path: Path, how: str) -> None:
    path, new = tmp_path / "a.bin", tmp_path / "b.bin"
    path.write_bytes(b"one")
    new.write_bytes(b"two")
    first, stamp = store.digest_of(path), path.stat()
    store.flush()
    if how == "written over":
        path.write_bytes(b"two")
    else:
        new.replace(path)
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert path.stat().st_mtime_ns == stamp.st_mtime_ns
    assert Store(store.folder).digest_of(path) != first


@pytest.mark.usefixtures("settled")
def test_an_index_of_earlier_versions_is_not_believed(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"one")
    status = path.stat()
    store.folder.mkdir()
    old = {str(path.resolve()): [status.st_size, status.st_mtime_ns, "0" * 40]}
    (store.folder / "digests.json").write_text(json.dumps(old))
    assert store.digest_of(path) != "0" * 40
    store.flush()
    assert Store(store.folder).digest_of(path) == store.digest_of(path)


@pytest.mark.usefixtures("settled")
def test_verifying_reads_all_once_and_names_what_was_stale(store: Store, tmp_path: Path) -> None:
    good, bad = tmp_path / "good.bin", tmp_path / "bad.bin"
    for path in (good, bad):
        path.write_bytes(b"one")
        store.digest_of(path)
    store.flush()
    index = json.loads((store.folder / "digests.json").read_text())
    index[str(bad.resolve())][-1] = "0" * 40  # as on a disk whose times mean nothing
    (store.folder / "digests.json").write_text(json.dumps(index))
    trusting, sure = Store(store.folder), Store(store.folder, verify=True)
    assert trusting.digest_of(bad) == "0" * 40
    assert sure.digest_of(bad) == sure.digest_of(good) == sure.digest_of(bad)
    assert sure.stale == [str(bad.resolve())]
    sure.flush()
    assert Store(store.folder).digest_of(bad) != "0" * 40


def test_a_file_just_written_is_not_trusted_by_its_time(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"one")
    first, stamp = store.digest_of(path), path.stat()
    path.write_bytes(b"two")
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert store.digest_of(path) != first


def test_folders_are_their_files_and_names(store: Store, tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    for folder in (one, two):
        (folder / "in").mkdir(parents=True)
        (folder / "in" / "a.csv").write_text("1")
    assert store.digest_of(one) == store.digest_of(two)
    (two / "in" / "a.csv").rename(two / "in" / "b.csv")
    assert store.digest_of(one) != store.digest_of(two)


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize("content", ["not json", "[1]", '{"a": 3}'])
def test_a_damaged_index_is_left(store: Store, tmp_path: Path, content: str, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"one")
    store.folder.mkdir()
    (store.folder / "digests.json").write_text(content)
    with caplog.at_level(logging.WARNING, "plait"):
        store.digest_of(path)
    assert "files will be read again" in caplog.text
    store.flush()
    assert list(json.loads((store.folder / "digests.json").read_text())) == [str(path.resolve())]


def test_no_file(store: Store, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        store.digest_of(tmp_path / "nowhere")


def test_only_what_plait_left_is_deleted_of_a_folder_that_is_more_than_a_cache(
    tiny_corpus: Path, tmp_path: Path
) -> None:
    """`--cache ~`: a half download of a browser is no part of ours, and the depths of a home are nobody's business."""
    home, past = tmp_path / "home", time.time() - 7200
    theirs = [home / "film.mp4.part", home / "Downloads/a.0a1b2c3d.part", home / "ab/notes.part"]
    ours = [home / "digests.json.0a1b2c3d.part", home / "ab/ab12.safetensors.0a1b2c3d.part"]
    for path in (*theirs, *ours):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("half")
        os.utime(path, (past, past))
    prepare(Corpus(tiny_corpus), {"left": {"name": "series"}}, Store(home))
    assert [path.exists() for path in theirs] == [True] * 3
    assert [path.exists() for path in ours] == [False] * 2
