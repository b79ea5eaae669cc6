"""Keypoints of a person in raw video: a video stream becomes a stream of poses."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from plait.core.errors import ConfigError
from plait.core.parts import suggest
from plait.streams.clock import Grid
from plait.streams.stream import Stream, mask_of
from plait.transforms import Step
from plait.transforms._lazy import BLOCK_BYTES, check_pictures, coloured
from plait.transforms.landmarks import Found, Landmarker
from plait.transforms.landmarks.body import BodyPose
from plait.transforms.landmarks.face import FaceMesh
from plait.transforms.landmarks.follow import follow
from plait.transforms.landmarks.hands import Hands
from plait.transforms.landmarks.one_euro import OneEuro

__all__ = ["Keypoints"]

KINDS: dict[str, type[Landmarker]] = {"body": BodyPose, "face": FaceMesh, "hands": Hands}


class Keypoints(Step):
    """Points of the most prominent person in every picture, [n, points, 3] float32; the stream becomes a pose.

    x (to the right) and y (down) are in pixels of the picture, z (away from the camera, from the middle of the hips,
    the face or the wrist) is an estimate in the same unit. Points of which the net is not sure are NaN, as is
    everything where nobody is seen; NaN becomes the mask of tokens. The points' names are in ``channels``.

    A detector finds the person; from then on a second net finds the points where they were in the picture before
    (Bazarevsky et al. 2020, "BlazePose", arXiv:2006.10204, section 2.1), until it is unsure. Then, and every
    ``renew`` seconds, the detector looks again. So a value depends on nothing later, and on at most ``renew`` seconds
    before, and reading a part gives the same as reading all. Pictures are read one after another, never all at once.

    Needs the extra ``keypoints`` and the models in the wheel of mediapipe 0.10.14, which is not imported:
    ``pip install 'plait[keypoints]'; pip install --no-deps mediapipe==0.10.14``. See docs/keypoints.md.

    Args:
        of: ``body``: 33 points, the layout ``mediapipe33`` of the step `Skeleton`; ``face``: the 468 points of the face
            mesh; ``hands``: 21 points of the left hand, then of the right one (in pictures that are not mirrored).
        confidence: least confidence of a point, and of a person, 0 to 1.
        renew: seconds after which the detector looks again in any case; rounded down to a power of two of pictures.
        smooth: cutoff of a One-Euro filter for points at rest, Hz, such as 1; None: none. It starts anew with the
            detector. See `plait.transforms.landmarks.one_euro.OneEuro`.
        models: a folder of ``.tflite`` files, or a wheel with them; by default the installed package mediapipe.

    Raises:
        ConfigError: an option out of its range, or ``models`` lacks a model.
        MissingExtra: LiteRT or the models are not installed.

    >>> Keypoints(of="hands").files_of()
    ('palm_detection_full', 'hand_landmark_full')
    """

    kinds = ("frames",)

    def __init__(
        self,
        *,
        of: str = "body",
        confidence: float = 0.5,
        renew: float = 5.0,
        smooth: float | None = None,
        models: str | None = None,
    ) -> None:
        if of not in KINDS:
            raise ConfigError(f"keypoints.of: got {of!r}. {suggest(of, KINDS)}")
        if not 0 <= confidence <= 1 or not 0 < renew < math.inf:
            raise ConfigError(
                f"keypoints: got confidence {confidence} and renew {renew}; expected 0 to 1, and seconds above 0."
            )
        if smooth is not None and not 0 < smooth < math.inf:
            raise ConfigError(f"keypoints.smooth: got {smooth}; expected a frequency above 0 Hz, or null.")
        self._of, self._confidence, self._models = of, confidence, models
        self._renew, self._smooth = renew, smooth
        self._counts: dict[str, int] = {}

    def files_of(self) -> tuple[str, ...]:
        """Names of the models."""
        return KINDS[self._of].files

    def files(self) -> list[Path]:
        return [net.file for net in KINDS[self._of](self._models).nets.values()]

    def notes(self) -> dict[str, int]:
        return {what: n for what, n in self._counts.items() if n}

    def apply(self, stream: Stream) -> Stream:
        check_pictures(stream, "keypoints")
        nets, self._counts = KINDS[self._of](self._models), {}
        nets.check()
        # A power of two, so that the spacing of an irregular clock, which a cut changes a little, decides nothing.
        block = 1 << max(0, math.floor(math.log2(self._renew * _rate(stream))))
        source = _Followed(stream, nets, self._confidence, block, self._smooth, self._counts)
        return replace(stream, source=source, kind="pose", channels=nets.names)


def _rate(stream: Stream) -> float:
    """Pictures per second."""
    if isinstance(stream.clock, Grid):
        return float(stream.clock.rate)
    times = stream.clock.times
    return 1 / max(float(np.median(np.diff(times))), 1e-3) if len(times) > 1 else 1.0


@dataclass(eq=False)
class _Followed:
    """The points of a stream's pictures. Following starts anew at every multiple of ``block`` in the source, so that
    the result does not depend on where reading starts."""

    stream: Stream
    nets: Landmarker
    confidence: float
    block: int
    cutoff: float | None
    counts: dict[str, int]
    _next: int = field(default=-1, repr=False)
    _before: Sequence[Found] = field(default=(), repr=False)
    _filter: OneEuro | None = field(default=None, repr=False)
    _counted: int = field(default=0, repr=False)

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.nets.names), 3)

    def read(self, lo: int, hi: int) -> NDArray[np.float32]:
        out = np.full((max(hi - lo, 0), *self.shape), np.nan, np.float32)
        if not len(out):
            return out
        source = self.stream.source
        begin = lo if lo == self._next else lo - lo % self.block
        size = max(1, BLOCK_BYTES // math.prod(source.shape))
        for first in range(begin, hi, size):
            last = min(first + size, hi)
            pictures, there = source.read(first, last), mask_of(source, first, last)
            for at, picture, one in zip(range(first, last), pictures, there):
                points = self._points(at, picture if one else None)
                if at >= lo:
                    out[at - lo] = points
                if at >= max(lo, self._counted):
                    self._count(points, at)
        return out

    def _points(self, at: int, picture: NDArray[np.uint8] | None) -> NDArray[np.float64]:
        if at % self.block == 0:
            self._before, self._filter = (), None if self.cutoff is None else OneEuro(self.cutoff)
        found: list[Found] = []
        if picture is not None:
            found, _ = follow(self.nets, coloured(picture), self._before, self.confidence)
        self._before, self._next = found, at + 1
        points, sure = self.nets.placed(found)
        points = np.where((sure >= self.confidence)[:, None], points, np.nan)
        if self._filter is not None:
            size = max((one.region.size for one in found), default=1.0)
            points = self._filter(points, self._time(at), size)
        return points

    def _count(self, points: NDArray[np.float64], at: int) -> None:
        """Note once per picture, however often it is read."""
        self._counted = at + 1
        seen, name = np.isfinite(points[:, 0]), "pictures without points"
        self.counts[name] = self.counts.get(name, 0) + (not seen.any())

    def _time(self, at: int) -> float:
        """Seconds of an observation of the source; before the stream's first, as if it had gone on at its rate."""
        own, clock = at - self.stream.first, self.stream.clock
        return float(clock[own : own + 1].times[0]) if own >= 0 else clock.start + own / _rate(self.stream)
