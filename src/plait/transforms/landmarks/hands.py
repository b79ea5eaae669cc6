"""Both hands: 21 points each."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from plait.transforms.landmarks import Array, Found, Landmarker, logistic
from plait.transforms.landmarks.anchors import Boxes, anchors, decoded, suppressed
from plait.transforms.landmarks.region import Region, turn

__all__ = ["Hands"]

WRIST, MIDDLE = 0, 9
"""Wrist and knuckle of the middle finger among the 21 points."""

PALM = [0, 1, 2, 3, 5, 6, 9, 10, 13, 14, 17, 18]
"""Points that stay together when fingers move: palm, thumb without its tip, first joints."""

FINGERS = {
    "thumb": ("cmc", "mcp", "ip", "tip"),
    **dict.fromkeys(("index", "middle", "ring", "pinky"), ("mcp", "pip", "dip", "tip")),
}
_ONE = ("wrist", *(f"{finger}_{joint}" for finger, joints in FINGERS.items() for joint in joints))


class Hands(Landmarker):
    """Left hand, then right, [42, 3]: BlazePalm and the hand's net (Zhang et al. 2020). Left and right are the
    person's own in a picture that is not mirrored."""

    files = ("palm_detection_full", "hand_landmark_full")
    names = tuple(f"{side}_{joint}" for side in ("left", "right") for joint in _ONE)
    count = 2

    def detect(self, picture: NDArray[np.uint8]) -> list[Region]:
        net, whole = self.nets[self.files[0]], Region.whole(picture)
        raw, score = net(whole.cut(picture, net.side) / 255)
        boxes = suppressed(decoded(raw, logistic(score[:, 0]), anchors(net.side, {8: 2, 16: 6}), net.side, 0.5))
        return [_palm(whole, boxes, i) for i in np.argsort(-boxes.score * boxes.size.max(1), kind="stable")]

    def look(self, picture: NDArray[np.uint8], region: Region) -> Found:
        net = self.nets[self.files[1]]
        raw, score, side, _ = net(region.cut(picture, net.side) / 255)
        points = region.to_picture(raw.reshape(-1, 3) / net.side)
        angle = turn(points[WRIST], points[MIDDLE], math.pi / 2)
        next_one = Region.around(points[PALM], angle).moved(down=-0.1, grow=2.0)
        certain = float(score.reshape(-1)[0])
        return Found(points, np.full(len(points), certain), certain, next_one, 1 - float(side.reshape(-1)[0]))

    def placed(self, found: Sequence[Found]) -> tuple[Array, Array]:
        points, sure = np.full((2, len(_ONE), 3), np.nan), np.zeros((2, len(_ONE)))
        free = [0, 1]
        # The hand whose side is plainest chooses first: two hands are seldom of one side.
        for one in sorted(found, key=lambda f: -abs(f.left - 0.5))[:2]:
            side = 0 if one.left > 0.5 else 1
            side = side if side in free else free[0]
            free.remove(side)
            points[side], sure[side] = one.points, one.sure
        return points.reshape(-1, 3), sure.reshape(-1)


def _palm(whole: Region, boxes: Boxes, i: int) -> Region:
    x, y = whole.to_picture(boxes.centre[i])
    wrist, middle = whole.to_picture(boxes.points[i, [0, 2]])
    palm = Region(float(x), float(y), whole.size * float(boxes.size[i].max()), turn(wrist, middle, math.pi / 2))
    # From the palm to the whole hand, whose fingers are above it (Zhang et al. 2020, section 2.1).
    return palm.moved(down=-0.5, grow=2.6)
