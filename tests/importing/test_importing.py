"""Import: names by convention or by pattern, labels in tables, nothing lost silently."""

from __future__ import annotations

import json
import os
import time
from itertools import pairwise

import numpy as np
import pytest

from plait.core.errors import ConfigError, DataError
from plait.corpus.corpus import Corpus
from plait.examples.items import find_items
from plait.importing.cells import seconds_of
from plait.importing.folder import import_files, import_folder, import_options
from plait.importing.labels import merge_ticks

IMU = "time,x,y\n0.0,1,2\n0.5,2,3\n1.0,3,4\n"
SRT = "1\n00:00:00,000 --> 00:00:00,800\nhello\n\n2\n00:00:01,000 --> 00:00:01,500\nthere\n"
ALIGN = "0 12500 sil\n12500 25000 go\n"


@pytest.fixture
def folder(tmp_path):
    """Make files of given contents below a folder; returns a function that adds to it."""
    root = tmp_path / "raw"
    root.mkdir()

    def add(**files):
        for name, content in files.items():
            path = root / name.replace("__", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, np.ndarray):
                np.save(path, content, allow_pickle=False)
            else:
                path.write_text(content)
        return root

    return add


def run(root, **options):
    report = import_folder(root, options=options or None)
    return report, Corpus(report.manifest)


class TestNames:
    def test_convention(self, folder):
        root = folder(**{"talk01.imu.csv": IMU, "talk01.srt": SRT, "sub__talk02.imu.csv": IMU, "talk02.srt": SRT})
        report, corpus = run(root)
        assert corpus.ids == ["talk01", "talk02"]
        assert set(corpus["talk01"].streams) == {"imu", "words"}
        assert corpus["talk02"].streams["imu"].read().tolist() == [[1, 2], [2, 3], [3, 4]]
        assert corpus["talk02"].streams["words"].read().tolist() == ["hello", "there"]
        assert report.streams["imu"]["recordings"] == 2
        assert report.left_out == {}

    def test_without_a_middle_part_the_reader_names_and_a_clash_takes_the_ending_everywhere(self, folder):
        root = folder(**{"a.srt": SRT, "a.align": ALIGN, "b.srt": SRT, "c.csv": IMU})
        report, corpus = run(root)
        assert set(corpus["a"].streams) == {"words", "srt"}
        assert set(corpus["b"].streams) == {"srt"}
        assert set(corpus["c"].streams) == {"series"}
        assert any(".align keeps the name" in note for note in report.notes)

    def test_equal_names_in_two_folders_are_reported(self, folder):
        report, corpus = run(folder(**{"s1__x.csv": IMU, "s2__x.csv": IMU}))
        assert corpus["x"].streams["series"].where
        assert "from s1/x.csv already" in report.left_out["s2/x.csv"]

    def test_natural_order(self, folder):
        _, corpus = run(folder(**{f"clip{i}.csv": IMU for i in (10, 2, 1)}))
        assert corpus.ids == ["clip1", "clip2", "clip10"]

    def test_patterns_give_id_stream_meta_group_and_labels(self, folder):
        root = folder(**{f"X__a{a}_s0{s}_{n}.csv": IMU for a in (1, 2) for s in (1, 2) for n in ("imu", "rest")})
        report, corpus = run(
            root,
            match=r"(?P<id>a(?P<action>\d+)_s(?P<subject>\d+))_(?P<stream>imu)\.csv",
            group="person{subject}",
            labels_from_meta=["action"],
        )
        assert corpus.ids == ["a1_s01", "a1_s02", "a2_s01", "a2_s02"]
        recording = corpus["a2_s01"]
        assert (recording.group, recording.labels, recording.meta) == (
            "person1",
            {"action": 2},
            {"action": 2, "subject": 1},
        )
        assert len(report.left_out) == 4
        assert "import.match" in report.left_out["X/a1_s01_rest.csv"]

    def test_the_first_pattern_that_fits(self, folder):
        _, corpus = run(
            folder(**{"p1.csv": IMU, "q1.csv": IMU}),
            match=[r"(?P<id>p(?P<n>\d))", r"(?P<id>.1)\.(?P<stream>csv)"],
        )
        assert set(corpus["p1"].streams) == {"series"}
        assert set(corpus["q1"].streams) == {"csv"}

    def test_hidden_skipped_and_foreign_files_are_reported(self, folder):
        root = folder(**{"a.csv": IMU, ".DS_Store": "x", "old__b.csv": IMU, "notes.xyz": "x", "c.csv": ""})
        report, corpus = run(root, skip=["old/*"])
        assert corpus.ids == ["a"]
        assert set(report.left_out) == {"c.csv", "notes.xyz", "old/b.csv"}
        assert "no reader" in report.left_out["notes.xyz"]
        assert any("1 hidden" in n for n in report.notes)
        text = "\n".join(report.lines())
        assert "left out: 3 files" in text
        json.dumps(report.to_json())

    def test_a_link_that_leaves_the_folder_is_left_out(self, folder, tmp_path):
        root = folder(**{"a.csv": IMU})
        (tmp_path / "secret.csv").write_text(IMU)
        os.symlink(tmp_path / "secret.csv", root / "b.csv")
        report, corpus = run(root)
        assert corpus.ids == ["a"]
        assert "leaves the folder" in report.left_out["b.csv"]

    def test_a_folder_of_a_known_format_is_one_recording_on_its_own_seconds(self, folder):
        header = "1644227574.000000\n4.000000\n"
        files = {f"Raw__S{i:02d}__TEMP.csv": header + "34.5\n" * 8 for i in (2, 3)}
        files |= {f"Raw__S{i:02d}__EDA.csv": header.replace("574", "576") + "0.5\n" * 8 for i in (2, 3)}
        labels = "".join(f"{p},{1644227574 + t},{t // 2}\n" for p in (2, 3, 4) for t in range(4))
        root = folder(**files, **{"labels__all.csv": "Participant,Time(sec),Label\n" + labels})
        report, corpus = run(
            root,
            labels={"file": "labels/all.csv", "id": "Participant", "id_format": "S{:02d}", "time": "Time(sec)"},
        )
        assert corpus.ids == ["S02", "S03"]
        recording = corpus["S03"]
        assert recording.meta["epoch"] == 1644227574
        starts = {name: s.clock.start for name, s in recording.streams.items()}
        assert sorted(starts.values()) == [0.0, 2.0]
        assert [(a.start, a.stop, a.label) for a in recording.tier("Label")] == [(0.0, 2.0, 0), (2.0, 4.0, 1)]
        assert any("4 rows of 1 ids" in n and "'S04'" in n for n in report.notes)

    def test_ids_of_several_columns(self, folder):
        rows = ["part,talk,begin,end,said,mood", "dev,1,0:00:00,0:00:01.5,hi,joy", "train,1,0,2,go,anger"]
        root = folder(**{"t.csv": "\n".join([*rows, "train,2,0,1,oh,joy", ""])})
        labels = {"file": "t.csv", "id": "talk", "id_format": "{part}_{:02d}", "start": "begin", "stop": "end"}
        labels |= {"split": "part", "label": "mood", "text": "said"}
        with pytest.raises(ConfigError, match="does not take '1'"):
            run(root, labels={**labels, "id_format": "{prat}_{}"})
        _, corpus = run(root, labels=labels)
        assert [(r.id, r.split) for r in corpus] == [("dev_01", "valid"), ("train_01", "train"), ("train_02", "train")]
        assert [(a.start, a.stop, a.label) for a in corpus["dev_01"].tier("mood")] == [(0.0, 1.5, "joy")]

    def test_columns_by_another_name(self, folder):
        root = folder(**{"t.csv": "Talk,Begin,End,Line,Feeling\na,0,1.5,hi,joy\n"})
        names = {"Talk": "id", "Line": "text", "Feeling": "emotion"}
        labels = {"file": "t.csv", "start": "Begin", "stop": "End", "label": "emotion", "text": "text"}
        for wrong, told in (({"Lime": "text"}, "names column 'Lime'"), ({"Line": "Talk"}, "one name")):
            with pytest.raises(ConfigError, match=told):
                run(root, labels={**labels, "rename": wrong})
        _, corpus = run(root, labels={**labels, "rename": names})
        assert [a.label for a in corpus["a"].tier("emotion")] == ["joy"]
        assert corpus["a"].streams["text"].read().tolist() == ["hi"]


class TestStreamOptions:
    def test_rename_part_duration_and_offset(self, folder):
        root = folder(**{"a.body.npy": np.zeros((10, 3)), "a.imu.csv": IMU})
        rule = {"duration": 1.0, "offset": 0.25, "rename": "pose"}
        _, corpus = run(root, streams={"body": rule})
        clock = corpus["a"].streams["pose"].clock
        assert (clock.start, clock.stop, len(clock)) == (0.25, 1.25, 10)

    def test_rate_of_an_array(self, folder):
        _, corpus = run(folder(**{"a.imu.npy": np.zeros((100, 6))}), streams={"imu": {"rate": 50}})
        assert corpus["a"].streams["imu"].clock.stop == 2.0

    def test_rate_of_a_table_without_times_named_or_not(self, folder):
        root = folder(**{"a.imu.csv": "x,y\n1,2\n3,4\n", "b.csv": "x,y\n1,2\n3,4\n"})
        report, corpus = run(root, streams={"imu": {"rate": 4}, "series": {"rate": 2}})
        assert report.left_out == {}
        assert corpus["a"].streams["imu"].clock.stop == 0.5
        assert corpus["b"].streams["series"].clock.stop == 1.0

    def test_times_beside_an_array_and_a_note_where_nothing_tells_the_rate(self, folder):
        report, corpus = run(
            folder(**{"a.x.npy": np.zeros(3), "a.x.times.npy": np.array([0, 0.1, 5]), "a.y.npy": np.zeros(4)})
        )
        assert corpus["a"].streams["x"].clock.times.tolist() == [0, 0.1, 5]
        assert next(n for n in report.notes if "without rate" in n).startswith("'y':")
        assert not any("'x'" in n for n in report.notes)

    def test_a_rule_for_no_stream_is_noted(self, folder):
        report, _ = run(folder(**{"a.imu.csv": IMU}), streams={"imuu": {"offset": 1}})
        assert any("import.streams.imuu" in n and "Did you mean 'imu'?" in n for n in report.notes)

    def test_options_that_the_reader_does_not_have(self, folder):
        with pytest.raises(ConfigError, match="no such option"):
            run(folder(**{"a.imu.csv": IMU}), streams={"imu": {"options": {"delimitr": ";"}}})

    def test_rows_of_an_archive(self, tmp_path):
        np.savez(
            tmp_path / "f.npz",
            utt=np.array(["v1_1", "v1_2", "v2_1"]),
            video=np.array(["v1", "v1", "v2"]),
            part=np.array(["train", "train", "dev"]),
            score=np.array([0.1, np.nan, -1.5], np.float32),
            said=np.array(["a b", "c", "d"]),
            sound=np.arange(12, dtype=np.float32).reshape(3, 4),
        )
        rows = {
            "file": "f.npz", "id": "utt", "group": "video", "split": "part",
            "streams": {"audio": "sound"}, "labels": {"score": "score"}, "text": {"words": "said"},
        }  # fmt: skip
        report, corpus = run(tmp_path, rows=rows)
        assert corpus["v2_1"].streams["audio"].read().ravel().tolist() == [8, 9, 10, 11]
        assert (corpus["v2_1"].group, corpus["v2_1"].split) == ("v2", "valid")
        assert corpus["v1_1"].labels == {"score": 0.1}
        assert corpus["v1_2"].streams["words"].read().tolist() == ["c"]
        assert any("1 recordings have no 'score'" in n for n in report.notes)
        assert len(find_items(corpus, {"target": "score"})) == 2
        with pytest.raises(ConfigError, match="Did you mean 'score'"):
            import_folder(tmp_path, options={"rows": {**rows, "labels": {"y": "scor"}}}, overwrite=True)


class TestLabels:
    def table(self, folder, content, **options):
        root = folder(**{"a.imu.csv": IMU, "b.imu.csv": IMU, "labels.csv": content})
        return run(root, **({"labels": options} if options else {}))

    def test_guessed_columns_of_recordings(self, folder):
        text = "clip,mode,speaker,gait,age\na.mp4,dev,anna,slow,30\nb,Train,ben,fast,\nz,test,z,slow,1\n"
        report, corpus = self.table(folder, text)
        a, b = corpus
        assert (a.split, a.group, a.labels) == ("valid", "anna", {"gait": "slow", "age": 30})
        assert (b.split, b.labels) == ("train", {"gait": "fast"})
        assert any("1 rows of 1 ids" in n and "'z'" in n for n in report.notes)
        assert any("1 recordings have no 'age'" in n for n in report.notes)
        assert report.labels["labels"]["gait"]["counts"] == {"fast": 1, "slow": 1}
        assert report.labels["splits"] == {"train": 1, "valid": 1}

    def test_intervals(self, folder):
        text = "id;start;end;act;other\na;0.0;0.5;run;1\na;0.5;1.0;sit;2\nb;0.9;0.1;run;3\nb;x;1;run;3\n"
        report, corpus = self.table(folder, text)
        assert [(x.start, x.stop, x.label) for x in corpus["a"].tier("act")] == [(0, 0.5, "run"), (0.5, 1, "sit")]
        assert [x.label for x in corpus["a"].tier("other")] == [1, 2]
        assert corpus["b"].annotations == ()
        assert any("2 rows without start <= stop" in n and "lines 4, 5" in n for n in report.notes)

    def test_scale_tier_and_text(self, folder):
        text = "clip,begin,end,word\na,0,12500,sil\na,12500,25000,go\n"
        _, corpus = self.table(folder, text, label="word", tier="says", text="word", scale=1 / 25000)
        assert [(x.stop, x.label) for x in corpus["a"].tier("says")] == [(0.5, "sil"), (1.0, "go")]
        assert corpus["a"].streams["word"].clock.stop == 1.0

    def test_text_columns_make_recordings(self, folder):
        report, corpus = self.table(folder, "id,said,y\na,hi there,1\nnew,ho,2\n", text="said")
        assert corpus.ids == ["a", "b", "new"]
        assert corpus["new"].streams["said"].read().tolist() == ["ho"]
        assert corpus["a"].labels == {"y": 1}
        assert report.missing == {"imu": ["new"], "said": ["b"]}

    def test_ragged_and_conflicting_rows_are_reported(self, folder):
        report, corpus = self.table(folder, "id,y\na,1\nb\na,2\n")
        assert corpus["a"].labels == {"y": 1}
        assert any("labels.csv:3: 1 cells, but the header has 2" in n for n in report.notes)
        assert any("labels.csv:2, 4: 'a' has several rows that differ" in n for n in report.notes)

    def test_columns_that_are_not_there_all_at_once(self, folder):
        with pytest.raises(ConfigError) as error:
            self.table(folder, "clip,labl\na,1\n", id="clp", label="label")
        assert len(error.value.problems) == 2
        assert "Did you mean 'clip'?" in str(error.value)

    def test_a_table_found_by_chance_may_be_something_else(self, folder):
        report, corpus = self.table(folder, "foo,bar\n1,2\n")
        assert len(corpus) == 2
        assert "no column says which recording" in report.left_out["labels.csv"]

    def test_an_empty_table_that_was_named(self, folder):
        with pytest.raises(DataError, match="is empty"):
            self.table(folder, "", file="labels.csv")

    def test_ticks_merge_and_gaps_end_a_run(self):
        times = [0, 1, 2.2, 3, 10, 11]
        assert merge_ticks(times, [1, 1, 1, 0, 0, 0]) == [(0, 3, 1), (3, 4, 0), (10, 12, 0)]
        assert merge_ticks([5.0], ["x"]) == [(5.0, 6.0, "x")]
        assert merge_ticks([], []) == []

    def test_merging_keeps_every_instant(self):
        rng = np.random.default_rng(0)
        times = np.cumsum(rng.choice([0.9, 1.0, 1.1, 5.0], 200, p=[0.2, 0.6, 0.18, 0.02]))
        labels = rng.integers(0, 3, 200).tolist()
        runs = merge_ticks(times.tolist(), labels)
        for t, label in zip(times + 0.01, labels):
            assert [x for a, b, x in runs if a <= t < b] == [label]
        assert all(b <= c for (_, b, _), (c, _, _) in pairwise(runs))

    def test_times_as_people_write_them(self):
        assert seconds_of("01:00:00.5") == 3600.5
        assert seconds_of("2022-02-07T09:52:54Z") == 1644227574
        assert seconds_of("nan") is None


class TestRefusals:
    def test_all_wrong_options_at_once(self):
        with pytest.raises(ConfigError) as error:
            import_options({"mach": "x", "labels": {"fil": "x"}, "streams": {"a": {"rte": 5}}, "skip": 3})
        text = str(error.value)
        assert len(error.value.problems) == 4
        for wanted in ("'match'", "'file'", "'rate'", "import.skip"):
            assert wanted in text

    @pytest.mark.parametrize(
        "options",
        [
            {"match": "("},
            {"match": "no groups"},
            {"group": "{"},
            {"labels": {"start": "a"}},
            {"streams": {"x": {"reader": "tabel"}}},
            {"streams": {"x": {"duration": 0}}},
        ],
    )
    def test_wrong_options(self, options):
        with pytest.raises(ConfigError, match="import"):
            import_options(options)

    def test_unknown_meta_in_template_and_list(self, folder):
        with pytest.raises(ConfigError) as error:
            run(folder(**{"a.csv": IMU}), match="(?P<id>.)", group="{subjct}", labels_from_meta=["x"])
        assert len(error.value.problems) == 2

    def test_nothing_to_import(self, folder):
        with pytest.raises(DataError, match="nothing to import"):
            run(folder(**{"a.xyz": "x"}))
        with pytest.raises(DataError, match="no such folder"):
            import_folder("nowhere/at/all")

    def test_a_manifest_is_not_overwritten_unless_asked(self, folder):
        root = folder(**{"a.csv": IMU})
        run(root)
        with pytest.raises(DataError, match="is there already"):
            run(root)
        assert import_folder(root, overwrite=True).left_out == {}

    def test_a_manifest_elsewhere(self, folder, tmp_path):
        root = folder(**{"a.csv": IMU})
        report = import_folder(root, out=tmp_path / "made" / "here.jsonl")
        assert report.outside
        assert len(Corpus(report.manifest, allow_outside=True)["a"].streams["series"]) == 3
        with pytest.raises(DataError, match="leaves the corpus folder"):
            Corpus(report.manifest)["a"].streams["series"]
        assert not (root / "manifest.jsonl").exists()


class TestFiles:
    def test_files_from_anywhere_become_recordings_by_the_same_rules(self, folder, tmp_path):
        root = folder(**{"x__p_imu.csv": IMU, "y__p_gps.csv": IMU, "q__r_imu.csv": IMU, "q__labels.csv": "id\n"})
        options = {
            "match": r"(?P<id>\w)_(?P<stream>imu|gps)", "group": "{subject}", "labels_from_meta": ["y"],
            "labels": {"file": "gone.csv"}, "streams": {"gps": {"offset": 1}},
        }  # fmt: skip
        paths = [root / "x" / "p_imu.csv", str(root / "y" / "p_gps.csv"), root / "q"]
        report = import_files(paths, out=tmp_path / "new" / "m.jsonl", options=options)
        corpus = Corpus(report.manifest, allow_outside=True)
        assert {r.id: {n: s.clock.start for n, s in r.streams.items()} for r in corpus} == {
            "p": {"gps": 1.0, "imu": 0.0},
            "r": {"imu": 0.0},
        }

    def test_named_files_that_do_not_open_come_all_at_once(self, folder, tmp_path):
        root = folder(**{"a.csv": IMU, "b.csv": ""})
        with pytest.raises(DataError) as error:
            import_files([root / "a.csv", root / "b.csv", root / "c.csv"], out=tmp_path / "m.jsonl")
        assert len(error.value.problems) == 2


class TestRealData:
    @pytest.mark.slow
    def test_grid(self, real_data, tmp_path):
        began = time.monotonic()
        report = import_folder(real_data / "grid_s1", out=tmp_path)
        assert time.monotonic() - began < 60
        assert report.recordings == 745
        assert {n: s["recordings"] for n, s in report.streams.items()} == {"audio": 745, "video": 745, "words": 745}
        assert report.left_out == {}
        corpus = Corpus(report.manifest, allow_outside=True)
        found = find_items(corpus, {"unit": "segment", "tier": "words", "match": "[a-z]"})
        letters = {i.recording: i.target for i in found}
        assert all(letter == name[3] for name, letter in letters.items())
        assert len(letters) == len(found) == 745

    @pytest.mark.slow
    def test_stress(self, real_data, tmp_path):
        labels = {"file": "Processed_data/Improved_All_Combined_hr_rsp_binary.csv", "id": "Participant",
                  "id_format": "S{:02d}", "time": "Time(sec)", "label": "Label"}  # fmt: skip
        report = import_folder(real_data / "stress_predict", out=tmp_path, options={"labels": labels})
        assert report.recordings == 29
        assert report.streams["acc"]["hours"] == pytest.approx(26.6, abs=0.1)
        seconds = report.labels["tiers"]["Label"]["hours"] * 3600
        assert 28 * 3038 < seconds < 28 * 3575
        corpus = Corpus(report.manifest, allow_outside=True)
        # Two tags of S17 are 12 hours off; they must not push its sensors to 11 o'clock.
        assert corpus["S17"].streams["acc"].clock.start == 0
        items = find_items(corpus, {"unit": "window", "tier": "Label", "length": 60, "hop": 30})
        assert {i.recording for i in items} == {f"S{i:02d}" for i in range(2, 30)}
        assert 0.25 < np.mean([i.target for i in items]) < 0.4

    @pytest.mark.slow
    def test_utd_mhad(self, real_data, tmp_path):
        options = {
            "match": r"(?P<id>a(?P<action>\d+)_s(?P<subject>\d+)_t(?P<trial>\d+))_(?P<stream>skeleton|inertial)\.mat",
            "streams": {"skeleton": {"options": {"time_axis": 2}, "duration": 1.0}, "inertial": {"duration": 1.0}},
            "group": "{subject}",
            "labels_from_meta": ["action"],
        }
        report = import_folder(real_data / "utd_mhad", out=tmp_path, options=options)
        assert report.recordings == 861
        assert report.labels["groups"] == 8
        assert len(report.left_out) == 861
        assert report.streams["skeleton"]["kinds"] == ["pose"]

    @pytest.mark.slow
    def test_mosi(self, real_data, tmp_path):
        options = {
            "rows": {"file": "features.npz", "id": "utt_id", "group": "video_id", "streams": {"audio": "audio73"}},
            "labels": {"file": "label.csv", "text": "text"},
        }
        report = import_folder(real_data / "mosi", out=tmp_path, options=options)
        assert (report.recordings, report.labels["groups"]) == (2199, 93)
        assert report.labels["splits"] == {"": 4, "test": 685, "train": 1281, "valid": 229}
        assert len(report.missing["text"]) == 4


@pytest.mark.parametrize("options", [["match"], "match", 7])
def test_options_are_a_mapping(options):
    with pytest.raises(ConfigError, match=r"import: got .*expected options"):
        import_options(options)


def test_a_link_in_a_circle_is_passed_over(tmp_path):
    (tmp_path / "a.csv").write_text("t,x\n0,1\n1,2\n")
    (tmp_path / "loop.csv").symlink_to(tmp_path / "loop.csv")
    assert import_folder(tmp_path, out=tmp_path / "m.jsonl").recordings == 1


class TestCaptions:
    """Tables with several texts a file: each an annotation of the whole recording, by another annotator."""

    def test_a_table_of_captions_needs_no_option(self, folder):
        rows = [
            "image,caption",
            "a.csv,A dog runs .",
            'a.csv,"A brown dog, running"',
            "b.csv,Two men",
            "b.csv,",
            "z.jpg,A cat",
        ]
        root = folder(**{"pictures__a.csv": IMU, "pictures__b.csv": IMU, "captions.txt": "\n".join(rows) + "\n"})
        report, corpus = run(root)
        assert corpus.ids == ["a", "b"]  # the table is no recording
        said = [(n.start, n.stop, n.label, n.annotator) for n in corpus["a"].tier("caption")]
        assert said == [(0.0, 1.0, "A dog runs .", "1"), (0.0, 1.0, "A brown dog, running", "2")]
        assert [n.label for n in corpus["b"].tier("caption")] == ["Two men"]
        assert any("1 rows without a caption (lines 5)" in note for note in report.notes)
        assert any("'z.jpg'" in note and "left out" in note for note in report.notes)

    def test_a_transcript_of_that_name_is_no_table(self, folder):
        root = folder(**{"captions.txt": "hello there\n", "a.imu.csv": IMU})
        report, _ = run(root)
        assert not any("no column" in note for note in report.notes)

    def test_any_table_may_hold_several_rows_a_recording(self, folder):
        root = folder(**{"a.imu.csv": IMU, "moods.csv": "id,mood\na,glad\na,calm\n"})
        report, corpus = run(root, labels={"file": "moods.csv", "several": True})
        assert [(n.label, n.tier, n.annotator) for n in corpus["a"].tier("mood")] == [
            ("glad", "mood", "1"),
            ("calm", "mood", "2"),
        ]
        (root / "manifest.jsonl").unlink()
        report, corpus = run(root, labels={"file": "moods.csv"})
        assert any("import.labels.several" in note for note in report.notes)
        with pytest.raises(ConfigError, match="several"):
            import_options({"labels": {"file": "m.csv", "several": True, "time": "t"}})
