"""Registration: pictures of one camera as another camera would show them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from plait.core.errors import ConfigError, DataError
from plait.readers import open_streams
from plait.streams.stream import Stream
from plait.transforms import Step
from plait.transforms._lazy import Changed, check_pictures
from plait.transforms.homography import Homography, find_homography, homography_of_points

__all__ = ["Register", "warped"]


class Register(Step):
    """Register every picture to a reference's view: [n, height, width, channels] uint8; 0 outside the stream's picture.

    The homography is estimated once (see `plait.transforms.homography`), when the first picture is read, and refused if
    it is not reliable. It is valid for cameras that stand still, and for scenes that are planar or far away. To
    register one stream to another in Python, use `plait.transforms.homography.find_homography` and `warped`.

    Args:
        to: a file with the reference, a picture or a film.
        matrix: the homography itself, 3 x 3, from this stream's pixels to the reference's.
        points: at least four pairs [[x, y], [reference x, reference y]], pixels.
        pictures, method, tolerance: see `plait.transforms.homography.find_homography`.
        height, width: size of the result in pixels; by default the reference's, or the stream's own.

    Raises:
        ConfigError: not exactly one of ``to``, ``matrix`` and ``points``.
        DataError: no reliable homography; raised on reading if it is estimated from pictures.

    >>> film = Stream.of(np.arange(96, dtype=np.uint8).reshape(2, 6, 8, 1), rate=25)
    >>> moved = Register(matrix=[[1, 0, -2], [0, 1, 0], [0, 0, 1]])(film)
    >>> bool((moved.read()[:, :, :6] == film.read()[:, :, 2:]).all())
    True
    """

    kinds = ("frames",)
    causal = False

    def __init__(
        self,
        *,
        to: str | None = None,
        matrix: Sequence[Sequence[float]] | None = None,
        points: Sequence[Sequence[Sequence[float]]] | None = None,
        pictures: int = 5,
        method: str = "sift",
        tolerance: float = 3.0,
        height: int | None = None,
        width: int | None = None,
    ) -> None:
        if sum(x is not None for x in (to, matrix, points)) != 1:
            raise ConfigError("register: expected exactly one of to, matrix and points.")
        if pictures < 1 or method not in ("sift", "orb") or not tolerance > 0:
            raise ConfigError("register: expected pictures of 1 or more, method sift or orb, and tolerance above 0.")
        if any(size is not None and size < 1 for size in (height, width)):
            raise ConfigError(f"register: height {height} and width {width}; expected numbers of pixels above 0.")
        self._to, self._size = Path(to) if to is not None else None, (height, width)
        self._given = _given(matrix, points)
        self._find = partial(find_homography, pictures=pictures, method=method, tolerance=tolerance)
        self._counts: dict[str, int] = {}

    def files(self) -> list[Path]:
        return [] if self._to is None else [self._to]

    def notes(self) -> dict[str, int]:
        return {what: n for what, n in self._counts.items() if n}

    def apply(self, stream: Stream) -> Stream:
        high, wide, _ = check_pictures(stream, "register")
        self._counts = {}
        if self._given is not None:
            return warped(stream, self._given, self._size[0] or high, self._size[1] or wide)
        reference = _reference(self._to or Path())
        tall, broad, _ = check_pictures(reference, "register")
        size = (self._size[0] or tall, self._size[1] or broad)
        channels = stream.source.shape[2]
        # Estimated on the first read, so that opening a corpus decodes no film.
        return replace(stream, source=Changed(stream.source, (*size, channels), _Sought(self, stream, reference, size)))


def _given(matrix: object, points: object) -> Homography | None:
    if matrix is not None:
        own = np.asarray(matrix, np.float64)
        if own.shape != (3, 3) or not np.isfinite(own).all() or abs(float(np.linalg.det(own))) < 1e-12:
            raise ConfigError(f"register.matrix: got {matrix}; expected 3 x 3 numbers that can be inverted.")
        return Homography(own, 0, 0, 0.0, 1.0)
    if points is None:
        return None
    pairs = np.asarray(points, np.float64)
    if pairs.ndim != 3 or pairs.shape[1:] != (2, 2):
        raise ConfigError(f"register.points: shape {pairs.shape}; expected pairs [[x, y], [reference x, reference y]].")
    found = homography_of_points(pairs[:, 0], pairs[:, 1])
    if not found.sure:
        raise ConfigError(f"register.points: {found.reason}. Give four or more pairs that lie apart.")
    return found


def _reference(path: Path) -> Stream:
    streams = [s for s in open_streams(path).values() if s.kind == "frames"]
    if not streams:
        raise DataError(f"{path}: holds no pictures to register to.")
    return streams[0]


def warped(stream: Stream, onto: Homography, height: int, width: int) -> Stream:
    """A stream of pictures warped by a homography, ``height`` x ``width`` pixels; lazy; 0 outside the picture.

    Raises:
        DataError: the stream has no pictures, or the homography is not reliable.
    """
    channels = check_pictures(stream, "register")[2]
    if not onto.sure:
        raise DataError(f"{stream.where or 'stream'}: cannot be registered: {onto.reason}.")
    return replace(
        stream, source=Changed(stream.source, (height, width, channels), _Warp(onto.matrix, (height, width)))
    )


@dataclass(frozen=True)
class _Warp:
    matrix: NDArray[np.float64]
    size: tuple[int, int]

    def __call__(self, pictures: NDArray[np.generic], first: int) -> NDArray[np.generic]:
        import cv2

        height, width = self.size
        out = np.empty((len(pictures), height, width, pictures.shape[3]), pictures.dtype)
        for i, picture in enumerate(pictures):
            # OpenCV drops the axis of a single channel, so the shape is restored below.
            seen = cv2.warpPerspective(np.ascontiguousarray(picture), self.matrix, (width, height))
            out[i] = np.asarray(seen).reshape(height, width, pictures.shape[3])
        return out


@dataclass(eq=False)
class _Sought:
    """Warps by a homography that is estimated when the first picture is read."""

    step: Register
    stream: Stream
    reference: Stream
    size: tuple[int, int]
    _found: Homography | None = field(default=None, repr=False)

    def __call__(self, pictures: NDArray[np.generic], first: int) -> NDArray[np.generic]:
        if not len(pictures):
            return np.empty((0, *self.size, self.stream.source.shape[2]), pictures.dtype)
        if self._found is None:
            found = self.step._find(self.stream, self.reference)
            if not found.sure:
                raise DataError(
                    f"{self.stream.where or 'stream'}: cannot be registered to {self.reference.where}: {found.reason} "
                    f"({found.inliers} of {found.matches} matches). Give point pairs with the option points."
                )
            self._found = found
            self.step._counts["features that agree with the reference"] = found.inliers
            self.step._counts["features that do not"] = found.matches - found.inliers
        return _Warp(self._found.matrix, self.size)(pictures, first)
