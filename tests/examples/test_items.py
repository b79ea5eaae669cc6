"""Items (what the task looks at) and splits by group."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plait.core.errors import ConfigError, DataError
from plait.corpus.corpus import Corpus, CorpusWriter, RecordingEntry, write_manifest
from plait.examples.items import Item, find_items, full_unit, split_items, unit_of
from plait.streams.recording import Annotation
from plait.streams.stream import Stream

NAN = float("nan")


def words(*rows):
    """An inline stream of words as the manifest holds it."""
    return {"texts": [r[2] for r in rows], "spans": [(r[0], r[1]) for r in rows]}


@pytest.fixture
def make(tmp_path):
    """Write a corpus of manifest entries; the signal is a span of words from 0 to ``seconds``."""

    def build(*entries, seconds=10.0):
        full = []
        for i, entry in enumerate(entries):
            streams = {"body": words((0.0, seconds, "x")), **entry.pop("streams", {})}
            full.append(RecordingEntry(**{"id": f"r{i}", "streams": streams, **entry}))
        write_manifest(tmp_path / "manifest.jsonl", full)
        return Corpus(tmp_path / "manifest.jsonl")

    return build


def notes(*rows, tier="t"):
    return [{"start": a, "stop": b, "label": label, "tier": tier} for a, b, label in rows]


class TestRecordings:
    def test_target_is_a_label_or_else_meta_and_nothing_is_lost_silently(self, make):
        corpus = make(
            {"labels": {"y": 1}, "group": "anna", "split": "test"},
            {"meta": {"y": "two"}},
            {},
            {"labels": {"y": NAN}},
            {"meta": {"y": [1, 2]}},
            {"labels": {"y": 3}, "streams": {"body": {"texts": [], "spans": []}}},
        )
        found = find_items(corpus, {"target": "y"})
        assert [(i.id, i.target, i.group, i.split, i.whole) for i in found] == [
            ("r0", 1, "anna", "test", True),
            ("r1", "two", "r1", "", True),
        ]
        assert found.dropped == {
            "recordings: no label 'y'": 1,
            "recordings: target is NaN or infinite": 1,
            "recordings: target is not a text or a number": 1,
            "recordings: no stream has any observation": 1,
        }

    def test_the_whole_recording_holds_its_last_tick(self, tmp_path):
        ticks = Stream.of(np.arange(4.0), times=[0.0, 1.0, 2.0, 7.0])
        with CorpusWriter(tmp_path) as out:
            out.add("a", {"beats": ticks, "imu": Stream.of(np.zeros(50), rate=10)}, labels={"y": 1})
        corpus = Corpus(tmp_path / "manifest.jsonl")
        (item,) = find_items(corpus, {"target": "y"})
        streams = corpus["a"].cut(item.start, item.stop).streams
        assert (len(streams["beats"]), len(streams["imu"])) == (4, 50)

    def test_a_missing_file_is_reported_with_its_place(self, make):
        corpus = make(
            *({"labels": {"y": 1}, "streams": {n: {"path": f"{i}.npy"} for n in ("imu", "gps")}} for i in range(2))
        )
        with pytest.raises(DataError, match=r"manifest.jsonl:1 'imu'") as error:
            find_items(corpus, {"target": "y"})
        assert len(error.value.problems) == 4


class TestSegments:
    unit: ClassVar = {"unit": "segment", "tier": "t"}

    def test_one_item_an_annotation(self, make):
        corpus = make({"annotations": notes((1, 2, "a"), (3, 4, "b"), (5, 5, "a"), (11, 12, "a"), (6, 7, NAN))}, {})
        found = find_items(corpus, self.unit)
        assert [(i.id, i.target) for i in found] == [("r0@1.000-2.000", "a"), ("r0@3.000-4.000", "b")]
        assert found.dropped == {
            "annotations: no duration": 1,
            "annotations: outside the recording": 1,
            "annotations: target is NaN or infinite": 1,
            "recordings: nothing on tier 't'": 1,
        }

    def test_words_are_a_tier_and_choices_are_counted(self, make):
        rows = [(i, i + 1.0, w) for i, w in enumerate(["sil", "bin", "a", "at", "z", "sil"])]
        corpus = make({"streams": {"t": words(*rows)}}, {"streams": {"t": words(*rows[:2])}})
        found = find_items(corpus, {**self.unit, "match": "[a-z]", "index": -1})
        assert [(i.target, i.start) for i in found] == [("z", 4.0)]
        assert found.dropped == {
            "annotations: do not match '[a-z]'": 6,
            "annotations: not number -1": 1,
            "recordings: no annotation number -1": 1,
        }
        assert [i.target for i in find_items(corpus, {**self.unit, "labels": ["bin", "at"]})] == [
            "bin",
            "at",
            "bin",
        ]

    def test_index_counts_those_chosen(self, make):
        corpus = make({"annotations": notes((0, 1, "sil"), (1, 2, "a"), (2, 3, "b"))})
        assert [i.target for i in find_items(corpus, {**self.unit, "match": "[a-z]", "index": 1})] == ["b"]

    def test_padding_stays_within_the_recording(self, make):
        corpus = make({"annotations": notes((0.5, 2, "a"), (9, 10.4, "b"))})
        found = find_items(corpus, {**self.unit, "pad": 1.0})
        assert [(i.start, i.stop) for i in found] == [(0.0, 3.0), (8.0, 10.4)]

    def test_notes_before_the_measurement_do_not_stretch_the_recording(self, tmp_path):
        with CorpusWriter(tmp_path) as out:
            notes = Stream.of(np.array(["x"], object), spans=([-500.0], [1.0]), kind="words")
            out.add(
                "a", {"imu": Stream.of(np.zeros(100), rate=10), "n": notes}, annotations=[Annotation(2, 9, "y", "t")]
            )
        corpus = Corpus(tmp_path / "manifest.jsonl")
        (item,) = find_items(corpus, {**self.unit, "pad": 5.0})
        assert (item.start, item.stop) == (0.0, 10.0)
        windows = find_items(corpus, {"unit": "window", "tier": "t", "length": 2.0})
        assert windows.dropped == {"windows: less than 50% of it is annotated": 1}

    def test_numbers_choose_as_texts_do(self, make):
        corpus = make({"annotations": notes((0, 1, 1), (1, 2, 2.0))})
        assert [i.target for i in find_items(corpus, {**self.unit, "labels": ["1", 2]})] == [1, 2.0]


class TestWindows:
    unit: ClassVar = {"unit": "window", "tier": "t", "length": 2.0}

    def test_the_label_that_covers_most_and_too_little_coverage(self, make):
        corpus = make({"annotations": notes((0, 1.2, "a"), (1.2, 3.5, "b"), (7.5, 8, "a"))})
        found = find_items(corpus, self.unit)
        assert [(i.start, i.stop, i.target) for i in found] == [(0, 2, "a"), (2, 4, "b")]
        assert found.dropped == {"windows: less than 50% of it is annotated": 3}

    def test_the_parts_of_a_label_add_up(self, make):
        corpus = make({"annotations": notes((0, 0.6, "a"), (0.6, 1.4, "b"), (1.4, 2, "a"))}, seconds=2.0)
        assert [i.target for i in find_items(corpus, self.unit)] == ["a"]

    def test_annotations_that_overlap_cover_once(self, make):
        corpus = make({"annotations": notes((0, 0.9, "a"), (0.1, 0.8, "a"), (0.2, 0.9, "b"))}, seconds=2.0)
        with pytest.raises(DataError, match="no items are left"):
            find_items(corpus, self.unit)
        assert len(find_items(corpus, {**self.unit, "coverage": 0.45})) == 1

    def test_mean_of_numbers_is_weighted_by_time(self, make):
        corpus = make({"annotations": notes((0, 0.5, 4.0), (0.5, 2.0, 0.0), (2, 4, 1))}, seconds=4.0)
        targets = [i.target for i in find_items(corpus, {**self.unit, "average": True, "hop": 1.0})]
        assert targets == pytest.approx([1.0, 0.5, 1.0])

    def test_texts_have_no_mean(self, make):
        corpus = make({"annotations": notes((0, 2, "calm"))})
        with pytest.raises(DataError, match="which have no mean"):
            find_items(corpus, {**self.unit, "average": True})

    @settings(max_examples=40)
    @given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 12), st.sampled_from("abc")), min_size=1, max_size=15))
    def test_same_as_a_naive_count_of_instants(self, rows):
        """Overlap-weighted majority equals counting covered instants of 1/8 s, whatever overlaps what."""
        from plait.examples.units.window import _Tier

        rows.sort()
        tier = _Tier([Annotation(a / 4, (a + n) / 4, label) for a, n, label in rows])
        for start in np.arange(0, 13, 1.25):
            label, covered = tier.target(start, start + 2.5, False)
            instants = start + (np.arange(20) + 0.5) / 8
            hits = {
                x: sum(((instants > a / 4) & (instants < (a + n) / 4)).sum() for a, n, y in rows if x == y)
                for x in "abc"
            }
            any_hit = np.any([(instants > a / 4) & (instants < (a + n) / 4) for a, n, _ in rows], axis=0).sum()
            assert covered == pytest.approx(any_hit / 8)
            assert label is None if not any_hit else hits[label] == max(hits.values())


class TestUnit:
    def test_all_problems_at_once_with_suggestions(self):
        with pytest.raises(ConfigError) as error:
            full_unit({"unit": "window", "lenght": 3, "hop": -1, "coverage": 50, "average": 1, "target": "y"})
        text = str(error.value)
        assert "Did you mean 'length'?" in text
        assert "It belongs to unit: recording." in text
        assert len(error.value.problems) == 7  # and tier and length are missing

    @pytest.mark.parametrize(
        "unit",
        [
            {"unit": "windw"},
            {},
            {"unit": "segment", "tier": "t", "match": "("},
            {"unit": "segment", "tier": "t", "pad": -1},
        ],
    )
    def test_wrong_units(self, unit):
        with pytest.raises(ConfigError, match=r"task\."):
            full_unit(unit)

    def test_an_unknown_target_or_tier_is_suggested(self, make):
        corpus = make({"labels": {"gait": 1}, "annotations": notes((0, 1, "a"), tier="words")})
        with pytest.raises(ConfigError, match="Did you mean 'gait'"):
            find_items(corpus, {"target": "gate"})
        with pytest.raises(ConfigError, match="Did you mean 'words'"):
            find_items(corpus, {"unit": "segment", "tier": "word"})

    def test_the_tasks_own_options_are_left_to_the_task(self):
        assert unit_of({"name": "classify", "unit": "segment", "tier": "t", "width": 3}) == {
            "unit": "segment",
            "tier": "t",
        }


def corpus_of(make, groups, splits=None, **more):
    return make(*({"labels": {"y": 1}, "group": g, "split": (splits or {}).get(g, ""), **more} for g in groups))


class TestSplits:
    def folds(self, corpus, spec):
        return split_items(find_items(corpus, {"target": "y"}).items, corpus, spec)

    def test_the_manifests_own_split(self, make):
        corpus = corpus_of(make, "aabbcd", {"a": "train", "b": "valid", "c": "test"})
        (fold,) = self.folds(corpus, {"by": "manifest"})
        assert [[i.recording for i in side] for side in fold.sides.values()] == [
            ["r0", "r1"],
            ["r2", "r3"],
            ["r4"],
        ]
        assert fold.left_out == 1
        assert "'r5'" in fold.notes[0]

    def test_an_unknown_split_in_the_manifest(self, make):
        with pytest.raises(DataError, match=r"'vald' in the manifest is not a side. Did you mean 'valid'"):
            self.folds(corpus_of(make, "ab", {"a": "train", "b": "vald"}), {"by": "manifest"})

    def test_lists_of_a_meta_key(self, make):
        corpus = make(*({"labels": {"y": 1}, "meta": {"person": p}, "group": f"s{p}"} for p in [1, 2, 3, 4, 1]))
        (fold,) = self.folds(corpus, {"by": "person", "train": [1, "3"], "test": [2.0]})
        assert [i.recording for i in fold.train] == ["r0", "r2", "r4"]
        assert [(i.recording, i.split) for i in fold.test] == [("r1", "test")]
        assert any("'4': in no list" in n for n in fold.notes)
        assert fold.left_out == 1

    def test_a_group_on_two_sides_is_named(self, make):
        with pytest.raises(DataError, match=r"group 'a' is on two sides .'r0' in train, 'r1' in test"):
            self.folds(corpus_of(make, "aab"), {"by": "id", "train": ["r0"], "test": ["r1", "r2"]})
        with pytest.raises(DataError, match="group 'a'"):
            self.folds(corpus_of(make, "a" * 20), {"hash": "id", "test": 0.5})

    def test_unknown_values_and_keys_come_with_suggestions_all_at_once(self, make):
        corpus = make(*({"labels": {"y": 1}, "meta": {"person": p}} for p in ["anna", "ben", "carl"]))
        with pytest.raises(ConfigError) as error:
            self.folds(corpus, {"by": "person", "train": ["ana", "ben"], "test": ["karl"]})
        assert len(error.value.problems) == 2
        assert "Did you mean 'anna'?" in str(error.value)
        with pytest.raises(ConfigError, match="Did you mean 'person'"):
            self.folds(corpus, {"by": "persons", "train": ["ana"]})

    @pytest.mark.parametrize(
        "spec",
        [
            {},
            {"hsh": "id"},
            {"folds": 1},
            {"folds": 2.0},
            {"folds": 3, "tset": 1},
            {"hash": "group", "test": 0.6, "valid": 0.5},
            {"hash": "group", "test": "half"},
            {"hash": 3},
            {"by": "id", "train": "r0"},
            {"by": "id", "train": ["a"], "test": ["a"]},
            {"by": "manifest", "train": ["a"]},
            {"folds": 99},
        ],
    )
    def test_wrong_specs(self, make, spec):
        with pytest.raises(ConfigError, match="split"):
            self.folds(corpus_of(make, "abc"), spec)

    def test_an_empty_side_is_an_error(self, make):
        with pytest.raises(DataError, match="landed in test"):
            self.folds(corpus_of(make, "a"), {"hash": "group", "test": 0.001})
        with pytest.raises(DataError, match="no item to train on"):
            self.folds(corpus_of(make, "a"), {"hash": "group", "test": 0.999, "valid": 0})

    @pytest.mark.parametrize("parts", [2, 3])
    def test_tuning_looks_at_the_training_part_alone(self, make, parts):
        spec = {"hash": "group", "test": 0.3, "valid": 0.2, "salt": "x"}
        corpus = corpus_of(make, "aabbcdefghijklmnnoo")
        (whole,), folds = self.folds(corpus, spec), self.folds(corpus, {**spec, "tune": parts})
        assert [f.name for f in folds] == [f"tune{i + 1}" for i in range(parts)]
        tested = [i.recording for f in folds for i in f.test]
        assert sorted(tested) == sorted(i.recording for i in whole.train)
        for fold in folds:
            assert fold.valid == whole.valid
            assert not {i.group for i in fold.train} & {i.group for i in fold.test}
            assert {i.split for i in fold.test} == {"test"}
            assert fold.left_out == len(whole.test)

    def test_tuning_needs_groups_to_spare(self, make):
        spec = {"by": "group", "train": ["a", "b"], "test": ["c"]}
        with pytest.raises(ConfigError, match=r"only 2 groups to train on\. Ask for 2 at most"):
            self.folds(corpus_of(make, "aabbc"), {**spec, "tune": 3})
        with pytest.raises(ConfigError, match="there is nothing to protect"):
            self.folds(corpus_of(make, "aabbc"), {"folds": 3, "tune": 2})
        for wrong in (1, True, "4", 2.0):
            with pytest.raises(ConfigError, match=r"split\.tune"):
                self.folds(corpus_of(make, "aabbc"), {**spec, "tune": wrong})

    def test_the_hash_does_not_change_between_versions(self, make):
        """Fixed sides: a change of the hash would silently move published test sets."""
        (fold,) = self.folds(
            corpus_of(make, [f"g{i}" for i in range(12)]), {"hash": "group", "test": 0.3, "valid": 0.2}
        )
        sides = {i.group: name for name, side in fold.sides.items() for i in side}
        assert "".join(sides[f"g{i}"][1] for i in range(12)) == "raaereeaeere"


groups = st.lists(st.integers(0, 12), min_size=1, max_size=60)


def some_items(numbers):
    """Items of several windows a recording, and a stand-in for their corpus."""
    rows = [RecordingEntry(id=f"r{i}", group=f"g{g}") for i, g in enumerate(numbers)]

    class Stub:
        entries = rows

    items = [Item(r.id, w, w + 1.0, 0, r.group) for k, r in enumerate(rows) for w in range(1 + k % 3)]
    return items, Stub


def sides_of(fold):
    return {side: {i.group for i in items} for side, items in fold.sides.items()}


@given(groups, st.integers(2, 6), st.sampled_from([0.0, 0.1, 0.5]), st.text(max_size=3))
def test_folds_test_every_item_once_and_share_no_group(numbers, k, valid, salt):
    if len(set(numbers)) < k:
        return
    items, corpus = some_items(numbers)
    folds = split_items(items, corpus, {"folds": k, "valid": valid, "salt": salt})
    assert sorted(i.id for f in folds for i in f.test) == sorted(i.id for i in items)
    for fold in folds:
        assert sorted(i.id for side in fold.sides.values() for i in side) == sorted(i.id for i in items)
        a, b, c = sides_of(fold).values()
        assert a.isdisjoint(b | c)
        assert b.isdisjoint(c)
        assert fold.train
        assert fold.test
        assert all(i.split == name for name, side in fold.sides.items() for i in side)
        if valid and len(set(numbers)) - len(c) > 1:
            assert fold.valid
    sizes = [len(f.test) for f in folds]
    largest = max(sum(i.group == f"g{g}" for i in items) for g in set(numbers))
    assert max(sizes) - min(sizes) <= largest
    assert folds == split_items(list(items), corpus, {"folds": k, "valid": valid, "salt": salt})


@given(groups, groups)
def test_a_hash_puts_a_group_on_the_same_side_however_the_corpus_grows(first, more):
    spec = {"hash": "group", "test": 0.3, "valid": 0.2, "salt": "x"}
    found = []
    for numbers in (first, first + more):
        try:
            (fold,) = split_items(*some_items(numbers), spec)
        except DataError:  # too few groups for every side
            return
        if fold.notes:  # so few that a side had to be filled by hand
            return
        found.append({i.group: i.split for side in fold.sides.values() for i in side})
    assert found[0].items() <= found[1].items()


@pytest.mark.parametrize("unit", [[1], {"name": "window"}, 7, None])
def test_a_unit_is_a_name(unit):
    with pytest.raises(ConfigError, match=r"task\.unit: there is no unit"):
        full_unit({"unit": unit, "target": "y"})
