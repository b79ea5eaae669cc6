"""The homography between two cameras, from features or point pairs, and how reliable it is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plait.core.errors import ConfigError, DataError
from plait.streams.clock import Grid
from plait.streams.stream import Stream

__all__ = ["Homography", "find_homography", "homography_of_pictures", "homography_of_points"]

Array = NDArray[np.float64]

TRUE, FALSE, PRIOR, ENOUGH = 0.6, 0.1, 1e-6, 0.999
"""Share of agreeing matches in pictures of one scene and of two scenes, prior probability of one scene, and the
posterior required."""

RATIO = 0.75
"""A match counts if its distance is below this share of the second nearest's (Lowe, IJCV 2004, sec. 7.1)."""

LARGEST = 1600
"""Longer side to which pictures are reduced before feature detection, pixels."""


@dataclass(frozen=True)
class Homography:
    """Place of each pixel of a moving picture in a fixed one, without depth: exact for planes and rotated cameras.

    Attributes:
        matrix: [3, 3], from (x, y, 1) in the moving picture to the fixed, pixels; pixel centres are whole numbers.
        inliers, matches: number of agreeing matches, and of all matches (mean per picture, if there were several).
        error: median distance of the inliers, pixels of the fixed picture.
        confidence: probability that the pictures show one scene, 0..1.
        uncertainty: root mean square error over the moving picture that the matches allow, pixels of the fixed picture;
            NaN if unknown.
        reason: why it is not reliable; '' if it is.

    >>> shift = Homography(np.array([[1.0, 0, 5], [0, 1, 0], [0, 0, 1]]), 9, 9, 0.0, 1.0)
    >>> shift.apply([[2.0, 3.0]]).tolist()
    [[7.0, 3.0]]
    """

    matrix: Array
    inliers: int
    matches: int
    error: float
    confidence: float
    reason: str = ""
    uncertainty: float = math.nan

    @property
    def sure(self) -> bool:
        return not self.reason

    def apply(self, points: ArrayLike) -> Array:
        """Points [..., 2] of the moving picture in the fixed one; NaN beyond its horizon."""
        given = np.asarray(points, np.float64)
        moved = np.concatenate([given, np.ones((*given.shape[:-1], 1))], -1) @ self.matrix.T
        depth = np.where(moved[..., 2:] > 1e-12, moved[..., 2:], np.nan)
        return np.asarray(moved[..., :2] / depth)

    def to_json(self) -> dict[str, object]:
        """Everything, for JSON."""
        own = {k: v for k, v in vars(self).items() if k != "matrix"}
        for name in ("error", "uncertainty"):
            own[name] = own[name] if math.isfinite(own[name]) else None
        return {"matrix": self.matrix.tolist(), **own, "sure": self.sure}


def _nothing(matches: int, reason: str) -> Homography:
    return Homography(np.full((3, 3), np.nan), 0, matches, math.nan, 0.0, reason)


def homography_of_points(moving: ArrayLike, fixed: ArrayLike, *, tolerance: float = 3.0) -> Homography:
    """The homography of given point pairs; with more than four pairs, wrong ones are left out.

    Args:
        moving, fixed: [n, 2], pixels; n is at least 4.
        tolerance: largest error of a pair, pixels of the fixed picture.

    Raises:
        DataError: fewer than four pairs, unequal numbers on both sides, or values that are not finite.

    >>> square = np.array([[0.0, 0], [9, 0], [9, 9], [0, 9]])
    >>> homography_of_points(square, square * 2 + 1).apply([[3.0, 3.0]]).round(6).tolist()
    [[7.0, 7.0]]
    """
    a, b = np.asarray(moving, np.float64), np.asarray(fixed, np.float64)
    if a.shape != b.shape or a.ndim != 2 or a.shape[1] != 2 or len(a) < 4 or not np.isfinite([a, b]).all():
        raise DataError(f"point pairs of shapes {a.shape} and {b.shape}; expected at least four [x, y] on each side.")
    found = _fit(a, b, tolerance if len(a) > 4 else 0.0)
    if found is None:
        return _nothing(len(a), "the points lie on a line")
    matrix, inside = found
    share = float(inside.mean())
    reason = _folds(matrix, a) or ("" if share >= 0.5 else f"only {inside.sum()} of {len(a)} pairs agree")
    return Homography(matrix, int(inside.sum()), len(a), _error(matrix, a[inside], b[inside]), share, reason)


def homography_of_pictures(
    moving: Sequence[NDArray[np.generic]],
    fixed: Sequence[NDArray[np.generic]],
    *,
    method: str = "sift",
    tolerance: float = 3.0,
) -> Homography:
    """The homography of two cameras, from matching features in pictures taken at the same instants.

    SIFT (Lowe, IJCV 2004) or ORB (Rublee et al., ICCV 2011) features, matched in both directions and by the ratio test,
    and MAGSAC++ (Barath et al., CVPR 2020; OpenCV's) for the homography. Confidence: the posterior of Brown and Lowe,
    "Automatic panoramic image stitching using invariant features", IJCV 2007, sec. 3.2, for the mean number of matches
    per picture. The whole picture must also keep its orientation.

    Args:
        moving, fixed: one or several pictures [h, w, channels] uint8 each, in pairs; a single fixed one is used for
            all.
        method: ``sift`` or ``orb`` (faster, less exact).
        tolerance: largest error of a match, pixels of the fixed picture.

    Raises:
        ConfigError: no such method, or a tolerance not above 0.
    """
    if method not in ("sift", "orb") or not tolerance > 0:
        raise ConfigError(f"homography: method {method!r}, tolerance {tolerance}; expected sift or orb, and above 0.")
    others = [_features(p, method) for p in fixed]
    pairs = [_matched(_features(p, method), others[min(i, len(others) - 1)], method) for i, p in enumerate(moving)]
    a, b = np.concatenate([p[0] for p in pairs]), np.concatenate([p[1] for p in pairs])
    # Static features repeat in every picture, so a mean picture's matches count, not their sum.
    each = len(a) / max(len(pairs), 1)
    found = _fit(a, b, tolerance) if len(a) >= 4 else None
    if found is None:
        return _nothing(round(each), "hardly any features look alike")
    matrix, inside = found
    inliers = float(inside.sum()) / len(pairs)
    sure = _posterior(inliers, each)
    reason = _folds(matrix, _corners(moving[0])) or _gathered(a[inside], moving[0])
    if sure < ENOUGH:
        reason = f"{inliers:.0f} of {each:.0f} matches a picture agree, as they may by chance"
    left = _left_open(matrix, a[inside], b[inside], _grid(moving[0]))
    if not reason and left > tolerance:
        reason = f"the matches leave {left:.1f} pixels open"
    error = _error(matrix, a[inside], b[inside])
    return Homography(matrix, round(inliers), round(each), error, sure, reason, left)


def find_homography(
    moving: Stream, fixed: Stream, *, pictures: int = 5, method: str = "sift", tolerance: float = 3.0
) -> Homography:
    """The homography from one stream of pictures to another; cameras must stand still, moving objects are outliers.

    Args:
        moving, fixed: streams of frames on one time line; ``fixed`` may be a single reference picture.
        pictures: number of instants, evenly spread over the common time.
        method, tolerance: see `homography_of_pictures`.

    Raises:
        DataError: a stream has no pictures, or the streams do not overlap in time.
        ConfigError: as `homography_of_pictures`.
    """
    for stream in (moving, fixed):
        if stream.kind != "frames" or not len(stream):
            raise DataError(f"{stream.where or 'stream'}: has no pictures to register. Expected frames.")
    start, stop = moving.clock.start, moving.clock.stop
    if len(fixed) > 1:
        start, stop = max(start, fixed.clock.start), min(stop, fixed.clock.stop)
        if stop < start:
            raise DataError(f"{moving.where or 'stream'} and {fixed.where or 'stream'}: never meet in time. Sync them.")
    count = min(pictures, len(moving))
    times = Grid(start, count / max(stop - start, 1e-9), count).times + (stop - start) / (2 * count)
    taken = [_at(moving, times), _at(fixed, times if len(fixed) > 1 else times[:1])]
    return homography_of_pictures(*taken, method=method, tolerance=tolerance)


def _at(stream: Stream, times: Array) -> list[NDArray[Any]]:
    return [stream[i : i + 1].read()[0] for i in stream.clock.nearest(times).tolist()]


Features = tuple[Array, NDArray[Any] | None]


def _features(picture: NDArray[np.generic], method: str) -> Features:
    """Places [n, 2] in the picture's own pixels, and descriptors."""
    import cv2

    scale = min(1.0, LARGEST / max(picture.shape[:2]))
    one = picture[..., 0] if picture.shape[2] == 1 else cv2.cvtColor(picture[..., :3], cv2.COLOR_RGB2GRAY)
    grey = np.ascontiguousarray(one)
    if scale < 1:
        grey = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    finder = cv2.SIFT_create(4000) if method == "sift" else cv2.ORB_create(4000)  # type: ignore[attr-defined]
    points, described = finder.detectAndCompute(grey, None)
    places = np.array([p.pt for p in points], np.float64).reshape(-1, 2)
    # Pixel centres are whole numbers, so a half is added before scaling and taken off again.
    return (places + 0.5) / scale - 0.5, described


def _matched(a: Features, b: Features, method: str) -> tuple[Array, Array]:
    """Places of the features that are mutually nearest and pass the ratio test, [m, 2] each."""
    import cv2

    none = np.zeros((0, 2))
    if a[1] is None or b[1] is None or min(len(a[1]), len(b[1])) < 2:
        return none, none
    matcher = cv2.BFMatcher(cv2.NORM_L2 if method == "sift" else cv2.NORM_HAMMING)
    there = [p for p in matcher.knnMatch(a[1], b[1], 2) if p[0].distance < RATIO * p[1].distance]
    back = {m.queryIdx: m.trainIdx for m in matcher.match(b[1], a[1])}
    kept = [p[0] for p in there if back.get(p[0].trainIdx) == p[0].queryIdx]
    return a[0][[m.queryIdx for m in kept]], b[0][[m.trainIdx for m in kept]]


def _fit(a: Array, b: Array, tolerance: float) -> tuple[Array, NDArray[np.bool_]] | None:
    """Matrix and inliers; with a tolerance of 0, all pairs by least squares."""
    import cv2

    matrix, _ = cv2.findHomography(a, b, cv2.USAC_MAGSAC if tolerance else 0, tolerance or 3.0, None, 10000, 0.9999)
    if matrix is None or not np.isfinite(matrix).all() or abs(float(np.linalg.det(matrix))) < 1e-12:
        return None
    matrix = np.asarray(matrix / matrix[2, 2], np.float64)
    inside = _off(matrix, a, b) <= tolerance if tolerance else np.ones(len(a), bool)
    for _ in range(3 if tolerance else 0):  # refit to all inliers, not only to the best sample
        finer, _ = cv2.findHomography(a[inside], b[inside], 0) if inside.sum() >= 8 else (None, None)
        if finer is None or (_off(finer, a, b) <= tolerance).sum() < 0.9 * inside.sum():
            break
        matrix = np.asarray(finer / finer[2, 2], np.float64)
        inside = _off(matrix, a, b) <= tolerance
    return (matrix, inside) if inside.sum() >= 4 else None


def _off(matrix: Array, a: Array, b: Array) -> Array:
    moved = np.column_stack([a, np.ones(len(a))]) @ matrix.T
    with np.errstate(divide="ignore", invalid="ignore"):
        off: Array = np.linalg.norm(moved[:, :2] / moved[:, 2:] - b, axis=1)
    return np.where(np.isfinite(off), off, np.inf)


def _left_open(matrix: Array, a: Array, b: Array, grid: Array) -> float:
    """Root mean square error over ``grid``, propagated to first order from the residuals of the inliers."""
    places, wanted = _slopes(matrix, a), _slopes(matrix, grid)
    free = 2 * len(a) - 8
    spread = float((_off(matrix, a, b) ** 2).sum()) / free if free > 0 else math.inf
    # Two coordinates a pair and eight parameters: `free` degrees of freedom are left for the scatter.
    covariance = np.linalg.pinv(np.einsum("nci,ncj->ij", places, places)) * spread
    return math.sqrt(max(float(np.einsum("nci,ij,ncj->n", wanted, covariance, wanted).mean()), 0.0))


def _slopes(matrix: Array, points: Array) -> Array:
    """Derivatives of mapped points with respect to the first eight numbers of the matrix, [n, 2, 8]."""
    p = np.column_stack([points, np.ones(len(points))])
    x, y, w = (p @ matrix.T).T[:, :, None]
    zero = np.zeros_like(p)
    rows = [np.concatenate([p, zero, -x / w * p[:, :2]], 1), np.concatenate([zero, p, -y / w * p[:, :2]], 1)]
    return np.asarray(np.stack(rows, 1) / w[:, None])


def _grid(picture: NDArray[np.generic]) -> Array:
    high, wide = picture.shape[:2]
    x, y = np.meshgrid(np.linspace(0, wide - 1, 7), np.linspace(0, high - 1, 7))
    return np.column_stack([x.ravel(), y.ravel()])


def _error(matrix: Array, a: Array, b: Array) -> float:
    return float(np.median(_off(matrix, a, b)))


def _posterior(inliers: float, matches: float) -> float:
    """Probability that the pictures show one scene, given the number of inliers."""
    odds = math.log(PRIOR / (1 - PRIOR)) + inliers * math.log(TRUE / FALSE)
    odds += (matches - inliers) * math.log((1 - TRUE) / (1 - FALSE))
    return 1 / (1 + math.exp(-min(max(odds, -700.0), 700.0)))


def _corners(picture: NDArray[np.generic]) -> Array:
    high, wide = picture.shape[:2]
    return np.array([[0.0, 0], [wide - 1, 0], [wide - 1, high - 1], [0, high - 1]])


def _folds(matrix: Array, points: Array) -> str:
    """Why a homography is impossible for a picture: orientation or size is implausible at one of the points."""
    moved = np.column_stack([points, np.ones(len(points))]) @ matrix.T
    area = np.linalg.det(matrix) / np.maximum(moved[:, 2], 1e-12) ** 3  # of a small square, there
    if (moved[:, 2] <= 1e-9).any() or (area <= 0).any():
        return "the picture would be folded or mirrored"
    # 400 in area is 20 in length.
    if area.max() > 400 or area.min() < 1 / 400:
        return "the picture would be stretched more than twenty times"
    return ""


def _gathered(points: Array, picture: NDArray[np.generic]) -> str:
    """Why the inliers do not determine the whole picture: they all lie in one small place."""
    spread = np.linalg.norm(points.std(0))
    return "" if spread > 0.05 * max(picture.shape[:2]) else "all matches that agree lie in one small place"
