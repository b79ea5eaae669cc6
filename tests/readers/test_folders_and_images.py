"""Empatica E4 folders; still pictures."""

from __future__ import annotations

import zipfile

import numpy as np
import pytest

from plait.core.errors import ConfigError, DataError
from plait.corpus.corpus import Corpus
from plait.importing.folder import import_folder
from plait.readers import open_streams, reader_for
from plait.readers._picture_size import picture_size
from plait.readers.e4 import E4
from plait.readers.frame_folder import FrameFolder
from plait.readers.image import Image
from plait.streams.clock import Grid, Ticks


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


@pytest.mark.slow
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
    for at in (0, 4999, 9999):
        lines = ["1,2,3"] * 10_000
        lines[at] = "1,2,x"
        (session / "ACC.csv").write_text("1,1,1\n32,32,32\n" + "\n".join(lines) + "\n")
        with pytest.raises(DataError, match=rf"ACC\.csv:{at + 3}: got '1,2,x'"):
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


def _zipped(folder, path, prefix=""):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.iterdir()):
            archive.write(file, prefix + file.name)
    return path


@pytest.mark.parametrize("prefix", ["", "1644227574_A01/"])
def test_a_zipped_e4_session_is_the_folder(session, tmp_path, prefix):
    path = _zipped(session, tmp_path / "S01.zip", prefix)
    assert reader_for(path) == "e4"
    packed, whole = open_streams(path), open_streams(session)
    assert set(packed) == set(whole)
    for name, stream in whole.items():
        assert packed[name].clock == stream.clock
        assert np.array_equal(packed[name].read(), stream.read())


def test_archives_that_would_do_harm(session, tmp_path, monkeypatch):
    """A bomb is refused by what it claims; no name in an archive is ever a path on disk."""
    (session / "ACC.csv").write_text("1,1,1\n32,32,32\n" + "1,1,1\n" * 100_000)
    bomb = _zipped(session, tmp_path / "bomb.zip")
    with monkeypatch.context() as small:
        small.setattr("plait.readers._budget.BYTES", 500_000)
        with pytest.raises(
            DataError, match=r"bomb\.zip: ACC\.csv would take 600,015 bytes unpacked, of a file .*budget: 2\."
        ):
            open_streams(bomb)
        assert len(open_streams(bomb, options={"budget": 5})["acc"].read()) == 100_000
    (tmp_path / "ACC.csv").write_text("1,1,1\n2,2,2\n9,9,9\n")
    climbing = _zipped(session, tmp_path / "climbing.zip", "../")
    assert len(open_streams(climbing)["acc"]) == 100_000  # the archive's own
    (tmp_path / "other.zip").write_bytes(b"PK")
    assert reader_for(tmp_path / "other.zip") is None
    with pytest.raises(DataError, match="is no whole archive"):
        E4().open(tmp_path / "other.zip")


@pytest.fixture
def film(tmp_path):
    import cv2

    folder = tmp_path / "talk01.frames"
    folder.mkdir()
    for i in range(8, 12):
        cv2.imwrite(str(folder / f"f{i}.png"), np.full((6, 8, 3), (0, 0, 20 * i), np.uint8))
    (folder / "notes.md").write_text("not a picture")
    return folder


def test_a_folder_of_pictures_is_a_film(film):
    stream = open_streams(film, options={"rate": 25})["frames"]
    assert (stream.kind, stream.shape, stream.clock) == ("frames", (4, 6, 8, 3), Grid(0, 25, 4))
    assert stream.read()[:, 0, 0].tolist() == [[20 * i, 0, 0] for i in range(8, 12)]  # f9 before f10
    assert stream[2:3].read()[0, 0, 0, 0] == 200
    small = open_streams(film, options={"rate": 25, "grey": True, "width": 4})["frames"]
    assert small.shape == (4, 3, 4, 1)
    (film / "times.txt").write_text("0.5\n0.6\n1.5\n1.75\n")
    assert open_streams(film)["frames"].clock == Ticks([0.5, 0.6, 1.5, 1.75])


def test_a_folder_of_pictures_is_imported_under_its_name(film, tmp_path):
    (film / "times.txt").write_text("0\n1\n2\n3\n")
    (tmp_path / "talk01.imu.csv").write_text("t,x\n0,1\n1,2\n")
    report = import_folder(tmp_path)
    assert report.recordings == 1
    assert sorted(Corpus(tmp_path / "manifest.jsonl")["talk01"].streams) == ["frames", "imu"]


def test_bad_folders_of_pictures(film, tmp_path):
    import cv2

    with pytest.raises(DataError, match="nothing says when its 4 pictures were taken"):
        open_streams(film)
    (film / "times.txt").write_text("0\n1\n")
    with pytest.raises(DataError, match="2 times, but there are 4 pictures"):
        open_streams(film)
    (film / "times.txt").write_text("0\nsoon\n2\n3\n")
    with pytest.raises(DataError, match=r"times\.txt: .*Expected one time in seconds per line"):
        open_streams(film)
    cv2.imwrite(str(film / "f10.png"), np.zeros((3, 3, 3), np.uint8))
    with pytest.raises(DataError, match=r"f10\.png: is 3 x 3 pixels, but f8\.png is 8 x 6"):
        open_streams(film, options={"rate": 1})["frames"].read()
    (tmp_path / "empty.frames").mkdir()
    with pytest.raises(DataError, match="has no pictures"):
        open_streams(tmp_path / "empty.frames")
    with pytest.raises(ConfigError, match="width"):
        FrameFolder(width=0)


def test_pictures_too_large_for_memory_are_refused_by_their_header(tmp_path):
    head = b"BM" + bytes(12) + (40).to_bytes(4, "little") + (30_000).to_bytes(4, "little") * 2
    (tmp_path / "a.bmp").write_bytes(head + bytes(100))
    with pytest.raises(DataError, match="30000 x 30000 pixels; expected at most 100,000,000"):
        Image().open(tmp_path / "a.bmp")["image"].read()


@pytest.mark.parametrize("ending", ["png", "jpg", "bmp", "webp", "tif"])
def test_sizes_are_read_from_headers(ending):
    import cv2

    data = cv2.imencode(f".{ending}", np.zeros((21, 34, 3), np.uint8))[1].tobytes()
    assert picture_size(data) == (34, 21)
    assert picture_size(data[:12]) is None
    lossless = cv2.imencode(".webp", np.zeros((21, 34, 4), np.uint8), [cv2.IMWRITE_WEBP_QUALITY, 101])[1].tobytes()
    assert picture_size(lossless) == (34, 21)
