"""The boxes of faces by the face mesh, in the proportions of OpenCV's cascade."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from plait.transforms.landmarks.face import LIPS, RIGHT_TO_LEFT_EYE, FaceMesh

__all__ = ["face_boxes"]

Array = NDArray[np.float64]

EYES, DOWN = 1.89, 0.76
"""Side of the cascade's box in distances of the outer corners of the eyes (in three dimensions, so that it holds for
turned heads), and how far down in it the mouth is: medians over 71 faces of Flickr8k and COCO; quartiles 1.81 to 2.00
and 0.74 to 0.78."""

MOST = 5
"""Faces of a picture that are looked at."""


def face_boxes(nets: FaceMesh, picture: NDArray[np.uint8], *, smallest: float, least: float = 0.5) -> Array:
    """Faces of a picture [height, width, 3], [m, 3]: x and y of the centre and side of a square, pixels.

    The box hangs on mouth and eyes: a crop of the mouth that is a part of it has the mouth where the cascade's has it.

    Args:
        smallest: least side, pixels.
        least: least probability of a face.
    """
    found = [nets.look(picture, region) for region in nets.detect(picture)[:MOST]]
    points = np.array([one.points for one in found if one.score >= least]).reshape(-1, len(nets.names), 3)
    right, left = (points[:, i] for i in RIGHT_TO_LEFT_EYE)
    side = EYES * np.linalg.norm(left - right, axis=1)
    x, y = points[:, list(LIPS), :2].mean(1).T
    boxes: Array = np.stack([x, y - (DOWN - 0.5) * side, side], 1)
    return np.asarray(boxes[side >= smallest])
