"""Any corpus, written in another tool's format and read back, is the corpus; what is not is counted."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
import scipy.io.wavfile
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from plait.corpus.corpus import AnnotationEntry, Corpus, CorpusWriter, RecordingEntry, StreamEntry, write_manifest
from plait.importing.folder import import_folder
from plait.interchange import export_corpus, import_corpus
from plait.streams.recording import Annotation, Recording
from plait.streams.stream import Stream

few = settings(
    max_examples=12,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)

TRAPS = ["a/b", "a_b", "A_B", "a.b", ".", "..", "con", "é", "e\u0301", "x" * 200, "a b", "%2f", "id", "x.starts", "x"]
names = st.sampled_from(TRAPS) | st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=8)
texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=8)
seconds = st.integers(0, 40_000).map(lambda ms: ms / 1000)
labels = texts | st.integers(-5, 5) | st.floats(-9, 9) | st.booleans()
spans = st.tuples(seconds, seconds).map(sorted)


@st.composite
def annotations(draw: Any, label: Any = labels, tier: Any = names) -> list[Annotation]:
    rows = draw(st.lists(st.tuples(spans, label, tier, st.sampled_from(["", "ann"])), max_size=5))
    return [Annotation(a, b, value, of, by) for (a, b), value, of, by in rows]


@st.composite
def words(draw: Any) -> Stream:
    rows = sorted(draw(st.lists(st.tuples(spans, texts), max_size=4)), key=lambda row: row[0][0])
    values = np.array([text for _, text in rows] or [], object)
    return Stream.of(values, spans=([a for (a, _), _ in rows], [b for (_, b), _ in rows]), kind="words")


@st.composite
def numbers(draw: Any) -> Stream:
    n = draw(st.integers(0, 6))
    values = np.random.default_rng(draw(st.integers(0, 99))).normal(size=(n, 2)).astype(np.float32)
    if draw(st.booleans()):
        return Stream.of(values, rate=draw(st.sampled_from([25, "30000/1001"])), start=draw(seconds))
    return Stream.of(values, times=np.cumsum(draw(st.lists(st.floats(0.01, 9), min_size=n, max_size=n))))


about = st.fixed_dictionaries(
    {
        "labels": st.dictionaries(names, labels, max_size=2),
        "meta": st.dictionaries(names, st.recursive(labels | st.none(), st.lists, max_leaves=3), max_size=2),
        "group": st.sampled_from(["", "anna"]),
        "split": st.sampled_from(["", "train", "test"]),
    }
)


def plain(notes: Iterable[Annotation]) -> list[Any]:
    return [(a.start, a.stop, type(a.label), a.label, a.tier, a.annotator) for a in notes]


def assert_same(one: Recording, other: Recording, streams: Iterable[str]) -> None:
    assert json.dumps([one.labels, one.meta]) == json.dumps([other.labels, other.meta])
    assert (one.group, one.split) == (other.group, other.split)
    assert set(other.streams) == set(streams)
    for name in streams:
        a, b = one.streams[name], other.streams[name]
        np.testing.assert_array_equal(a.read(), b.read())
        assert a.clock == b.clock


@pytest.mark.slow
@pytest.mark.parametrize("form", ["hf_datasets", "webdataset"])
@few
@given(data=st.data())
def test_formats_that_hold_all(form: str, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("all")
    kinds = data.draw(st.dictionaries(names, st.sampled_from([words, numbers]), min_size=1, max_size=3))
    with CorpusWriter(folder / "corpus") as out:
        for id in data.draw(st.lists(names, min_size=1, max_size=4, unique=True)):
            streams = {name: data.draw(make()) for name, make in kinds.items() if data.draw(st.booleans())}
            out.add(id, streams, annotations=data.draw(annotations()), **data.draw(about))
    corpus = Corpus(folder / "corpus/manifest.jsonl")
    there = {name for entry in corpus.entries for name in entry.streams}
    features = {name: "series" if kinds[name] is numbers else None for name in there}
    moved = export_corpus(corpus, folder / "out", form, features=features, cache=folder / "cache")
    assert set(moved.notes) <= {"names of streams that other columns have (their columns end in _)"}
    back = import_corpus(folder / "out", folder / "again", form)
    assert (back.recordings, back.notes) == (len(corpus), {})
    again = Corpus(folder / "again/manifest.jsonl")
    assert again.ids == corpus.ids
    for one in corpus:
        assert_same(one, again[one.id], one.streams)
        assert plain(one.annotations) == plain(again[one.id].annotations)


@pytest.mark.slow
@few
@given(data=st.data())
def test_lhotse(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("lhotse")
    entries = []
    for i, id in enumerate(data.draw(st.lists(names, min_size=1, max_size=3, unique=True))):
        scipy.io.wavfile.write(folder / f"{i}.wav", 800, np.zeros(800, np.int16))
        sounds = data.draw(st.dictionaries(names, st.tuples(seconds, st.integers(-300, 300)), min_size=1, max_size=2))
        streams = {n: StreamEntry(path=f"{i}.wav", offset=a, drift_ppm=d) for n, (a, d) in sounds.items()}
        said = data.draw(words())
        if "said" not in streams:
            where = [(a, b) for a, b in zip(said.clock.starts.tolist(), said.clock.stops.tolist())]
            streams["said"] = StreamEntry(texts=[str(t) for t in said.read()], spans=where)
        notes = [AnnotationEntry(**vars(a)) for a in data.draw(annotations())]
        entries.append(RecordingEntry(id=id, streams=streams, annotations=notes, **data.draw(about)))
    write_manifest(folder / "manifest.jsonl", entries)
    corpus = Corpus(folder / "manifest.jsonl")
    export_corpus(corpus, folder / "out", "lhotse", cache=folder / "cache")
    back = import_corpus(folder / "out", folder / "again", "lhotse")
    assert (back.recordings, back.notes) == (len(corpus), {})
    again = Corpus(folder / "again/manifest.jsonl", allow_outside=True)
    assert again.ids == corpus.ids
    for one, other in zip(corpus, again):
        sounds = [n for n in one.streams if n != "said"]
        said = other.streams["said"]
        assert list(said.read()) == list(one.streams["said"].read())
        np.testing.assert_allclose(said.clock.starts, one.streams["said"].clock.starts, atol=1e-5)
        np.testing.assert_allclose(said.clock.stops, one.streams["said"].clock.stops, atol=1e-5)
        for name in sounds:
            assert one.streams[name].clock == other.streams[name].clock
        assert json.dumps([one.labels, one.meta]) == json.dumps([other.labels, other.meta])
        assert (one.group, one.split, set(one.streams)) == (other.group, other.split, set(other.streams))
        ordered = sorted(plain(one.annotations), key=lambda a: a[0])
        assert [a[2:] for a in ordered] == [a[2:] for a in plain(other.annotations)]
        times = [[a[:2] for a in ordered], [a[:2] for a in plain(other.annotations)]]
        np.testing.assert_allclose(*times, atol=1e-5)


filed = st.sampled_from(["a", "A1", "talk.2", "é"])
"""Names that stand as they are in files of such tools."""


def _whole(label: object) -> object:
    return label.rstrip("\0") if isinstance(label, str) else label


@pytest.mark.slow
@few
@given(data=st.data())
def test_csd(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("csd")
    with CorpusWriter(folder / "corpus") as out:
        for id in data.draw(st.lists(filed, min_size=1, max_size=3, unique=True)):
            streams = {"imu": data.draw(numbers()), "said": data.draw(words())}
            one_kind = st.sampled_from([st.floats(-9, 9), st.integers(-9, 9), texts.filter(bool)])
            notes = data.draw(annotations(label=data.draw(one_kind), tier=st.just("mark")))
            out.add(id, streams, annotations=[n for n in notes if n.stop > n.start], **data.draw(about))
    corpus = Corpus(folder / "corpus/manifest.jsonl")
    moved = export_corpus(corpus, folder / "out", "csd", features={"imu": "series", "said": None}, cache=folder / "c")
    assert sum(moved.notes.values()) == sum(
        len(r.labels) + len(r.meta) + bool(r.split) + (r.group != r.id) + sum(bool(a.annotator) for a in r.annotations)
        + (len(r.streams["said"]) == 0) + 1  # of the sensor the clock, or all where it is empty
        + (not len(r.streams["said"]) and not len(r.streams["imu"]) and not r.annotations)
        + sum(str(text).endswith("\0") for text in [*r.streams["said"].read(), *(a.label for a in r.annotations)])
        for r in corpus
    )  # fmt: skip
    if not (folder / "out/mark.csd").exists():
        return
    import_folder(folder / "out", options={"streams": {"mark": {"tier": True}}})
    again = Corpus(folder / "out/manifest.jsonl")
    full = [r for r in corpus if r.annotations or any(len(s) for s in r.streams.values())]
    assert set(again.ids) == {r.id for r in full}
    for one in full:
        other = again[one.id]
        assert set(other.streams) == {name for name, stream in one.streams.items() if len(stream)}
        if "imu" in other.streams:
            np.testing.assert_array_equal(one.streams["imu"].read(), other.streams["imu"].read())
            np.testing.assert_array_equal(one.streams["imu"].clock.times, other.streams["imu"].clock.starts)
        if "said" in other.streams:
            assert [text.rstrip("\0") for text in one.streams["said"].read()] == list(other.streams["said"].read())
        kept = sorted((a.start, a.stop, _whole(a.label)) for a in one.annotations)
        assert sorted((a.start, a.stop, a.label) for a in other.annotations) == kept


def in_xml(text: str) -> str:
    return "".join(
        c for c in text if c in "\t\n\r" or " " <= c <= "\ud7ff" or "\ue000" <= c <= "\ufffd" or c > "\uffff"
    )


@pytest.mark.slow
@pytest.mark.parametrize(("form", "exact"), [("elan", 6e-4), ("textgrid", 1e-9)])
@few
@given(data=st.data())
def test_annotation_tools(
    form: str, exact: float, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp(form)
    tiers = st.sampled_from(["a", 'B <&> "é"', "said"])
    with CorpusWriter(folder / "corpus") as out:
        for id in data.draw(st.lists(filed, min_size=1, max_size=3, unique=True)):
            out.add(
                id, {"said": data.draw(words())}, annotations=data.draw(annotations(tier=tiers)), **data.draw(about)
            )
    corpus = Corpus(folder / "corpus/manifest.jsonl")
    moved = export_corpus(corpus, folder / "out", form, cache=folder / "cache")
    if not any(r.annotations or len(r.streams["said"]) for r in corpus):
        return
    import_folder(folder / "out")
    again = Corpus(folder / "out/manifest.jsonl")
    empty = changed = 0
    for one in corpus:
        said = one.streams["said"]
        rows = [(a.start, a.stop, str(a.label)) for a in one.annotations]
        rows += zip(said.clock.starts.tolist(), said.clock.stops.tolist(), map(str, said.read()))
        back = [
            (a, b, str(t))
            for stream in (again[one.id].streams.values() if one.id in again.ids else [])
            for a, b, t in zip(stream.clock.starts.tolist(), stream.clock.stops.tolist(), stream.read())
        ]
        if form == "elan":
            changed += sum(in_xml(t) != t for _, _, t in rows)
            rows = [(a, max(b, a + 0.001), in_xml(t)) for a, b, t in rows]
        else:
            empty += sum(a < b and not t.strip() for a, b, t in rows)
            rows = [row for row in rows if row[0] == row[1] or row[2].strip()]
        assert sorted(t.strip() for _, _, t in rows) == sorted(t.strip() for _, _, t in back)
        for i in (0, 1):
            np.testing.assert_allclose(sorted(r[i] for r in rows), sorted(r[i] for r in back), atol=exact)
    told = moved.notes
    assert told.get("texts with characters that XML cannot hold", 0) == changed
    assert told.get("intervals without a text (Praat takes them for gaps)", 0) == empty
    assert told.get("labels of whole recordings", 0) == sum(len(r.labels) for r in corpus)
    assert told.get("facts about recordings (meta)", 0) == sum(len(r.meta) for r in corpus)
    numbers = sum(not isinstance(a.label, str) for r in corpus for a in r.annotations)
    assert told.get("labels that are numbers (now texts)", 0) == numbers


def test_many_recordings_with_accents_come_back_from_csd(tmp_path: Path) -> None:
    ids = [f"José {i}" for i in range(12)]
    with CorpusWriter(tmp_path / "corpus") as out:
        for i, id in enumerate(ids):
            out.add(id, {"élan": Stream.of(np.full((3, 1), i, np.float32), rate=2)})
    corpus = Corpus(tmp_path / "corpus/manifest.jsonl")
    export_corpus(corpus, tmp_path / "out", "csd", features={"élan": "series"}, cache=tmp_path / "cache")
    import_folder(tmp_path / "out")
    again = Corpus(tmp_path / "out/manifest.jsonl")
    assert [again[id].streams["élan"].read()[0, 0] for id in ids] == list(range(12))


def test_texts_that_csd_cannot_hold_whole_are_counted(tmp_path: Path) -> None:
    with CorpusWriter(tmp_path / "corpus") as out:
        out.add("a", {"said": Stream.of(np.array(["end\0", "\0in"], object), spans=([0, 1], [1, 2]))})
    corpus = Corpus(tmp_path / "corpus/manifest.jsonl")
    moved = export_corpus(corpus, tmp_path / "out", "csd", features={"said": None}, cache=tmp_path / "c")
    assert moved.notes["texts that end in NUL (without it now)"] == 1
