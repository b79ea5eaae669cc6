"""What pictures show within boxes, as a stream with a row per object."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from plait.core.errors import DataError
from plait.corpus.corpus import Corpus, CorpusWriter
from plait.corpus.manifest import StreamEntry, read_manifest, write_manifest
from plait.store.store import key_of
from plait.streams.crops import SIDE, cropped
from plait.streams.objects import object_text
from plait.streams.stream import Stream


def film() -> Stream:
    """Three pictures of 20 x 30 pixels, each of one colour; the second has a light corner."""
    values = np.stack([np.full((20, 30, 3), 10 * i, np.uint8) for i in (1, 2, 3)])
    values[1, :5, :6] = 200
    return Stream.of(values, rate=1)


def test_a_row_shows_its_box_in_the_picture_of_its_time() -> None:
    boxes = [(0.0, 0.0, 0, 0, 30, 20), (1.0, 1.0, 0, 0, 6, 5), (1.0, 1.0, 10, 10, 4, 4), (1.9, 2.1, 25, 15, 9, 9)]
    crops = cropped(film(), boxes)
    assert crops.shape == (4, SIDE, SIDE, 3)
    assert [np.unique(row).tolist() for row in crops.read()] == [[10], [200], [20], [30]]
    assert np.array_equal(crops.cut(0.5, 1.5).read(), crops.read()[1:3])
    assert crops.mask().all()


def test_boxes_need_pictures() -> None:
    with pytest.raises(DataError, match=r"box 0 .* lies outside the picture of 30 x 20 pixels"):
        cropped(film(), [(0.0, 1.0, 30, 0, 5, 5)]).read()
    with pytest.raises(DataError, match="has series; expected pictures"):
        cropped(Stream.of(np.zeros((3, 2)), rate=1), [(0.0, 1.0, 0, 0, 5, 5)])
    with pytest.raises(DataError, match="has no pictures"):
        cropped(film().cut(9, 10), [(0.0, 1.0, 0, 0, 5, 5)])


def test_objects_of_a_corrected_clock_find_their_picture(tmp_path: Path) -> None:
    things = Stream.of(
        np.array([object_text("a", (0, 0, 6, 5)), object_text("b", (9, 9, 2, 2))], object),
        spans=([6.1, 6.1], [6.1, 6.1]),
    )
    with CorpusWriter(tmp_path) as out:
        out.add("r", {"film": film(), "things": things})
        out.add("bare", {"film": film()})
    manifest = tmp_path / "manifest.jsonl"
    entries = [entry for _, entry in read_manifest(manifest)[0]]
    moved = entries[0].streams["film"].model_copy(update={"offset": 5.0, "drift_ppm": 100_000.0})
    write_manifest(
        manifest, [entries[0].model_copy(update={"streams": {**entries[0].streams, "film": moved}}), entries[1]]
    )
    corpus = Corpus(manifest).with_boxes({"crops": ("film", "things")})
    assert set(corpus["bare"].streams) == {"film"}
    crops = corpus["r"].streams["crops"]
    # 6.1 s of the recording are 1.0 s of the film.
    assert [np.unique(row).tolist() for row in crops.read()] == [[200], [20]]
    assert np.allclose(crops.clock.times, 6.1)


def test_boxes_change_the_key_of_prepared_features() -> None:
    plain, near = StreamEntry(path="a.png"), StreamEntry(path="a.png", boxes=[(0, 1, 0, 0, 5, 5)])
    far = StreamEntry(path="a.png", boxes=[(0, 1, 1, 0, 5, 5)])
    assert len({key_of(entry, "00", {"name": "frames"}, 1) for entry in (plain, near, far)}) == 3


@pytest.mark.parametrize("offset", [0.0, -3.25])
@pytest.mark.parametrize("warp", [None, [(0.0, 0.0), (4.0, 0.5)]])
def test_back_is_the_inverse_of_the_correction(offset: float, warp: list[tuple[float, float]] | None) -> None:
    entry = StreamEntry(path="a.mp4", offset=offset, drift_ppm=250.0, origin=1.0, warp=warp)
    clock = Stream.of(np.zeros((5, 1)), times=[0.0, 1.0, 2.5, 3.0, 4.0]).clock
    corrected = entry.correct(clock).times
    assert np.allclose([entry.back(t) for t in corrected], clock.times, atol=1e-9)


def test_what_are_no_objects_and_no_boxes_is_told_with_its_place(tmp_path: Path) -> None:
    with CorpusWriter(tmp_path) as out:
        for name in ("one", "two"):
            said = Stream.of(np.array(["hello"], object), spans=([0.0], [1.0]))
            out.add(name, {"film": film(), "things": said})
    with pytest.raises(DataError) as caught:
        Corpus(tmp_path / "manifest.jsonl").with_boxes({"crops": ("film", "things")})
    assert [p.split(" object 0")[0] for p in caught.value.problems] == [
        "manifest.jsonl:1 'one': objects",
        "manifest.jsonl:2 'two': objects",
    ]
    for wrong in ("NaN", "1e999", "-1", "0"):
        bad = f'{{"id": "r", "streams": {{"film": {{"path": "a.mp4", "boxes": [[0, 1, 0, 0, 5, {wrong}]]}}}}}}\n'
        (tmp_path / "bad.jsonl").write_text(bad)
        with pytest.raises(DataError, match=r"bad\.jsonl:1.*boxes"):
            Corpus(tmp_path / "bad.jsonl")
