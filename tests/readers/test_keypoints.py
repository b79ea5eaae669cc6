"""Keypoints as pose estimators write them: each form gives the same numbers, doubtful points are NaN."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from plait.core.errors import ConfigError, DataError
from plait.importing.folder import import_folder
from plait.readers import open_streams, reader_for
from plait.readers.keypoints import Keypoints

RNG = np.random.default_rng(5)
BODY = np.round(RNG.uniform(10, 90, (8, 17, 2)), 2)
SURE = np.round(RNG.uniform(0.5, 1, (8, 17)), 2)
SURE[3, 4] = 0.1
WANT = np.where(SURE[..., None] >= 0.3, BODY, np.nan).astype(np.float32)


def triples(i: int) -> list[float]:
    return np.column_stack([BODY[i], SURE[i]]).ravel().tolist()


def written(path: Path, data: Any) -> Path:
    path.write_text("\n".join(map(json.dumps, data)) if path.suffix == ".jsonl" else json.dumps(data))
    return path


def landmarks(i: int) -> list[dict[str, float]]:
    return [{"x": x, "y": y, "visibility": v} for (x, y), v in zip(BODY[i].tolist(), SURE[i].tolist())]


FORMS: dict[str, Any] = {
    "alphapose-results.json": [{"image_id": f"{i}.jpg", "keypoints": triples(i), "score": 2.5} for i in range(8)],
    "a.keypoints.json": {
        "images": [{"id": 700 - i} for i in range(8)],
        "annotations": [{"id": i, "image_id": 700 - i, "keypoints": triples(i)} for i in range(8)],
    },
    "mm.pose.json": {
        "instance_info": [
            {"frame_id": i + 1, "instances": [{"keypoints": BODY[i].tolist(), "keypoint_scores": SURE[i].tolist()}]}
            for i in range(8)
        ]
    },
    "a.pose.jsonl": [{"frame": i, "landmarks": landmarks(i)} for i in range(8)],
    "a.landmarks.json": {"frames": [{"poseLandmarks": [landmarks(i)]} for i in range(8)]},
    "b.pose.json": [landmarks(i) for i in range(8)],
}


@pytest.mark.parametrize("name", FORMS)
def test_every_form_gives_the_same_pose(name: str, tmp_path: Path) -> None:
    path = written(tmp_path / name, FORMS[name])
    assert reader_for(path) == "keypoints"
    stream = open_streams(path, None, {"rate": 25})["pose"]
    assert (stream.kind, stream.clock.describe()["rate"], stream.clock.start) == ("pose", "25", 0.0)
    assert np.array_equal(stream.read(), WANT, equal_nan=True)


def test_a_folder_of_openpose(tmp_path: Path) -> None:
    folder = tmp_path / "talk01"
    folder.mkdir()
    for i in (0, 1, 2, 5):  # it writes a file a picture; two are lost
        people = [{"person_id": [-1], "pose_keypoints_2d": triples(i)}]
        written(folder / f"talk_{i:012d}_keypoints.json", {"version": 1.3, "people": people})
    assert reader_for(folder) == "keypoints"
    got = open_streams(folder, None, {"rate": 25})["pose"].read()
    assert np.array_equal(got[[0, 1, 2, 5]], WANT[[0, 1, 2, 5]], equal_nan=True)
    assert np.isnan(got[3:5]).all()
    written(folder / "other_000000000000_keypoints.json", {"people": []})
    with pytest.raises(DataError, match="pictures of 2 films"):
        Keypoints().open(folder)


def test_flat_points_under_a_key_in_3d_have_four_numbers_each(tmp_path: Path) -> None:
    """21 joints of a hand: 84 numbers, which are 28 points of three numbers too."""
    hand = np.column_stack([np.arange(63.0).reshape(21, 3), np.ones(21)])
    data = [{"people": [{"hand_left_keypoints_3d": hand.ravel().tolist()}]}]
    path = written(tmp_path / "a.keypoints.json", data)
    read = open_streams(path, None, {"points": "hand_left_keypoints_3d"})["pose"].read()
    assert read.tolist() == hand[None, :, :3].tolist()


def test_times_names_scale_and_threshold(tmp_path: Path) -> None:
    data = [{"timestamp_ms": 40 * i + 3, "pose_landmarks": landmarks(i)} for i in range(8)]
    data[2], data[5] = data[5], data[2]  # out of order
    path = written(tmp_path / "a.pose.json", data)
    stream = open_streams(path, None, {"width": 640, "height": 480, "least": 0.0})["pose"]
    assert stream.clock.times == pytest.approx(np.arange(8) * 0.04 + 0.003)
    assert np.allclose(stream.read(), BODY * [640, 480])
    coco = {**FORMS["a.keypoints.json"], "categories": [{"keypoints": [f"j{i}" for i in range(17)]}]}
    assert open_streams(written(tmp_path / "b.pose.json", coco))["pose"].channels[16] == "j16"


def test_people_are_followed_or_the_largest_taken(tmp_path: Path) -> None:
    small, large = BODY * 0.3 + [200, 0], BODY * 2.0
    data = []
    for i in range(8):
        both = [small[i].tolist(), large[i].tolist()]
        both = both[:1] if i == 4 else both[1:] if i == 7 else both[::-1] if i % 2 else both
        data.append({"instances": [{"keypoints": one, "keypoint_scores": [1.0] * 17} for one in both]})
    path = written(tmp_path / "a.pose.json", data)
    first = open_streams(path, None, {"person": 0})["pose"].read()
    assert np.isnan(first[4]).all()
    assert np.allclose(np.delete(first, 4, 0), np.delete(large, 4, 0))
    second = open_streams(path, None, {"person": 1})["pose"].read()
    assert np.allclose(second[:7], small[:7], atol=1e-4)
    largest = open_streams(path, None, {"person": "largest"})["pose"].read()
    assert np.allclose(largest[4], small[4], atol=1e-4)
    with pytest.raises(DataError, match="no person 5"):
        open_streams(path, None, {"person": 5})
    with pytest.raises(ConfigError, match=r"keypoints\.person"):
        Keypoints(person="tallest")


def test_ids_of_the_file_say_who_is_who(tmp_path: Path) -> None:
    data = [
        {"image_id": f"{i}.jpg", "keypoints": triples(7 - i if who else i), "idx": who}
        for i in range(8)
        for who in (0, 1)
    ]
    got = open_streams(written(tmp_path / "a.pose.json", data), None, {"person": 1, "least": 0})["pose"].read()
    assert np.allclose(got, BODY[::-1]) or np.allclose(got, BODY)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"hello": 1}, "has no 'annotations'"),
        ([{"landmarks": [{"x": 1}]}], "points are not rows"),
        ([{"keypoints": [[1, 2], [3]]}], "points are not rows"),
        ([{"people": []}] * 3, "it shows no people"),
        (
            [{"frame": 0, "keypoints": [[1, 2]]}, {"frame": 9**9, "keypoints": [[1, 2]]}],
            "these are no numbers of frames",
        ),
        ([{"frame": 1, "keypoints": [[1, 2]]}, {"frame": 1, "keypoints": [[1, 2]]}], "numbers repeat"),
        ([{"keypoints": [[1, 2]]}, {"keypoints": [[1, 2], [3, 4]]}], "people of different joints"),
        ([{"keypoints": [[1e99, 2]]}], "further away than 1e12"),
        ([{"time": "noon", "keypoints": [[1, 2]]}], "a time of 'noon'"),
    ],
)
def test_what_is_wrong_is_said(data: Any, words: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=words):
        open_streams(written(tmp_path / "a.pose.json", data))


def test_a_recording_with_its_keypoints_is_imported(tmp_path: Path) -> None:
    written(tmp_path / "talk01.keypoints.json", FORMS["alphapose-results.json"])
    (tmp_path / "talk01.txt").write_text("hello")
    (tmp_path / "notes.json").write_text("{}")
    report = import_folder(tmp_path, options={"streams": {"keypoints": {"rate": 25, "rename": "body"}}})
    assert "body" in json.loads((tmp_path / "manifest.jsonl").read_text().splitlines()[0])["streams"]
    assert "notes.json" in str(report.to_json())


def test_everyone_has_a_row_at_the_time_of_their_picture(tmp_path):
    points = [[x, 2 * x, 2] for x in range(5)]
    flat = [[v + shift for point in points for v in (*point[:2], 2 - shift)] for shift in (0, 10, 20)]
    found = {
        "images": [{"id": 7}, {"id": 5}],
        "annotations": [{"id": i, "image_id": im, "keypoints": p} for i, (im, p) in enumerate(zip((5, 7, 5), flat))],
        "categories": [{"keypoints": ["a", "b", "c", "d", "e"]}],
    }
    path = tmp_path / "a.keypoints.json"
    path.write_text(json.dumps(found))
    stream = Keypoints(person="all", rate=2, least=-100).open(path)["pose"]
    assert stream.clock.times.tolist() == [0.0, 0.5, 0.5]
    assert stream.read()[:, 0, 0].tolist() == [10, 0, 20]
    assert stream.channels == ("a", "b", "c", "d", "e")
