"""Skeletons: joints of a body, centred, scaled, with their velocities."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from plait.core.errors import ConfigError, DataError
from plait.features import Feature
from plait.features.checks import above_zero, as_float32, differences, flat_numbers, place_of
from plait.streams.clock import Clock
from plait.streams.stream import Stream

__all__ = ["Pose"]

Points = NDArray[np.float64]


class Pose(Feature):
    """Joints minus a centre, flattened, and their velocities, [n, joints * axes * 2]; the default for poses.

    Args:
        centre: what to subtract: ``mean`` of the joints; a joint, by its index from 0; ``first``: the mean
            of the joints in the first frame that has any; or None: nothing.
        per_frame: compute the centre in each frame, which removes the path of the body; else use one point for the
            whole recording (its mean), which keeps the path.
        scale: divide by the root mean square distance of the joints from their centre over the recording, to remove
            the size of the person.
        velocities: append the change since the previous frame, per second, on the stream's own clock; 0 for the
            first frame, and after more than ``gap`` seconds.
        gap: longest pause over which velocities are taken, seconds.

    Joints that are NaN stay NaN and are left out of means. One centre or scale for the whole recording depends
    on its future: ``causal`` is then False.

    >>> walk = Stream.of(np.random.default_rng(0).normal(size=(60, 20, 3)), rate=30)
    >>> Pose()(walk)[0].shape, Pose(centre=0, per_frame=True).causal, Pose().causal
    ((60, 120), True, False)
    """

    kinds = ("pose",)
    default_for: ClassVar[tuple[str, ...]] = ("pose",)

    def __init__(
        self,
        *,
        centre: str | int | None = "mean",
        per_frame: bool = False,
        scale: bool = False,
        velocities: bool = True,
        gap: float = 0.5,
    ) -> None:
        above_zero("pose", gap=gap)
        number = isinstance(centre, int) and not isinstance(centre, bool) and centre >= 0
        if not number and centre not in ("mean", "first", None):
            raise ConfigError(f"pose.centre: got {centre!r}; expected mean, first, a joint's index or null.")
        if centre == "first" and per_frame:
            raise ConfigError("pose: centre 'first' is one point; it cannot be taken per_frame.")
        self._centre, self._per_frame, self._scale = centre, per_frame, scale
        self._velocities, self._gap = velocities, gap
        self.causal = not scale and (per_frame or centre in ("first", None))

    @property
    def receptive_field(self) -> float:
        return self._gap if self._velocities else 0.0

    def dim(self, shape: tuple[int, ...]) -> int:
        return int(np.prod(shape)) * (2 if self._velocities else 1)

    def groups(self, dim: int) -> list[int]:
        half = dim // 2 if self._velocities else dim
        # One scale for all positions and one for all velocities keep the proportions of the body.
        return [0] * half + [1] * (dim - half)

    def compute(self, stream: Stream) -> tuple[NDArray[np.float32], Clock]:
        shape = stream.source.shape
        if len(shape) != 2:
            raise DataError(f"{place_of(stream)}: a pose of shape {shape}; expected [joints, axes].")
        points = flat_numbers(stream).reshape(len(stream), *shape)
        points = points - self._middle(points, stream)
        if self._scale:
            points = points / self._size(points, stream)
        flat = points.reshape(len(points), shape[0] * shape[1])
        if self._velocities:
            change = differences(flat, stream.clock, self._gap, place_of(stream), per_second=True)
            flat = np.concatenate([flat, change], 1)
        return as_float32(flat, stream), stream.clock

    def _middle(self, points: Points, stream: Stream) -> Points | float:
        """What to subtract: [n, 1, axes], [1, 1, axes] or 0."""
        centre = self._centre
        if centre is None or not len(points):
            return 0.0
        if isinstance(centre, int):
            if centre >= points.shape[1]:
                raise DataError(
                    f"{place_of(stream)}: centre is joint {centre}, but the last joint is "
                    f"{points.shape[1] - 1} (they count from 0)."
                )
            path = points[:, centre : centre + 1]
        else:
            path = _mean(points, 1)
        if self._per_frame:
            return path
        seen = path[~np.isnan(path).any((1, 2))]
        if not len(seen):
            return 0.0
        return seen[:1] if centre == "first" else seen.mean(0, keepdims=True)

    def _size(self, points: Points, stream: Stream) -> float:
        own = points - _mean(points, 1)
        squares = (own**2).sum(2)
        seen = squares[~np.isnan(squares)]
        size = float(np.sqrt(seen.mean())) if len(seen) else 1.0
        if size < 1e-9:
            raise DataError(f"{place_of(stream)}: all joints are at one point, so there is no size to divide by.")
        return size


def _mean(values: Points, axis: int) -> Points:
    """Mean without NaN over an axis, which is kept; NaN where all are NaN."""
    # Not `nanmean`, which warns of empty slices.
    seen = ~np.isnan(values)
    count = seen.sum(axis, keepdims=True)
    total = np.where(seen, values, 0.0).sum(axis, keepdims=True)
    out: Points = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return out
