"""Stabilised crops of faces and mouths."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from plait.core.errors import ConfigError, DataError
from plait.core.parts import suggest
from plait.streams.clock import Grid
from plait.streams.stream import Stream
from plait.transforms import Step
from plait.transforms._boxes import BoxPath, best_path, settle
from plait.transforms._lazy import Changed, check_pictures, coloured
from plait.transforms.crop import resized
from plait.transforms.landmarks.boxes import face_boxes
from plait.transforms.landmarks.face import FaceMesh

__all__ = ["NO_FACE", "Face", "FacePath", "Mouth", "face_path"]

LOOK = 480
"""Longer side to which pictures are reduced before face detection, pixels."""

_REMEDY = {
    "cascade": "Set detector to mesh, which also finds turned and covered faces (extra 'keypoints'). ",
    "mesh": "",
}

NO_FACE = "a face in"
"""What the error says of a film without a face, after its name."""

LEAST = 0.1
"""Least share of the examined pictures with a face."""


@dataclass(frozen=True)
class FacePath:
    """The face of a stream: its box over time, the number of pictures examined, and of those with a face."""

    path: BoxPath
    looked: int
    found: int


def face_path(
    stream: Stream,
    *,
    every: float = 0.2,
    smooth: float = 1.5,
    still: float = 0.1,
    smallest: float = 0.1,
    detector: str = "cascade",
    models: str | None = None,
) -> FacePath:
    """Find the most prominent face of a stream of pictures over time; in blocks, in constant memory.

    A detector examines a picture every ``every`` seconds: OpenCV's packaged Haar cascade (Viola and Jones, "Rapid
    object detection using a boosted cascade of simple features", CVPR 2001; ``frontalface_alt2``), on pictures that are
    equalised and at most `LOOK` pixels long; or the face mesh (`plait.transforms.landmarks.face`), which also finds
    turned and covered faces. The best path through its detections is stabilised (`best_path`, `settle`).

    Args:
        every: seconds between examined pictures.
        smooth: seconds over which the box of a moving face is smoothed.
        still: range of movement, in face sizes, up to which a face counts as still and gets one box.
        smallest: least size of a face, as a share of the picture's shorter side.
        detector: ``cascade`` or ``mesh``; both boxes have the same proportions.
        models: of the mesh, see `plait.transforms.keypoints.Keypoints`.

    Raises:
        MissingExtra: the mesh is not installed.
        DataError: fewer than `LEAST` of the examined pictures show a face.
    """
    if not len(stream):
        raise DataError(f"{stream.where or 'stream'}: has no pictures to look for a face in.")
    check_pictures(stream, "face")
    kept = np.unique(stream.clock.nearest(_looks(stream, every)))
    finds = _finds(stream, kept, smallest) if detector == "cascade" else _meshes(stream, kept, smallest, models)
    which, boxes = best_path(stream.clock.times[kept], finds)
    if len(which) < max(LEAST * len(kept), 1):
        raise DataError(
            f"{stream.where or 'stream'}: {NO_FACE} {len(which)} of {len(kept)} pictures looked at; expected one in "
            f"at least {LEAST:.0%}. {_REMEDY[detector]}Leave the recording out, or give a fixed box with the step crop."
        )
    return FacePath(settle(stream.clock.times[kept][which], boxes, smooth, still), len(kept), len(which))


def _looks(stream: Stream, every: float) -> NDArray[np.float64]:
    times = stream.clock.times
    count = math.floor((float(times[-1]) - float(times[0])) / every + 1e-6) + 1
    # The last picture too, so that the path reaches the end.
    return np.append(Grid(float(times[0]), 1 / every, count).times, times[-1])


def _finds(stream: Stream, kept: NDArray[np.int64], smallest: float) -> list[NDArray[np.float64]]:
    """For each picture of ``kept`` the faces found, [m, 3]: x and y of the centre, and size, in its own pixels."""
    import cv2

    cascade = cv2.CascadeClassifier(str(Path(cv2.__file__).parent / "data/haarcascade_frontalface_alt2.xml"))
    high, wide, _ = stream.source.shape
    scale = min(1.0, LOOK / max(high, wide))
    size = (max(round(wide * scale), 1), max(round(high * scale), 1))
    least = max(round(smallest * min(size)), 12)
    found = []
    for i in kept.tolist():  # one picture at a time: reading a range would keep all pictures in between
        grey = _grey(stream[i : i + 1].read()[0])
        if scale < 1:
            grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
        # Equalised, so that faces are found in dim pictures too.
        boxes = cascade.detectMultiScale(cv2.equalizeHist(grey), 1.1, 5, minSize=(least, least))
        x, y, w = np.asarray(boxes, np.float64).reshape(-1, 4)[:, :3].T
        found.append(np.stack([x + w / 2, y + w / 2, w], 1) / scale)
    return found


def _meshes(stream: Stream, kept: NDArray[np.int64], smallest: float, models: str | None) -> list[NDArray[np.float64]]:
    """As `_finds`, by the face mesh."""
    nets, least = FaceMesh(models), smallest * min(stream.source.shape[:2])
    pictures = (stream[i : i + 1].read()[0] for i in kept.tolist())
    return [face_boxes(nets, coloured(picture), smallest=least) for picture in pictures]


def _grey(picture: NDArray[np.generic]) -> NDArray[np.uint8]:
    import cv2

    one = picture[..., 0] if picture.shape[2] == 1 else cv2.cvtColor(picture[..., :3], cv2.COLOR_RGB2GRAY)
    return np.ascontiguousarray(one)


@dataclass(frozen=True)
class _By:
    """What finds the face."""

    detector: str
    models: str | None


class _Followed(Step):
    """Common base of `Face` and `Mouth`: a box that depends on the face's is cut out of every picture."""

    kinds = ("frames",)
    causal = False

    def __init__(
        self, size: tuple[int, int], every: float, smooth: float, still: float, smallest: float, by: _By
    ) -> None:
        options = {"height": size[0], "width": size[1], "every": every, "smooth": smooth, "smallest": smallest}
        wrong = [f"{self._name()}.{k}: got {v}; expected above 0." for k, v in options.items() if not v > 0]
        if not still >= 0:
            wrong.append(f"{self._name()}.still: got {still}; expected 0 or more.")
        if by.detector not in _REMEDY:
            wrong.append(f"{self._name()}.detector: got {by.detector!r}. {suggest(by.detector, _REMEDY)}")
        if wrong:
            raise ConfigError(wrong)
        self._size, self._by = size, by
        self._find = {"every": every, "smooth": smooth, "still": still, "smallest": smallest}
        self._counts: dict[str, int] = {}

    @classmethod
    def _name(cls) -> str:
        return cls.__name__.lower()

    @abstractmethod
    def _box(self, centre: NDArray[np.float64], size: NDArray[np.float64]) -> NDArray[np.float64]:
        """Boxes [n, 4] (left, top, width, height; pixels) for face boxes of centre [n, 2] and size [n]."""

    def files(self) -> list[Path]:
        nets = FaceMesh(self._by.models).nets.values() if self._by.detector == "mesh" else ()
        return [net.file for net in nets]

    def apply(self, stream: Stream) -> Stream:
        channels = check_pictures(stream, self._name())[2]
        self._counts = {}
        if self._by.detector == "mesh":
            FaceMesh(self._by.models).check()
        cut = _Cut(self, stream)
        return replace(stream, source=Changed(stream.source, (*self._size, channels), cut))

    def notes(self) -> dict[str, int]:
        return {what: n for what, n in self._counts.items() if n}


@dataclass(eq=False)
class _Cut:
    """Cuts the boxes of a stream; they are computed from the whole stream on the first read."""

    step: _Followed
    stream: Stream
    _boxes: NDArray[np.float64] | None = field(default=None, repr=False)
    _still: NDArray[np.bool_] | None = field(default=None, repr=False)

    def __call__(self, pictures: NDArray[np.generic], first: int) -> NDArray[np.generic]:
        size = self.step._size
        out = np.empty((len(pictures), *size, self.stream.source.shape[2]), pictures.dtype)
        if not len(pictures):
            return out
        boxes, still = self._decided()
        at = first - self.stream.first
        for i, picture in enumerate(pictures):
            take = _standing if still[at + i] else _moving
            out[i] = take(picture, boxes[at + i], size)
        return out

    def _decided(self) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        if self._boxes is None or self._still is None:
            by = self.step._by
            found = face_path(self.stream, **self.step._find, detector=by.detector, models=by.models)
            centre, size, self._still = found.path.at(self.stream.clock.times)
            self._boxes = self.step._box(centre, size)
            high, wide, _ = self.stream.source.shape
            out = (self._boxes[:, :2] < -1).any(1) | (
                self._boxes[:, :2] + self._boxes[:, 2:] > (wide + 1, high + 1)
            ).any(1)
            self.step._counts.update(
                {
                    "pictures looked at for a face": found.looked,
                    "of these without one": found.looked - found.found,
                    "pictures whose box leaves the picture": int(out.sum()),
                }
            )
        return self._boxes, self._still


def _standing(picture: NDArray[np.generic], box: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.generic]:
    """A box of whole pixels, without interpolation; outside the picture its edge is repeated."""
    x, y, w, h = (round(float(v)) for v in box)
    rows = np.clip(np.arange(y, y + max(h, 1)), 0, picture.shape[0] - 1)
    columns = np.clip(np.arange(x, x + max(w, 1)), 0, picture.shape[1] - 1)
    return resized(picture[rows[:, None], columns], size)


def _moving(picture: NDArray[np.generic], box: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.generic]:
    """A box at fractions of pixels, interpolated linearly, so that it does not jump; reduced by area averaging."""
    import cv2

    # Warped at the box's own resolution first: warpAffine does not average when it shrinks, and would alias.
    height, width = size
    fine = max(1, math.ceil(box[2] / width), math.ceil(box[3] / height))
    sx, sy = box[2] / (width * fine), box[3] / (height * fine)
    onto = np.array([[sx, 0, box[0] + sx / 2 - 0.5], [0, sy, box[1] + sy / 2 - 0.5]])
    how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    big = cv2.warpAffine(picture, onto, (width * fine, height * fine), flags=how, borderMode=cv2.BORDER_REPLICATE)
    return resized(np.asarray(big).reshape(height * fine, width * fine, picture.shape[2]), size)


class Face(_Followed):
    """A stabilised crop of the face: [n, height, width, channels] uint8.

    The box is computed once from the whole stream (see `face_path`), when the first picture is read. A speaker who
    sits still gets one box of whole pixels, a moving speaker a smooth path at fractions of pixels. So a cut of the
    result is the result of the cut. Where no face is found, the box is interpolated or held; such pictures are counted.

    Args:
        height, width: size of the result in pixels; the box has this aspect and contains the face box.
        grow: size of the box relative to the detector's, which reaches from the brows to below the mouth, ear to ear.
        every, smooth, still, smallest, detector, models: see `face_path`.

    Raises:
        ConfigError: a number that is not above 0, or no such detector. MissingExtra: the mesh is not installed.
        DataError: on reading: too few pictures show a face.

    >>> Face(height=64, width=64)(Stream.of(np.zeros((9, 120, 160, 3), np.uint8), rate=25)).shape
    (9, 64, 64, 3)
    """

    def __init__(
        self,
        *,
        height: int = 112,
        width: int = 112,
        grow: float = 1.2,
        every: float = 0.2,
        smooth: float = 1.5,
        still: float = 0.1,
        smallest: float = 0.1,
        detector: str = "cascade",
        models: str | None = None,
    ) -> None:
        super().__init__((height, width), every, smooth, still, smallest, _By(detector, models))
        if not grow > 0:
            raise ConfigError(f"face.grow: got {grow}; expected above 0.")
        self._grow = grow

    def _box(self, centre: NDArray[np.float64], size: NDArray[np.float64]) -> NDArray[np.float64]:
        height, width = self._size
        shape = np.array([width, height]) / min(height, width)
        own = self._grow * size[:, None] * shape
        return np.concatenate([centre - own / 2, own], 1)


class Mouth(_Followed):
    """A stabilised crop of the mouth: [n, height, width, channels] uint8.

    The box is a fixed part of the face's (see `Face` for its stabilisation): the lower middle, with chin and inner
    cheeks, as usual in lip reading (Potamianos et al., "Recent advances in the automatic recognition of audiovisual
    speech", Proc. IEEE 2003, sec. III-A: a region with the mouth and parts of the lower face, whose centre and size
    are smoothed over time).

    Args:
        height, width: size of the result in pixels; the box has this aspect.
        share: width of the box as a share of the face box's width.
        down: centre of the box below the face box's top, as a share of its height.
        every, smooth, still, smallest, detector, models: see `face_path`.

    Raises:
        ConfigError: a number that is not above 0, or no such detector. MissingExtra: the mesh is not installed.
        DataError: on reading: hardly any picture shows a face.

    >>> Mouth()(Stream.of(np.zeros((9, 120, 160, 3), np.uint8), rate=25)).shape
    (9, 64, 96, 3)
    """

    def __init__(
        self,
        *,
        height: int = 64,
        width: int = 96,
        share: float = 0.6,
        down: float = 0.8,
        every: float = 0.2,
        smooth: float = 1.5,
        still: float = 0.1,
        smallest: float = 0.1,
        detector: str = "cascade",
        models: str | None = None,
    ) -> None:
        super().__init__((height, width), every, smooth, still, smallest, _By(detector, models))
        if not (share > 0 and 0 <= down <= 1.5):
            raise ConfigError(f"mouth: got share {share} and down {down}; expected above 0, and 0 to 1.5.")
        self._share, self._down = share, down

    def _box(self, centre: NDArray[np.float64], size: NDArray[np.float64]) -> NDArray[np.float64]:
        height, width = self._size
        own = self._share * size[:, None] * np.array([1.0, height / width])
        middle = centre + np.stack([np.zeros(len(size)), (self._down - 0.5) * size], 1)
        return np.concatenate([middle - own / 2, own], 1)
