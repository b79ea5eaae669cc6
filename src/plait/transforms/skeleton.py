"""Skeletons of any layout in one form: the same joints, centre, direction and size."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from plait.core.errors import ConfigError, DataError
from plait.core.parts import suggest
from plait.streams.stream import Stream
from plait.transforms import Step
from plait.transforms._lazy import Changed
from plait.transforms.layouts import BONES, COMMON, Layout, common_joints, layout_of

__all__ = ["Skeleton"]

Points = NDArray[np.float64]

_AT = {name: i for i, name in enumerate(COMMON)}
_BLOCK = 4096


class Skeleton(Step):
    """Poses of any layout as 19 joints (`plait.transforms.layouts.COMMON`), [n, 19, 2 or 3] float32.

    The joints are named in ``channels``.

    In three dimensions the result has x to the person's left, y up and z ahead. Pelvis and neck are the means of hips
    and shoulders; joints that a layout lacks are NaN. Centre and turn as in Shahroudy et al., "NTU RGB+D", CVPR 2016,
    sec. 4.1, but the body is rotated about the vertical only, so that leaning and lying are preserved.

    Args:
        layout: see `plait.transforms.layouts.LAYOUTS`; ``auto``: by the joints' names, or their number if it is unique.
        up: which axis of the raw poses points up, ``y``, ``-y`` or ``z``; None: as in the layout. Axes must be
            right-handed (all layouts' are).
        centre: ``pelvis`` or ``neck`` becomes the origin of each pose; ``none``.
        turn: ``once``: rotate by the recording's mean direction, so that turns are preserved; ``frame``: each pose
            faces ahead; ``none``. Flat poses are never rotated.
        scale: divide by the recording's median length of the ``torso`` (pelvis to neck), or of the ``shoulders``
            (width times 1.11: an average torso) where no hips are visible; ``bones``: give each bone the length of an
            average body (`plait.transforms.layouts.BONES`), which keeps directions only (three dimensions only);
            ``none``.

    Poses without the joints that a centre or a direction need are NaN, and counted.

    Raises:
        ConfigError: an option out of its range, or a layout that does not fit the poses.
        DataError: poses are not [joints, 2 or 3]; or the reference length was never visible.

    >>> walk = Stream.of(np.random.default_rng(0).normal(size=(60, 25, 3)), rate=30)
    >>> Skeleton(layout="kinect25")(walk).shape
    (60, 19, 3)
    """

    kinds = ("pose",)

    def __init__(
        self,
        *,
        layout: str = "auto",
        up: str | None = None,
        centre: str = "pelvis",
        turn: str = "once",
        scale: str = "torso",
    ) -> None:
        _one_of("up", up, (None, "y", "-y", "z"))
        _one_of("centre", centre, ("pelvis", "neck", "none"))
        _one_of("turn", turn, ("once", "frame", "none"))
        _one_of("scale", scale, ("torso", "shoulders", "bones", "none"))
        self._layout, self._up, self._centre, self._turn, self._scale = layout, up, centre, turn, scale
        self.causal = turn != "once" and scale in ("bones", "none")
        self._counts: dict[str, int] = {}

    def notes(self) -> dict[str, int]:
        return {what: n for what, n in self._counts.items() if n}

    def apply(self, stream: Stream) -> Stream:
        shape = stream.source.shape
        if len(shape) != 2 or shape[1] not in (2, 3):
            raise DataError(f"{stream.where or 'stream'}: poses of shape {shape}; expected [joints, 2 or 3].")
        if shape[1] == 2 and self._scale == "bones":
            raise DataError(
                f"{stream.where or 'stream'}: flat poses show bones shortened, so they cannot be given lengths. "
                "Set scale to torso or shoulders."
            )
        layout, joints = layout_of(shape[0], stream.channels, self._layout)
        self._counts = {}
        change = _Normal(self, stream, layout, joints)
        source = Changed(stream.source, (len(COMMON), shape[1]), change)
        return replace(stream, source=source, channels=COMMON)


def _one_of(option: str, value: object, known: tuple[str | None, ...]) -> None:
    if value not in known:
        listed = [k for k in known if k]
        raise ConfigError(f"skeleton.{option}: got {value!r}. {suggest(str(value), listed)}")


@dataclass(eq=False)
class _Normal:
    """Normalises the poses of a stream; direction and size are learnt from the whole of it, when the first is read."""

    step: Skeleton
    stream: Stream
    layout: Layout
    joints: tuple[str, ...]
    _learnt: tuple[float, float] | None = field(default=None, repr=False)

    def __call__(self, raw: NDArray[np.generic], first: int) -> NDArray[np.float32]:
        angle, length = self._known() if len(raw) else (0.0, 1.0)
        points = self._common(raw)
        step = self.step
        if step._centre != "none":
            points = points - points[:, [_AT[step._centre]]]
        if points.shape[2] == 3 and step._turn != "none":
            points = _turned(points, np.full(len(points), angle) if step._turn == "once" else _direction(points))
        return (with_bones(points) if step._scale == "bones" else points / length).astype(np.float32)

    def _common(self, raw: NDArray[np.generic]) -> Points:
        return common_joints(_upright(raw.astype(np.float64), self.step._up or self.layout.up), self.joints)

    def _known(self) -> tuple[float, float]:
        if self._learnt is None:
            lefts, lengths, lost, aimless = np.zeros(2), [np.zeros(0)], 0, 0
            centre, turned = self.step._centre, self.step._turn != "none" and self.stream.source.shape[1] == 3
            for block in self.stream.blocks(_BLOCK):
                points = self._common(block.read())
                lengths.append(_length(points, self.step._scale))
                left = _left(points)
                # Unit vectors: the mean of directions, in which a close person counts no more than a distant one.
                lefts += np.nansum(left / np.maximum(np.linalg.norm(left, axis=1, keepdims=True), 1e-9), 0)
                lost += int(np.isnan(points[:, _AT[centre], 0]).sum()) if centre != "none" else 0
                aimless += int(np.isnan(left).any(1).sum()) if turned and self.step._turn == "frame" else 0
            self.step._counts.update(
                {f"poses without a {centre}": lost, "poses without left and right": aimless}
            )  # fmt: skip
            self._learnt = float(np.arctan2(lefts[1], lefts[0])), self._median(np.concatenate(lengths))
        return self._learnt

    def _median(self, lengths: Points) -> float:
        if self.step._scale in ("none", "bones"):
            return 1.0
        seen = lengths[np.isfinite(lengths) & (lengths > 0)]
        if not len(seen):
            other = "shoulders" if self.step._scale == "torso" else "none"
            raise DataError(
                f"{self.stream.where or 'stream'}: no pose shows its {self.step._scale}, so there is no size to divide "
                f"by. Set scale to {other}."
            )
        return float(np.median(seen))


def _upright(points: Points, up: str) -> Points:
    """Axes [.., 2 or 3] rotated (flat ones flipped) so that y points up."""
    if up == "y":
        return points
    if points.shape[-1] == 2:
        return np.asarray(points * np.array([1.0, -1.0 if up == "-y" else 1.0]))
    if up == "-y":
        return np.asarray(points * np.array([1.0, -1.0, -1.0]))
    # The sign keeps the axes right-handed, so that left stays left.
    return np.asarray(np.stack([points[..., 0], points[..., 2], -points[..., 1]], -1))


def _left(points: Points) -> Points:
    """Direction of each person's left on the ground, [n, 2] (x and the last axis): across hips and shoulders."""
    across = points[:, _AT["left_shoulder"]] - points[:, _AT["right_shoulder"]]
    hips = points[:, _AT["left_hip"]] - points[:, _AT["right_hip"]]
    both = np.where(np.isnan(hips), across, np.where(np.isnan(across), hips, across + hips))
    out: Points = both[:, [0, -1]]
    return out


def _direction(points: Points) -> Points:
    left = _left(points)
    return np.asarray(np.arctan2(left[:, 1], left[:, 0]))


def _turned(points: Points, angle: Points) -> Points:
    """Points rotated about y so that the direction at ``angle`` from x towards z becomes x."""
    c, s = np.cos(angle)[:, None], np.sin(angle)[:, None]
    x, y, z = np.moveaxis(points, -1, 0)
    return np.asarray(np.stack([c * x + s * z, y, c * z - s * x], -1))


def _length(points: Points, what: str) -> Points:
    a, b, factor = ("left_shoulder", "right_shoulder", 1 / 0.9) if what == "shoulders" else ("pelvis", "neck", 1.0)
    length: Points = np.linalg.norm(points[:, _AT[a]] - points[:, _AT[b]], axis=1) * factor
    return length


def with_bones(points: Points) -> Points:
    """Common joints [n, 19, 3] with every bone at the length of an average body and in its own direction.

    >>> body = with_bones(np.random.default_rng(0).normal(size=(1, 19, 3)))
    >>> round(float(np.linalg.norm(body[0, 1] - body[0, 0])), 6)
    1.0
    """
    out = points.copy()
    # From the pelvis outwards, so that each bone starts at the new place of its parent.
    for a, b, length in BONES:
        way = points[:, _AT[b]] - points[:, _AT[a]]
        size = np.linalg.norm(way, axis=1, keepdims=True)
        out[:, _AT[b]] = out[:, _AT[a]] + way * (length / np.where(size > 0, size, np.nan))
    return out
