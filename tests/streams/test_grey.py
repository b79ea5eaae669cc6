"""Grey pictures: straight from a video's brightness, against swscale and against colours made grey."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plait.core.errors import DataError
from plait.readers.media import Media
from plait.streams.pictures import GreySource, grey_of, parts_of, read_grey
from plait.streams.stream import Stream

HEIGHT, WIDTH, FRAMES = 48, 80, 20


def write(path: Path, layout: str = "yuv420p", codec: str = "libx264", turned: int = 0, full: bool = False) -> Path:
    """A film of all levels and colours that moves."""
    import av

    rng = np.random.default_rng(0)
    texture = cv2.GaussianBlur(rng.integers(0, 256, (HEIGHT, WIDTH + FRAMES, 3), np.uint8), (0, 0), 1.5)
    texture[:8], texture[8:16] = 0, 255
    with av.open(str(path), "w") as out:
        track = out.add_stream(codec, rate=25)
        track.width, track.height, track.pix_fmt = WIDTH, HEIGHT, layout
        track.codec_context.gop_size = 6
        if full:
            track.codec_context.color_range = 2
        if turned:
            track.set_display_rotation(turned)
        for i in range(FRAMES):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(texture[:, i : i + WIDTH]), format="rgb24")
            frame = frame.reformat(format=layout, dst_color_range=2 if full else 1)
            frame.pts = i
            out.mux(track.encode(frame))
        out.mux(track.encode(None))
    return path


def by_swscale(path: Path) -> np.ndarray:
    import av

    with av.open(str(path)) as container:
        return np.stack([f.to_ndarray(format="gray") for f in container.decode(video=0)])


def colours(path: Path) -> np.ndarray:
    return np.stack([cv2.cvtColor(f, cv2.COLOR_RGB2GRAY) for f in Media().open(path)["video"].read()])


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("film") / "a.mp4")


CASES = [
    ("yuv420p", "libx264", False),
    ("yuvj420p", "libx264", True),
    ("yuv444p", "libx264", False),
    ("nv12", "libx264", False),
    ("yuv420p10le", "libx264", False),
    ("gray", "ffv1", True),
    ("bgr0", "ffv1", True),
    ("yuv422p", "ffv1", False),
]


@pytest.mark.parametrize(("layout", "codec", "full"), CASES, ids=[c[0] for c in CASES])
def test_the_brightness_is_what_swscale_makes_of_it(tmp_path: Path, layout: str, codec: str, full: bool) -> None:
    path = write(tmp_path / "a.mkv", layout, codec, full=full)
    stream = Media().open(path)["video"]
    ours = read_grey(stream).astype(int)
    assert np.abs(ours - by_swscale(path)).max() <= 1
    assert np.ptp(ours) > 200
    np.testing.assert_array_equal(Media(grey=True).open(path)["video"].read()[..., 0], ours)


def test_colours_made_grey_are_nearly_the_same(film: Path) -> None:
    off = read_grey(Media().open(film)["video"]).astype(int) - colours(film)
    assert np.abs(off).mean() < 2  # swscale's colours are 1 too dark


@settings(max_examples=25)
@given(st.data())
def test_boxes_are_cut_out(film: Path, data: st.DataObject) -> None:
    stream = Media().open(film)["video"]
    whole = read_grey(stream)
    height, width = data.draw(st.integers(1, HEIGHT)), data.draw(st.integers(1, WIDTH))
    corners = [
        (data.draw(st.integers(0, HEIGHT - height)), data.draw(st.integers(0, WIDTH - width))) for _ in range(FRAMES)
    ]
    first = data.draw(st.integers(0, FRAMES - 1))
    boxes = [(y, x, height, width) for y, x in corners]
    want = np.stack([whole[i, y : y + height, x : x + width] for i, (y, x) in enumerate(corners)])
    np.testing.assert_array_equal(read_grey(stream[first:], boxes[first:]), want[first:])
    np.testing.assert_array_equal(
        read_grey(stream[first:], boxes[0]), read_grey(Stream.of(whole[..., None], rate=25)[first:], boxes[0])
    )


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_a_turned_film_is_cut_as_it_is_shown(tmp_path: Path, degrees: int) -> None:
    path = write(tmp_path / "a.mp4", turned=degrees)
    stream = Media().open(path)["video"]
    shown = np.rot90(by_swscale(path), degrees // 90, (1, 2))
    assert stream.shape[1:3] == shown.shape[1:]
    np.testing.assert_array_equal(read_grey(stream, [3, 5, 20, 30]), shown[:, 3:23, 5:35])


def test_a_smaller_film_is_cut_in_its_own_pixels(film: Path) -> None:
    stream = Media(width=40).open(film)["video"]
    whole = read_grey(stream)
    assert whole.shape == (FRAMES, 24, 40)
    np.testing.assert_array_equal(read_grey(stream, [4, 8, 10, 12]), whole[:, 4:14, 8:20])


def test_pictures_in_memory_of_every_kind() -> None:
    rng = np.random.default_rng(0)
    colour = rng.integers(0, 256, (3, 6, 8, 4), np.uint8)
    for channels in (1, 3, 4):
        own = colour[..., :channels]
        want = np.stack([grey_of(p) for p in own])
        np.testing.assert_array_equal(read_grey(Stream.of(own, rate=5)), want)
        weighed = own[..., 0] if channels == 1 else own[..., :3] @ [0.299, 0.587, 0.114]
        np.testing.assert_allclose(want, weighed, atol=0.51)
    deep = colour[..., :3].astype(np.float64) / 255
    assert read_grey(Stream.of(deep, rate=5)).dtype == np.float32
    assert not isinstance(Stream.of(deep, rate=5).source, GreySource)
    assert read_grey(Stream.of(colour, rate=5)[:0], [1, 1, 2, 3]).shape == (0, 2, 3)
    assert read_grey(Stream.of(colour, rate=5)[:0]).shape == (0, 6, 8)


@pytest.mark.parametrize(
    ("box", "message"),
    [
        ([0, 0, 7, 8], r"box \[0, 0, 7, 8\] of picture 0: expected .* within 6 x 8 pixels"),
        ([[0, 0, 2, 2], [0, 7, 2, 2], [0, 0, 2, 2]], "of picture 1"),
        ([[0, 0, 2, 2], [0, 0, 2, 3], [0, 0, 2, 2]], "differ in size"),
        ([[0, 0, 2, 2]] * 2, r"expected \[4\] or \[3, 4\]"),
        ([0, 0, 0, 2], "of picture 0"),
    ],
)
def test_wrong_boxes(box: list[int], message: str) -> None:
    with pytest.raises(DataError, match=message):
        parts_of(box, 3, (6, 8, 3))


def test_wrong_pictures() -> None:
    with pytest.raises(DataError, match=r"expected \[h, w, 1, 3 or 4\]"):
        read_grey(Stream.of(np.zeros((3, 6, 8, 2), np.uint8), rate=5))
