"""Single-shot detection with anchors of one size: decoding, and non-maximum suppression that averages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Boxes", "anchors", "decoded", "overlap", "suppressed"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Boxes:
    """Detections in 0..1 of the detector's square picture.

    Attributes:
        centre, size: [n, 2], x and y, width and height.
        points: [n, k, 2], the few points that a detector gives with each box.
        score: [n], probability.
    """

    centre: Array
    size: Array
    points: Array
    score: Array


def anchors(side: int, per_cell: Mapping[int, int]) -> Array:
    """Centres of anchors, [n, 2], in 0..1: grid by grid, row by row, all anchors of a cell one after another.

    Liu et al. 2016, "SSD: Single shot multibox detector" (arXiv:1512.02325), section 2.2; with all anchors of one size
    (Bazarevsky et al. 2019, section 3.2), so that only their centres count.

    Args:
        side: of the detector's picture, pixels.
        per_cell: for each grid the size of its cells in pixels, and the number of anchors in a cell.

    >>> anchors(4, {2: 2}).tolist()
    [[0.25, 0.25], [0.25, 0.25], [0.75, 0.25], [0.75, 0.25], [0.25, 0.75], [0.25, 0.75], [0.75, 0.75], [0.75, 0.75]]
    """
    grids = []
    for stride, count in per_cell.items():
        middle = (np.arange(side // stride) + 0.5) * stride / side
        y, x = np.meshgrid(middle, middle, indexing="ij")
        grids.append(np.repeat(np.stack([x.ravel(), y.ravel()], 1), count, axis=0))
    return np.concatenate(grids)


def decoded(raw: NDArray[np.floating], score: Array, centres: Array, side: int, least: float) -> Boxes:
    """Boxes whose score is ``least`` or more.

    Args:
        raw: [n, 4 + 2 k]: x, y, width, height and k points; pixels, places relative to the anchor.
        score: [n], probabilities.
        centres: [n, 2], see `anchors`.
        side: of the detector's picture, pixels.
    """
    kept = np.flatnonzero(score >= least)
    own = np.asarray(raw, np.float64)[kept].reshape(len(kept), raw.shape[1] // 2, 2) / side
    at = centres[kept][:, None]
    return Boxes(own[:, 0] + at[:, 0], own[:, 1], own[:, 2:] + at, score[kept])


def overlap(boxes: Boxes, one: int) -> Array:
    """Intersection over union of every box with one of them, [n]."""
    low, high = boxes.centre - boxes.size / 2, boxes.centre + boxes.size / 2
    shared = np.clip(np.minimum(high, high[one]) - np.maximum(low, low[one]), 0, None).prod(1)
    area = boxes.size.prod(1)
    return np.asarray(shared / np.maximum(area + area[one] - shared, 1e-12))


def suppressed(boxes: Boxes, most: float = 0.3) -> Boxes:
    """Non-maximum suppression: what overlaps the best box by more than ``most`` is averaged with it, by score.

    Bazarevsky et al. 2019, section 3.3 ("blending"): it jitters less from picture to picture than the best box alone.
    """
    left, found = np.argsort(-boxes.score, kind="stable"), []
    while len(left):
        near = overlap(boxes, int(left[0]))[left] > most
        near[0] = True  # a box of no area does not overlap itself
        weight = boxes.score[left[near]]
        weight = weight / weight.sum()
        mean = (np.tensordot(weight, own[left[near]], 1) for own in (boxes.centre, boxes.size, boxes.points))
        found.append((*mean, boxes.score[left[0]]))
        left = left[~near]
    if not found:
        return boxes
    centre, size, points, score = (np.stack(own) for own in zip(*found))
    return Boxes(centre, size, points, score)
