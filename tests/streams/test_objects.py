"""Objects as JSON texts: what is read of them, and what is refused, all in one message with its place."""

from __future__ import annotations

import json

import numpy as np
import pytest

from plait.core.errors import DataError
from plait.readers.objects import Detections
from plait.streams.objects import object_text, objects_of
from plait.streams.stream import Stream


def _stream(*texts, times=None):
    return Stream.of(np.array(texts, object), times=np.zeros(len(texts)) if times is None else times)


def test_boxes_become_edges_and_sizes_come_from_the_furthest_edges():
    found = objects_of(_stream(object_text("cat", (1, 2, 3, 4)), object_text("dog", (0, 0, 10, 20), id="d")))
    assert found.boxes.tolist() == [[1, 2, 4, 6], [0, 0, 10, 20]]
    assert found.sizes.tolist() == [[10, 20], [10, 20]]
    assert found.ids == ("0", "d")
    assert found.confidence.tolist() == [1, 1]


def test_without_ids_objects_count_from_0_at_each_instant():
    texts = [object_text("cat", (0, 0, 1, 1))] * 4
    assert objects_of(_stream(*texts, times=[0.0, 0.0, 0.5, 0.5])).ids == ("0", "1", "0", "1")


def test_all_wrong_objects_are_told_at_once_with_their_place():
    texts = [
        object_text("cat", (0, 0, 0, 5)),
        object_text("cat", (5, 5, 10, 10), picture=(12, 20)),
        object_text("cat", (-9, 0, 20, 5)),
        "a cat",
        json.dumps({"class": "cat"}),
        json.dumps({"class": "cat", "box": [0, 0, 1, 1], "bbox": 3}),
        object_text("cat", (0, 0, 1, 1), id="two words"),
        object_text("cat", (0, 0, 1, float("nan"))),
    ]
    with pytest.raises(DataError) as error:
        objects_of(_stream(*texts, times=np.arange(8) / 10))
    told = error.value.problems
    assert [p.split(")")[0] for p in told] == [f"objects object {i} ({i / 10:.3f} s" for i in range(8)]
    said = (
        "no area",
        "outside the picture, 12 x 20",
        "outside",
        "JSON",
        "box: Field",
        "bbox: Extra",
        "spaces",
        "finite",
    )
    assert all(word in problem for word, problem in zip(said, told)), told


def test_an_id_is_there_once_at_an_instant():
    same = object_text("cat", (0, 0, 1, 1), id="a")
    assert objects_of(_stream(same, same, times=[0.0, 0.5])).ids == ("a", "a")
    with pytest.raises(DataError, match=r"object 1 .*'a' is there twice"):
        objects_of(_stream(same, same))


def test_a_file_of_detections_has_a_line_per_object(tmp_path):
    path = tmp_path / "clip.objects.jsonl"
    rows = [{"time": t / 4, "class": "cat", "box": [t, 0, 5, 5], "id": 7, "confidence": 0.5} for t in range(3)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    stream = Detections(rate=4).open(path)["objects"]
    assert stream.clock.stop == pytest.approx(0.75)
    assert objects_of(stream).ids == ("7", "7", "7")
    path.write_text('{"class": "cat", "box": [0, 0, 5, 5]}\n{"class": "cat"\n["cat"]\n{"time": "now"}\n')
    with pytest.raises(DataError) as error:
        Detections().open(path)
    assert [p.split(": ")[0].rpartition(":")[2] for p in error.value.problems] == ["2", "3", "4"]
    path.write_text("\n")
    with pytest.raises(DataError, match="has no objects"):
        Detections().open(path)
