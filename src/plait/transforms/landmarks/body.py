"""The body: 33 points from head to foot."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from plait.transforms.landmarks import Found, Landmarker, logistic
from plait.transforms.landmarks.anchors import anchors, decoded, suppressed
from plait.transforms.landmarks.region import Region, turn
from plait.transforms.layouts import LAYOUTS

__all__ = ["BodyPose"]

GROW = 1.25


class BodyPose(Landmarker):
    """One body, [33, 3]: BlazePose. The detector gives the middle of the hips and a point of the circle around the
    whole body (Bazarevsky et al. 2020, section 2.2); the points' net gives both again, for the next picture."""

    files = ("pose_detection", "pose_landmark_full")
    names = LAYOUTS["mediapipe33"].joints

    def detect(self, picture: NDArray[np.uint8]) -> list[Region]:
        net, whole = self.nets[self.files[0]], Region.whole(picture)
        raw, score = net(whole.cut(picture, net.side) / 127.5 - 1)
        centres = anchors(net.side, {8: 2, 16: 2, 32: 6})
        boxes = suppressed(decoded(raw, logistic(score[:, 0]), centres, net.side, 0.5))
        found = [_circle(*whole.to_picture(points[:2])) for points in boxes.points]
        order = np.argsort([-r.size * s for r, s in zip(found, boxes.score)], kind="stable")
        return [found[i] for i in order]

    def look(self, picture: NDArray[np.uint8], region: Region) -> Found:
        net = self.nets[self.files[1]]
        out = net(region.cut(picture, net.side) / 255)
        raw = out[0].reshape(-1, 5)
        points = region.to_picture(raw[:, :3] / net.side)
        n = len(self.names)
        return Found(points[:n], logistic(raw[:n, 3]), float(out[1].reshape(-1)[0]), _circle(*points[n : n + 2]))


def _circle(hips: NDArray[np.float64], edge: NDArray[np.float64]) -> Region:
    """The upright square around a circle, of which the centre and the point above the head are given."""
    size = 2 * float(np.hypot(*(edge - hips)[:2]))
    return Region(float(hips[0]), float(hips[1]), size * GROW, turn(hips, edge, math.pi / 2))
