"""A corpus joined into tables: what stands in them, what is said of them, and going on after an interruption."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from plait.align.join import Coverage, join
from plait.cli import main
from plait.core.errors import ConfigError, DataError
from plait.corpus.corpus import Corpus, CorpusWriter
from plait.store import aligned
from plait.store.align import align_corpus
from plait.store.align_plan import AlignPlan, featured
from plait.store.store import Store
from plait.streams.clock import Spans
from plait.streams.recording import Annotation
from plait.streams.stream import Stream


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    """Three recordings: words, a sensor with names (the third has none) and sound; one labelled interval each."""
    rng = np.random.default_rng(0)
    with CorpusWriter(tmp_path / "data") as out:
        for i in range(3):
            body = Stream.of(rng.normal(size=(200, 2, 3)).astype(np.float32), rate=50)
            sound = Stream.of(rng.normal(0, 0.1, (32000, 1)).astype(np.float32), rate=8000, kind="waveform")
            starts = np.array([0.2, 1.0, 2.5, 9.0])
            texts = Stream.of(np.array(["so", "it", "goes", "on"], object), spans=(starts, starts + 0.4))
            streams = {"words": texts, "sound": sound, **({"body": body} if i < 2 else {})}
            out.add(f"day {i}/a", streams, annotations=[Annotation(0.5, 3.0, "up")])
    return Corpus(tmp_path / "data" / "manifest.jsonl")


def table_of(folder: Path, recording: str) -> dict[str, Any]:
    return pq.read_table(folder / f"{recording.replace(' ', '%20').replace('/', '%2F')}.parquet").to_pydict()


def test_tables_hold_what_a_join_gives(corpus: Corpus, tmp_path: Path) -> None:
    plan = AlignPlan(on="words", features={"sound": {"name": "log_mel", "mels": 8}}, how={"body": "max"})
    report = align_corpus(corpus, plan, tmp_path / "out", Store(tmp_path / "cache"))
    table = table_of(tmp_path / "out", "day 0/a")
    assert list(table) == ["start", "stop", "text", "sound", "body"]
    assert table["text"] == ["so", "it", "goes", "on"]
    np.testing.assert_allclose(table["stop"], [0.6, 1.4, 2.9, 9.4])
    want = join(corpus["day 0/a"].streams["words"], corpus["day 0/a"].streams["body"], "max")
    np.testing.assert_array_equal(np.array(table["body"][:3], np.float32), want.values[:3].reshape(3, 6))
    assert table["body"][3] == [None] * 6
    assert len(table["sound"][0]) == 8
    assert list(table_of(tmp_path / "out", "day 2/a")) == ["start", "stop", "text", "sound"]
    field = pq.read_schema(tmp_path / "out" / "day%201%2Fa.parquet").field("body")
    assert json.loads(field.metadata[b"plait"]) == {"how": "max", "feature": None, "channels": [], "shape": [2, 3]}
    assert report.absent == {"body": 1}
    assert report.coverage["day 0/a"]["body"] == want.coverage
    total = report.total()["body"]
    assert (total.intervals, total.matched, total.after) == (8, 6, 2)
    about = json.loads((tmp_path / "out" / "coverage.json").read_text())
    assert about["streams"]["body"] == total.describe()
    # the feature looks further ahead than the word that it is joined on
    raw = join(corpus["day 0/a"].streams["words"], corpus["day 0/a"].streams["body"])
    assert report.total()["sound"].future_s > raw.coverage.future_s


def test_what_has_not_changed_is_not_made_again_and_half_files_are_not_taken(corpus: Corpus, tmp_path: Path) -> None:
    store, out = Store(tmp_path / "cache"), tmp_path / "out"
    plan = AlignPlan(on="words", streams=("body",))
    first = align_corpus(corpus, plan, out, store)
    assert (first.written, first.kept) == (2, 0)
    table = out / "day%200%2Fa.parquet"
    whole = table.read_bytes()
    again = align_corpus(corpus, plan, out, store)
    assert (again.written, again.kept) == (0, 2)
    assert again.coverage == first.coverage
    table.write_bytes(whole[:-20])
    (out / "day%201%2Fa.parquet").unlink()
    assert align_corpus(corpus, plan, out, store).written == 2
    assert table.read_bytes() == whole
    manifest = corpus.path.read_text().splitlines()
    moved = json.loads(manifest[0])
    moved["streams"]["body"]["offset"] = 0.5
    corpus.path.write_text("\n".join([json.dumps(moved), *manifest[1:]]))
    changed = align_corpus(Corpus(corpus.path), plan, out, store)
    assert (changed.written, changed.kept) == (1, 1)
    assert table.read_bytes() != whole
    assert align_corpus(
        Corpus(corpus.path), AlignPlan(on="words", streams=("body",), how={"": "sum"}), out, store
    ).written
    assert not list(out.glob("*.part"))


def test_tables_are_the_same_whatever_the_processes_and_the_size_of_a_part(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path / "cache")
    plan = AlignPlan(rate=20, streams=("body", "words"), how={"body": "linear", "words": "hold"})
    align_corpus(corpus, plan, tmp_path / "one", store)
    monkeypatch.setattr(aligned, "ROWS_BYTES", 200)
    align_corpus(corpus, plan, tmp_path / "parts", store)
    table = table_of(tmp_path / "one", "day 0/a")
    assert table == table_of(tmp_path / "parts", "day 0/a")
    assert table["words"][4:14] == ["so"] * 8 + [None] * 2
    assert table["start"][:3] == table["stop"][:3] == pytest.approx([0.0, 0.05, 0.1])
    body = corpus["day 0/a"].streams["body"].read()
    np.testing.assert_allclose(table["body"][1], (body[2] + body[3]).ravel() / 2, rtol=1e-5)


@pytest.mark.slow
def test_processes_change_nothing(corpus: Corpus, tmp_path: Path) -> None:
    store = Store(tmp_path / "cache")
    for jobs in (1, 2):
        align_corpus(corpus, AlignPlan(on="words", streams=("body",)), tmp_path / f"j{jobs}", store, jobs=jobs)
    for one in (tmp_path / "j1").glob("*.parquet"):
        assert one.read_bytes() == (tmp_path / "j2" / one.name).read_bytes()


def test_npz_and_tiers(corpus: Corpus, tmp_path: Path) -> None:
    plan = AlignPlan(on="label", streams=("body", "words"), how={"words": "last"}, to="npz")
    align_corpus(corpus, plan, tmp_path / "out", Store(tmp_path / "cache"))
    with np.load(tmp_path / "out" / "day%200%2Fa.npz") as found:
        assert set(found) == {"start", "stop", "label", "body", "body.mask", "words", "words.mask", "plait"}
        assert found["label"].tolist() == ["up"]
        assert found["words"].tolist() == ["goes"]
        np.testing.assert_allclose(
            found["body"][0], corpus["day 0/a"].streams["body"].read()[25:150].mean(0), rtol=1e-5
        )
    again = align_corpus(corpus, plan, tmp_path / "out", Store(tmp_path / "cache"))
    assert (again.written, again.kept) == (0, 3)


def test_what_cannot_be_is_said_all_in_one_go_and_costs_only_itself(corpus: Corpus, tmp_path: Path) -> None:
    store, out = Store(tmp_path / "cache"), tmp_path / "out"
    with pytest.raises(ConfigError) as caught:
        align_corpus(corpus, AlignPlan(on="word", streams=("bod",), features={"sound": "log_mel"}), out, store)
    assert [p.split("Did")[0] for p in caught.value.problems] == [
        "align: no recording has a stream 'bod'. ",
        "align: no recording has a stream or tier 'word'. ",
        "align: 'sound' has a feature, but is not among the streams to join.",
    ]
    with pytest.raises(ConfigError, match=r"align: body: how='linear' looks at later"):
        align_corpus(corpus, AlignPlan(on="words", how={"body": "linear"}, causal=True), out, store)
    with pytest.raises(ConfigError, match="either a stream to join on, or the rate"):
        AlignPlan()
    with pytest.raises(ConfigError, match="align: rate 'fast' is not a number"):
        AlignPlan(rate="fast")
    with pytest.raises(ConfigError, match=r"(?s)no format 'csv'.*no method 'meen'. Did you mean 'mean'"):
        AlignPlan(on="words", to="csv", how={"": "meen"})  # type: ignore[dict-item]
    array = corpus.folder / str(corpus.entry("day 1/a").streams["body"].path)
    array.write_bytes(b"not an array")
    with pytest.raises(DataError) as failed:
        align_corpus(corpus, AlignPlan(on="words", streams=("body",)), out, store)
    assert len(failed.value.problems) == 2
    assert array.name in failed.value.problems[0]
    assert "The other 1 tables are complete" in failed.value.problems[1]
    assert table_of(out, "day 0/a")["text"] == ["so", "it", "goes", "on"]


def test_recordings_whose_names_differ_in_capitals_or_are_long_have_tables_of_their_own(tmp_path: Path) -> None:
    ids = ["a", "A", "x" * 300, "x" * 301]
    with CorpusWriter(tmp_path / "corpus") as writer:
        for i, id in enumerate(ids):
            writer.add(id, {"body": Stream.of(np.full((4, 1), i, np.float32), rate=2)})
    align_corpus(Corpus(tmp_path / "corpus/manifest.jsonl"), AlignPlan(rate=2), tmp_path / "out", Store(tmp_path / "c"))
    tables = list((tmp_path / "out").glob("*.parquet"))
    assert len({t.name.lower() for t in tables}) == len(ids)
    assert sorted(pq.read_table(t).to_pydict()["body"][0][0] for t in tables) == [0, 1, 2, 3]


def test_the_future_that_a_feature_sees_is_counted_and_refused(corpus: Corpus, tmp_path: Path) -> None:
    def future(feature: Any, causal: bool) -> float:
        plan = AlignPlan(on="words", streams=("body",), features={"body": feature}, causal=causal)
        return align_corpus(corpus, plan, tmp_path / "out", Store(tmp_path / "cache")).total()["body"].future_s

    frame_by_frame = {"name": "pose", "per_frame": True, "velocities": False}
    assert future(frame_by_frame, False) == pytest.approx(0.18)
    first = corpus["day 0/a"].streams
    mel, field = featured(first["sound"], "log_mel")
    assert join(first["words"], mel, receptive_field=field).coverage.future_s == pytest.approx(
        0.2 - 0.01 + field, abs=0.01
    )
    assert future("pose", False) == np.inf
    assert future(frame_by_frame, True) == 0
    with pytest.raises(ConfigError, match="align: body: the stream depends on the whole recording"):
        future("pose", True)


def test_the_command_prints_coverage_and_goes_on(
    corpus: Corpus, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["align", str(corpus.path), "--on", "words", "--streams", "body", "--how", "mean", "--how", "body=max"]
    argv += ["--out", str(tmp_path / "out"), "--cache", str(tmp_path / "cache")]
    assert main(argv) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("body (max): 8 intervals: 6 matched, 2 after it; ")
    assert lines[1:] == ["body: not in 1 recording", f"2 tables: {tmp_path / 'out'}"]
    assert main([*argv, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["written"], said["kept"], said["streams"]["body"]["matched"]) == (0, 2, 6)
    assert Coverage.of(said["streams"]["body"]).intervals == 8
    assert main(["align", str(corpus.path), "--on", "words", "--feature", "body", "--out", "x"]) == 2
    assert "expected STREAM=FEATURE" in capsys.readouterr().err


@pytest.mark.slow
def test_real_words_on_real_frames(real_data: Path, tmp_path: Path) -> None:
    """GRID: words with their times against the film's frames and its sound."""
    from plait.importing.folder import import_folder

    source = real_data / "grid_s1"
    raw = tmp_path / "raw"
    raw.mkdir()
    for one in sorted(source.rglob("*.align"))[:3]:
        for file in source.rglob(f"{one.stem}.*"):
            shutil.copy(file, raw)
    import_folder(raw)
    corpus = Corpus(raw / "manifest.jsonl", allow_outside=True)
    words = next(name for name, s in corpus[0].streams.items() if isinstance(s.clock, Spans))
    report = align_corpus(corpus, AlignPlan(on=words), tmp_path / "out", Store(tmp_path / "cache"))
    assert report.written == 3
    for name, coverage in report.total().items():
        assert coverage.matched + coverage.after + coverage.empty >= 0.98 * coverage.intervals, name
        assert coverage.matched >= 0.8 * coverage.intervals
