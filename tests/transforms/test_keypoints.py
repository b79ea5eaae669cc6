"""Keypoints followed through a video: with a net made up for it, and with the real ones."""

from __future__ import annotations

import pickle
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.image
import numpy as np
import pytest
from numpy.typing import NDArray

from plait.core.errors import ConfigError, DataError, MissingExtra
from plait.demo.face import face_film
from plait.streams.clock import Grid
from plait.streams.stream import Stream
from plait.transforms import apply_steps, keypoints
from plait.transforms._lazy import BLOCK_BYTES
from plait.transforms.face import Mouth, face_path
from plait.transforms.keypoints import Keypoints
from plait.transforms.landmarks import Found, Landmarker
from plait.transforms.landmarks.region import Region


@pytest.fixture
def models() -> None:
    """Skip where the extra or the models are not installed."""
    pytest.importorskip("ai_edge_litert", reason="the extra keypoints is not installed")
    if find_spec("mediapipe") is None:
        pytest.skip("the models are not installed: pip install --no-deps mediapipe==0.10.14")


class Blob(Landmarker):
    """Finds the brightest pixel; its net sees 20 pixels around. Counts what it runs."""

    files = ()
    names = ("spot", "faint")
    runs: list[str]

    def __init__(self, models: Any = None) -> None:
        super().__init__(models)
        self.runs = []
        made.append(self)

    def check(self) -> None:
        pass

    def detect(self, picture: NDArray[np.uint8]) -> list[Region]:
        self.runs.append("detect")
        y, x = np.unravel_index(int(picture[..., 0].argmax()), picture.shape[:2])
        return [Region(float(x), float(y), 20.0)] if picture.max() > 50 else []

    def look(self, picture: NDArray[np.uint8], region: Region) -> Found:
        self.runs.append("look")
        cut = region.cut(picture, 20)[..., 0]
        y, x = np.unravel_index(int(cut.argmax()), cut.shape)
        points = region.to_picture(np.array([[x + 0.5, y + 0.5, 0.0], [0.0, 0.0, 0.0]]) / 20)
        there = float(cut.max() > 30)
        return Found(points, np.array([there, 0.3]), there, Region(*points[0, :2].tolist(), 20.0))


made: list[Blob] = []


@pytest.fixture
def blob(monkeypatch: pytest.MonkeyPatch) -> None:
    made.clear()
    monkeypatch.setitem(keypoints.KINDS, "body", Blob)


def film(path: NDArray[np.float64], channels: int = 3) -> Stream:
    values = np.zeros((len(path), 60, 80, channels), np.uint8)
    for i, (x, y) in enumerate(path):
        if np.isfinite(x):
            values[i, int(y), int(x)] = 200
    return Stream.of(values, rate=10)


PATH = np.stack([10 + 2 * np.arange(40.0), 30 + 10 * np.sin(np.arange(40) / 4)], 1)[:32]


@pytest.mark.usefixtures("blob")
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_point_is_followed_and_the_detector_runs_only_when_it_is_lost(channels: int) -> None:
    path = PATH.copy()
    path[10:13] = np.nan
    step = Keypoints(renew=3.3)
    stream = step(film(path, channels))
    assert (stream.kind, stream.shape, stream.channels) == ("pose", (32, 2, 3), Blob.names)
    values = stream.read()
    assert np.isnan(values[10:13]).all()
    assert np.isnan(values[:, 1]).all(), "a point below the confidence is NaN"
    seen = np.isfinite(path[:, 0])
    np.testing.assert_allclose(values[seen, 0, :2], np.floor(path[seen]) + 0.5, atol=0.51)
    # At the start, in the three pictures without, and in that after them.
    assert made[-1].runs.count("detect") == 5
    assert step.notes() == {"pictures without points": 3}


@pytest.mark.usefixtures("blob")
@pytest.mark.parametrize("smooth", [None, 1.0])
def test_reading_parts_gives_the_same(smooth: float | None) -> None:
    raw = film(PATH)
    options = {"renew": 0.9, "smooth": smooth}
    whole = Keypoints(**options)(raw).read()
    pieces = Keypoints(**options)(raw)
    assert np.array_equal(np.concatenate([b.read() for b in pieces.blocks(5)]), whole, equal_nan=True)
    assert np.array_equal(pieces[21:25].read(), whole[21:25], equal_nan=True)
    assert np.array_equal(pieces[3:4].read(), whole[3:4], equal_nan=True)
    assert np.array_equal(Keypoints(**options)(raw[5:])[4:].read(), whole[9:], equal_nan=True)
    assert pieces[3:3].read().shape == (0, 2, 3)


@pytest.mark.usefixtures("blob")
def test_smoothing_calms_a_point_at_rest() -> None:
    rng = np.random.default_rng(0)
    raw = film(np.array([40, 30]) + rng.integers(-2, 3, (64, 2)).astype(float))
    rough = Keypoints(renew=10)(raw).read()[:, 0, :2]
    calm = Keypoints(renew=10, smooth=0.5)(raw).read()[:, 0, :2]
    assert np.diff(calm, axis=0).std() < 0.5 * np.diff(rough, axis=0).std()


class Broken:
    """Pictures of which some did not decode."""

    def __init__(self, values: NDArray[np.uint8], there: NDArray[np.bool_]) -> None:
        self.values, self.there, self.shape = values, there, values.shape[1:]

    def read(self, lo: int, hi: int) -> NDArray[np.uint8]:
        return self.values[lo:hi]

    def mask(self, lo: int, hi: int) -> NDArray[np.bool_]:
        return self.there[lo:hi]


@pytest.mark.usefixtures("blob")
def test_pictures_that_were_lost_have_no_points() -> None:
    raw = film(PATH)
    there = np.ones(32, bool)
    there[7] = False
    lost = Stream(raw.clock, Broken(raw.read(), there), "frames")
    assert np.flatnonzero(np.isnan(Keypoints()(lost).read()[:, 0, 0])).tolist() == [7]


@dataclass
class Long:
    """Two hours of pictures made as they are read; it notes what is asked for."""

    shape: tuple[int, ...] = (600, 800, 3)
    asked: list[tuple[int, int]] = field(default_factory=list)

    def read(self, lo: int, hi: int) -> NDArray[np.uint8]:
        self.asked.append((lo, hi))
        return np.zeros((hi - lo, *self.shape), np.uint8)


@pytest.mark.usefixtures("blob")
def test_a_long_film_is_read_a_few_pictures_at_a_time_and_each_once() -> None:
    source = Long()
    points = Keypoints()(Stream(Grid(0, 25, 180_000), source, "frames"))
    for block in points.cut(3600, 3602).blocks(20):
        block.read()
    first = 90_000 - 90_000 % 64  # where following starts anew: 5 s are rounded down to 64 pictures
    assert [i for lo, hi in source.asked for i in range(lo, hi)] == list(range(first, 90_050))
    assert max(hi - lo for lo, hi in source.asked) * 600 * 800 * 3 <= BLOCK_BYTES


def test_wrong_options_and_streams_are_refused() -> None:
    for options, what in (
        ({"of": "bodies"}, "Did you mean 'body'"),
        ({"confidence": 2.0}, "confidence 2.0"),
        ({"renew": 0.0}, "seconds above 0"),
        ({"smooth": -1.0}, "above 0 Hz"),
    ):
        with pytest.raises(ConfigError, match=what):
            Keypoints(**options)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="takes frames"):
        Keypoints()(Stream.of(np.zeros((4, 2)), rate=1))
    with pytest.raises(ConfigError, match="Did you mean 'mesh'"):
        Mouth(detector="mash")


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_module(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr("importlib.import_module", no_module)
    with pytest.raises(MissingExtra, match=r"plait\[keypoints\]"):
        Keypoints()(film(PATH))
    with pytest.raises(MissingExtra, match=r"plait\[keypoints\]"):
        Mouth(detector="mesh")(film(PATH))


def photograph() -> NDArray[np.uint8]:
    """Grace Hopper, as Matplotlib ships her."""
    path = Path(matplotlib.__file__).parent / "mpl-data/sample_data/grace_hopper.jpg"
    return np.array(matplotlib.image.imread(path))


T = np.arange(24) / 12
WAY = np.stack([160 + 40 * np.sin(T * 2), 120 + 10 * np.sin(T * 3)], 1)


@pytest.fixture(scope="module")
def drawn() -> Stream:
    return Stream.of(face_film(WAY, 80, mouth=np.abs(np.sin(3 * T)), height=240, width=320), rate=12)


@pytest.mark.usefixtures("models")
def test_the_mesh_follows_a_face_that_moves(drawn: Stream) -> None:
    mesh = apply_steps(drawn, [{"name": "keypoints", "of": "face"}])
    values = mesh.read()
    assert values.shape == (24, 468, 3)
    eyes = values[:, [33, 263], :2].mean(1)
    offset = np.median(eyes - WAY, axis=0)
    assert np.abs(eyes - WAY - offset).max() < 5
    assert np.array_equal(pickle.loads(pickle.dumps(Keypoints(of="face")(drawn)))[9:12].read(), values[9:12])


@pytest.mark.slow
@pytest.mark.usefixtures("models")
def test_mesh_and_cascade_have_boxes_of_the_same_proportions(drawn: Stream) -> None:
    for stream, near in ((drawn, 0.2), (Stream.of(np.repeat(photograph()[None], 2, 0), rate=25), 0.1)):
        both = [face_path(stream, detector=d).path.at(stream.clock.times) for d in ("cascade", "mesh")]
        (centre, size, _), (other, side, _) = both
        assert (np.linalg.norm(centre - other, axis=1) / size).max() < near
        assert np.abs(np.log(side / size)).max() < 1.2 * near
    with pytest.raises(DataError, match="Leave the recording out"):
        Mouth(detector="mesh")(Stream.of(np.zeros((9, 120, 160, 3), np.uint8), rate=25)).read()


@pytest.mark.usefixtures("models")
def test_face_and_body_of_a_photograph() -> None:
    picture = photograph()
    stream = Stream.of(np.repeat(picture[None], 2, 0), rate=25)
    high, wide = picture.shape[:2]
    face = Keypoints(of="face")(stream).read()
    body = Keypoints()(stream)
    pose = dict(zip(body.channels, body.read()[1]))
    # She looks at the camera: her right eye is to the left, both above the mouth; body and mesh agree on them.
    right, left, lips = face[1, 33, :2], face[1, 263, :2], face[1, [0, 17], :2].mean(0)
    assert right[0] < lips[0] < left[0]
    assert max(right[1], left[1]) < lips[1] < high * 0.6
    size = float(left[0] - right[0])
    assert np.abs(pose["right_eye_outer"][:2] - right).max() < 0.3 * size
    assert np.abs(pose["left_eye_outer"][:2] - left).max() < 0.3 * size
    assert pose["right_shoulder"][0] < right[0] < left[0] < pose["left_shoulder"][0] < wide
    assert np.isnan(pose["left_ankle"]).all(), "what is outside the picture is not there"
    assert np.isnan(Keypoints(of="hands")(stream).read()[:, :21]).all()


@pytest.mark.usefixtures("models")
def test_keypoints_become_tokens_with_a_mask(drawn: Stream) -> None:
    from plait.store.stepped import build_feature

    values = np.array(drawn.read())
    values[5:9] = 0
    spec = {"name": "pose", "preprocess": [{"name": "keypoints", "of": "face"}]}
    found, clock = build_feature(spec, "cam")(Stream.of(values, rate=12))
    known = np.isfinite(found).all(1)
    assert np.flatnonzero(~known).tolist()[:4] == [5, 6, 7, 8]
    assert len(clock) == 24
