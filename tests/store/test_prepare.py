from __future__ import annotations

import json
import multiprocessing
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from plait.core.errors import ConfigError, DataError
from plait.corpus.corpus import Corpus, CorpusWriter, StreamEntry, write_manifest
from plait.store.prepare import Prepared, features_of, prepare, resolve_features
from plait.store.store import Store
from plait.streams.stream import ArraySource, Stream

STREAMS = {"imu": {"name": "statistics", "window": 2, "hop": 0.5}, "said": "hashed_text"}


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    rng = np.random.default_rng(0)
    with CorpusWriter(tmp_path / "corpus") as out:
        for i in range(4):
            streams = {"imu": Stream.of(rng.normal(size=(200, 3)), rate=20)}
            if i != 2:
                streams["said"] = Stream.of([f"word {i}", ""], spans=([0, 1], [1, 2]))
            out.add(f"rec{i}", streams, group=f"g{i}")
    return Corpus(tmp_path / "corpus" / "manifest.jsonl")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "cache")


def edited(corpus: Corpus, edit: Callable[[str, str, StreamEntry], StreamEntry]) -> Corpus:
    """The corpus with its manifest written anew."""
    entries = [
        e.model_copy(update={"streams": {n: edit(e.id, n, s) for n, s in e.streams.items()}}) for e in corpus.entries
    ]
    write_manifest(corpus.path, entries)
    return Corpus(corpus.path)


def files(store: Store) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in store.folder.rglob("*.safetensors")}


def test_computes_once(corpus: Corpus, store: Store) -> None:
    seen: list[tuple[int, int, str]] = []
    first = prepare(corpus, STREAMS, store, progress=lambda *a: seen.append(a))
    assert (first.computed, first.cached) == (7, 0)
    assert first.absent == {"said": 1}
    assert seen[0] == (1, 7, "rec0 imu")
    assert seen[-1] == (7, 7, "rec3 said")
    assert first.notes == {"said": {"texts without words": 3}}
    before = files(store)
    again = prepare(corpus, STREAMS, Store(store.folder))
    assert (again.computed, again.cached) == (0, 7)
    assert files(store) == before
    assert json.loads(json.dumps(again.report()))["cached"] == 7


def test_what_another_version_of_the_reader_read_is_made_anew(
    corpus: Corpus, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(corpus, STREAMS, store)
    monkeypatch.setattr("plait.readers.media.Media.version", 99)
    assert prepare(corpus, STREAMS, Store(store.folder)).computed == 0
    monkeypatch.setattr("plait.readers.array.Array.version", 99)
    again = prepare(corpus, STREAMS, Store(store.folder))
    assert (again.computed, again.cached) == (4, 3)  # texts that stand in the manifest have no reader
    assert prepare(corpus, STREAMS, Store(store.folder)).computed == 0


def test_a_reader_that_is_named_is_the_one_whose_version_counts(
    corpus: Corpus, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = edited(corpus, lambda id, name, s: s.model_copy(update={"reader": "array"}) if s.path else s)
    prepare(named, STREAMS, store)
    monkeypatch.setattr("plait.readers.array.Array.version", 99)
    assert prepare(named, STREAMS, Store(store.folder)).computed == 4


def test_equals_the_feature_itself(corpus: Corpus, store: Store) -> None:
    prepared = prepare(corpus, STREAMS, store)
    found = prepared.get("rec1", "imu")
    assert found is not None
    from plait.features.series import Statistics

    values, clock = Statistics(window=2, hop=0.5)(corpus["rec1"].streams["imu"])
    np.testing.assert_array_equal(found[0], values)
    assert found[1] == clock
    assert prepared.get("rec2", "said") is None
    assert not prepared.has("rec2", "said")
    assert prepared.dim("imu") == 27


def test_a_new_correction_costs_nothing_and_moves_the_clock(corpus: Corpus, store: Store) -> None:
    prepare(corpus, STREAMS, store)
    moved = edited(corpus, lambda r, n, s: s.model_copy(update={"offset": 2.5, "drift_ppm": 150.0, "origin": 1.0}))
    prepared = prepare(moved, STREAMS, store)
    assert prepared.computed == 0
    for name in STREAMS:
        found = prepared.get("rec1", name)
        assert found is not None
        _, clock = prepare(corpus, STREAMS, store).get("rec1", name) or found
        np.testing.assert_allclose(found[1].times, (clock.times - 1) * 1.00015 + 2.5, atol=1e-9)


def test_a_new_rate_computes_anew(corpus: Corpus, store: Store) -> None:
    prepare(corpus, STREAMS, store)
    faster = edited(corpus, lambda r, n, s: s.model_copy(update={"rate": 40.0}) if n == "imu" else s)
    prepared = prepare(faster, STREAMS, store)
    assert (prepared.computed, prepared.cached) == (4, 3)
    found = prepared.get("rec0", "imu")
    assert found is not None
    assert found[1].stop < 5.1


def test_a_changed_file_computes_anew(corpus: Corpus, store: Store) -> None:
    prepare(corpus, STREAMS, store)
    path = corpus.folder / "arrays" / "rec0.imu.npy"
    np.save(path, np.load(path) + 1)
    assert prepare(corpus, STREAMS, store).computed == 1


def test_a_file_that_changes_while_it_is_prepared_leaves_nothing_wrong(corpus: Corpus, store: Store) -> None:
    path = corpus.folder / "arrays" / "rec0.imu.npy"

    def rewrite(stream: Stream) -> Stream:
        np.save(path, np.load(path) + 1)
        return stream

    def touch(stream: Stream) -> Stream:
        path.chmod(0o600)
        path.touch()
        return stream

    with pytest.raises(DataError, match=r"'rec0' 'imu': .*rec0\.imu\.npy: changed while its features were made"):
        features_of(corpus, "rec0", "imu", "series", store, change=rewrite, tag={"by": "rewrite"})
    assert not list(store.folder.rglob("*.safetensors"))
    assert features_of(corpus, "rec0", "imu", "series", store, change=touch, tag={"by": "touch"}) is not None


def test_a_file_that_options_name_counts(tmp_path: Path, store: Store) -> None:
    with CorpusWriter(tmp_path / "c") as out:
        out.add("a", {"beats": Stream.of(np.ones((9, 1)), times=np.arange(9.0))})
    corpus = Corpus(tmp_path / "c" / "manifest.jsonl")
    prepare(corpus, {"beats": None}, store)
    (times,) = (tmp_path / "c" / "arrays").glob("*times.npy")
    np.save(times, np.arange(9.0) * 2)
    prepared = prepare(corpus, {"beats": None}, store)
    assert prepared.computed == 1
    found = prepared.get("a", "beats")
    assert found is not None
    assert found[1].stop == 16


def test_damaged_items_are_made_anew(corpus: Corpus, store: Store) -> None:
    prepare(corpus, STREAMS, store)
    before = files(store)
    victim = next(store.folder.rglob("*.safetensors"))
    victim.write_bytes(victim.read_bytes()[:-3])
    assert prepare(corpus, STREAMS, store).computed == 1
    assert files(store) == before


def test_bad_files_come_all_at_the_end(corpus: Corpus, store: Store) -> None:
    (corpus.folder / "arrays" / "rec0.imu.npy").unlink()
    (corpus.folder / "arrays" / "rec1.imu.npy").write_bytes(b"not an array")
    away = edited(
        corpus, lambda r, n, s: s.model_copy(update={"path": "../../x.npy"}) if (r, n) == ("rec3", "imu") else s
    )
    with pytest.raises(DataError) as caught:
        prepare(away, STREAMS, store)
    assert len(caught.value.problems) == 4
    text = str(caught.value)
    assert "manifest.jsonl 'rec0' 'imu'" in text
    assert "manifest.jsonl 'rec1' 'imu'" in text
    assert "leaves the corpus folder" in text
    assert "The other 4 items are prepared and kept" in text
    kept = prepare(away, STREAMS, store, keep_going=True)
    assert (kept.computed, kept.cached, len(kept.problems)) == (0, 4, 3)
    assert kept.get("rec0", "imu") is None
    assert kept.get("rec2", "imu") is not None


def test_an_interrupt_loses_nothing_that_was_done(corpus: Corpus, store: Store) -> None:
    def stop(done: int, total: int, what: str) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(corpus, STREAMS, store, progress=stop)
    assert len(files(store)) == 3
    resumed = prepare(corpus, STREAMS, store)
    assert (resumed.computed, resumed.cached) == (4, 3)
    assert not list(store.folder.rglob("*.part"))


@pytest.mark.slow
def test_two_processes_give_the_same_bytes(corpus: Corpus, store: Store, tmp_path: Path) -> None:
    (corpus.folder / "arrays" / "rec1.imu.npy").write_bytes(b"not an array")
    alone = prepare(corpus, STREAMS, store, keep_going=True)
    shared = Store(tmp_path / "shared")
    together = prepare(corpus, STREAMS, shared, jobs=2, keep_going=True)
    assert together.problems == alone.problems
    assert together.computed == alone.computed
    assert files(shared) == files(store)


@pytest.mark.slow
def test_an_interrupt_ends_the_processes_and_loses_nothing(corpus: Corpus, store: Store) -> None:
    def stop(done: int, total: int, what: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(corpus, STREAMS, store, progress=stop, jobs=2)
    assert not multiprocessing.active_children()
    done = len(files(store))
    assert done >= 1
    assert prepare(corpus, STREAMS, store).cached == done


def test_twins_are_computed_once(tmp_path: Path, corpus: Corpus, store: Store) -> None:
    twins = edited(corpus, lambda r, n, s: s if n != "imu" else s.model_copy(update={"path": "arrays/rec0.imu.npy"}))
    prepared = prepare(twins, {"imu": None}, store)
    assert (prepared.computed, prepared.cached) == (1, 3)


def test_only_some_recordings(corpus: Corpus, store: Store) -> None:
    prepared = prepare(corpus, STREAMS, store, recordings={"rec2", "rec3"})
    assert (prepared.computed, prepared.absent) == (3, {"said": 1})
    assert prepared.get("rec0", "imu") is None


def test_defaults_by_kind_and_wrong_names(corpus: Corpus) -> None:
    specs = resolve_features(corpus, {"imu": None, "said": {"name": "hashed_text", "dim": 8}})
    assert specs["imu"]["name"] == "series"
    assert specs["said"] == {"name": "hashed_text", "dim": 8, "words": True, "letters": 3, "ngrams": 1, "stop": None}
    with pytest.raises(DataError, match=r"no recording has the stream 'sound'\. There is: imu, said"):
        resolve_features(corpus, {"sound": None})
    with pytest.raises(ConfigError, match=r"streams\.imu\.feature: there is no feature 'statistic'"):
        resolve_features(corpus, {"imu": "statistic"})


def test_widths_that_differ_are_told(tmp_path: Path, store: Store) -> None:
    with CorpusWriter(tmp_path / "c") as out:
        out.add("a", {"x": Stream.of(np.ones((9, 1)), rate=1)})
        out.add("b", {"x": Stream.of(np.ones((9, 2)), rate=1)})
    prepared = prepare(Corpus(tmp_path / "c" / "manifest.jsonl"), {"x": None}, store)
    with pytest.raises(DataError, match="1 in 'a', 2 in 'b'"):
        prepared.dim("x")


def test_items_that_have_gone(corpus: Corpus, store: Store) -> None:
    prepared: Prepared = prepare(corpus, STREAMS, store)
    for path in store.folder.rglob("*.safetensors"):
        path.unlink()
    with pytest.raises(DataError, match=r"are gone\. Prepare again"):
        prepared.get("rec0", "imu")


def test_changed_streams_have_their_own_place(corpus: Corpus, store: Store) -> None:
    calls = []

    def louder(stream: Stream) -> Stream:
        calls.append(stream)
        return replace(stream, source=ArraySource(stream.read() * 3))

    moved = edited(corpus, lambda r, n, s: s.model_copy(update={"offset": 7.0}))
    plain = features_of(moved, "rec0", "imu", "series", store)
    loud = features_of(moved, "rec0", "imu", "series", store, change=louder, tag={"gain": 3})
    features_of(moved, "rec0", "imu", "series", store, change=louder, tag={"gain": 3})
    assert plain is not None
    assert loud is not None
    np.testing.assert_allclose(loud[0], plain[0] * 3, rtol=1e-6)
    assert len(calls) == 1
    assert calls[0].clock.start == 0
    assert loud[1].start == 7
    assert features_of(moved, "rec2", "said", "hashed_text", store) is None
    with pytest.raises(ConfigError, match="needs a tag"):
        features_of(moved, "rec0", "imu", "series", store, change=louder)
