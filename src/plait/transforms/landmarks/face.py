"""The face: 468 points of its surface."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from plait.transforms.landmarks import Found, Landmarker, logistic
from plait.transforms.landmarks.anchors import Boxes, anchors, decoded, suppressed
from plait.transforms.landmarks.region import Region, turn

__all__ = ["LIPS", "RIGHT_TO_LEFT_EYE", "FaceMesh"]

RIGHT_TO_LEFT_EYE = (33, 263)
"""Outer corners of the person's right and left eye."""

LIPS = (61, 291, 0, 17)
"""Corners of the mouth (right, left), middle of the upper lip's and of the lower lip's outer edge."""

GROW = 1.5
"""The region relative to the detector's box, and to the box around the points (Kartynnik et al. 2019, section 3: 25 %
margin on each side)."""


class FaceMesh(Landmarker):
    """One face, [468, 3]: BlazeFace (short range, then full range) and the face mesh."""

    files = ("face_detection_short_range", "face_detection_full_range_sparse", "face_landmark")
    names = tuple(f"face_{i}" for i in range(468))

    def detect(self, picture: NDArray[np.uint8]) -> list[Region]:
        # The second detector sees smaller faces, at twice the time.
        return self._faces(picture, self.files[0], {8: 2, 16: 6}) or self._faces(picture, self.files[1], {4: 1})

    def _faces(self, picture: NDArray[np.uint8], name: str, grids: dict[int, int]) -> list[Region]:
        net, whole = self.nets[name], Region.whole(picture)
        raw, score = net(whole.cut(picture, net.side) / 127.5 - 1)
        boxes = suppressed(decoded(raw, logistic(score[:, 0]), anchors(net.side, grids), net.side, 0.5))
        return [self._region(whole, boxes, i) for i in np.argsort(-boxes.score * boxes.size.max(1), kind="stable")]

    @staticmethod
    def _region(whole: Region, boxes: Boxes, i: int) -> Region:
        x, y = whole.to_picture(boxes.centre[i])
        right, left = whole.to_picture(boxes.points[i, :2])
        return Region(float(x), float(y), whole.size * float(boxes.size[i].max()) * GROW, turn(right, left, 0.0))

    def look(self, picture: NDArray[np.uint8], region: Region) -> Found:
        net = self.nets[self.files[2]]
        raw, score = net(region.cut(picture, net.side) / 255)
        points = region.to_picture(raw.reshape(-1, 3) / net.side)
        certain = float(logistic(score.reshape(-1)[0]))
        right, left = points[list(RIGHT_TO_LEFT_EYE)]
        box = Region.around(points)
        next_one = Region(box.x, box.y, box.size * GROW, turn(right, left, 0.0))
        return Found(points, np.full(len(points), certain), certain, next_one)
