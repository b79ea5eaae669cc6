"""Empatica E4 folders; still pictures."""

from __future__ import annotations

import numpy as np
import pytest

from plait.errors import ConfigError, DataError
from plait.streams.clock import Grid, Ticks
from plait.streams.readers import open_streams, reader_for
from plait.streams.readers.e4 import E4
from plait.streams.readers.image import Image


@pytest.fixture
def session(tmp_path):
    folder = tmp_path / "S01"
    folder.mkdir()
    (folder / "ACC.csv").write_text("1644227574.0, 1644227574.0, 1644227574.0\n32.0, 32.0, 32.0\n64,-32,16\n2,10,63\n")
    (folder / "HR.csv").write_text("1644227584.0\n1.0\n118\n113.5\n93\n\n")
    (folder / "IBI.csv").write_text("1644227574.0, IBI\n1.5,0.7\n2.25,0.75\n")
    (folder / "tags_S01.csv").write_text("1644227577.50\n1644227575.00\n")
    return folder


def test_e4(session):
    assert reader_for(session) == "e4"
    found = open_streams(session)
    assert set(found) == {"acc", "hr", "ibi", "tags"}
    assert found["acc"].clock == Grid(1644227574, 32, 2)
    assert found["acc"].read()[0].tolist() == [1, -0.5, 0.25]
    assert (found["hr"].clock, found["hr"].read().tolist()) == (Grid(1644227584, 1, 3), [[118], [113.5], [93]])
    assert found["ibi"].clock == Ticks([1644227575.5, 1644227576.25])
    assert found["tags"].clock.starts.tolist() == [1644227575.0, 1644227577.5]
    assert found["tags"].read().tolist() == ["tag", "tag"]


def test_e4_without_beats_or_tags(session):
    (session / "IBI.csv").write_text("1644227574.0, IBI\n")
    (session / "tags_S01.csv").unlink()
    assert set(E4().open(session)) == {"acc", "hr"}
    (session / "IBI.csv").write_text("")
    assert set(E4().open(session)) == {"acc", "hr"}


def test_e4_tells_all_its_problems(session, tmp_path):
    (session / "ACC.csv").write_text("start\n32\n1,2,3\n")
    (session / "IBI.csv").write_text("1644227574.0, IBI\n2.5,0.7\n1.25,0.75\n")
    with pytest.raises(DataError) as caught:
        E4().open(session)
    assert len(caught.value.problems) == 2
    assert "ACC.csv:1: got 'start'" in caught.value.problems[0]
    assert "go backwards" in caught.value.problems[1]
    (session / "IBI.csv").unlink()
    (session / "ACC.csv").write_text("1,1,1\n32,32,32\n1,2,3\n1,2\n")
    with pytest.raises(DataError, match=r"ACC\.csv:4: got '1,2'; expected 3 finite numbers"):
        E4().open(session)["acc"].read()
    with pytest.raises(DataError, match="no such folder"):
        E4().open(tmp_path / "none")


def test_real_e4(real_data):
    found = E4().open(real_data / "stress_predict/Raw_data/S02")
    assert {k: s.clock.describe().get("rate") for k, s in found.items() if k not in ("ibi", "tags")} == {
        "acc": "32", "bvp": "64", "eda": "4", "hr": "1", "temp": "4",
    }  # fmt: skip
    want = np.loadtxt(real_data / "stress_predict/Raw_data/S02/ACC.csv", delimiter=",", skiprows=2) / 64
    assert np.array_equal(found["acc"].read(), want.astype(np.float32))
    assert found["hr"].clock.start - found["acc"].clock.start == 10


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.tif", "a.jpg", "a.webp"])
def test_images(tmp_path, name):
    import cv2

    rgb = np.full((20, 30, 3), (250, 100, 5), np.uint8)
    cv2.imwrite(str(tmp_path / name), rgb[..., ::-1])
    stream = open_streams(tmp_path / name)["image"]
    assert (stream.kind, stream.shape, stream.clock) == ("frames", (1, 20, 30, 3), Grid(0, 1, 1))
    assert np.abs(stream.read()[0].astype(int) - rgb).max() <= (0 if name[2:] in ("png", "bmp", "tif") else 6)
    assert Image(width=15, grey=True).open(tmp_path / name)["image"].shape == (1, 10, 15, 1)


def test_bad_images(tmp_path):
    import cv2

    path = tmp_path / "a.jpg"
    cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 255, (50, 50, 3)).astype(np.uint8))
    path.write_bytes(path.read_bytes()[:2000])  # OpenCV would fill the rest with grey
    with pytest.raises(DataError, match=r"a\.jpg: is cut short"):
        Image().open(path)
    (tmp_path / "b.bmp").write_text("no picture")
    with pytest.raises(DataError, match=r"b\.bmp: is no picture"):
        Image().open(tmp_path / "b.bmp")["image"].read()
    with pytest.raises(ConfigError, match="height"):
        Image(height=-1)
