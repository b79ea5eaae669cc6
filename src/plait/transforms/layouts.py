"""Skeleton layouts: the order of joints of each, and its mapping to the joints that all share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from plait.core.errors import ConfigError
from plait.core.parts import suggest

__all__ = ["BONES", "COMMON", "LAYOUTS", "Layout", "common_joints", "layout_of"]

Points = NDArray[np.float64]


@dataclass(frozen=True)
class Layout:
    """The joints of one kind of skeleton in their order, and which axis points up (``y``, ``-y`` or ``z``)."""

    joints: tuple[str, ...]
    up: str


def _both(*names: str) -> tuple[str, ...]:
    return tuple(f"{side}_{name}" for side in ("left", "right") for name in names)


_ARM, _LEG = ("shoulder", "elbow", "wrist", "hand"), ("hip", "knee", "ankle", "foot")
_FACE = ("nose", "left_eye", "right_eye", "left_ear", "right_ear")
_PAIRS = tuple(
    f"{side}_{name}"
    for name in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
    for side in ("left", "right")
)  # fmt: skip

COMMON = ("pelvis", "neck", "head", *_both(*_ARM), *_both(*_LEG))
"""The 19 joints to which every layout is mapped."""

LAYOUTS = {
    "common": Layout(COMMON, "y"),
    "kinect20": Layout(("hip_centre", "spine", "shoulder_centre", "head", *_both(*_ARM), *_both(*_LEG)), "y"),
    "utd_mhad": Layout(("head", "shoulder_centre", "spine", "hip_centre", *_both(*_ARM), *_both(*_LEG)), "y"),
    "kinect25": Layout(
        ("spine_base", "spine_mid", "spine_neck", "head", *_both(*_ARM), *_both(*_LEG), "spine_shoulder")
        + _both("hand_tip", "thumb"),
        "y",
    ),
    "coco17": Layout((*_FACE, *_PAIRS), "-y"),
    "openpose25": Layout(
        ("nose", "throat", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow", "left_wrist")
        + ("mid_hip", "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle")
        + ("right_eye", "left_eye", "right_ear", "left_ear")
        + _both("big_toe", "small_toe", "heel"),
        "-y",
    ),
    "mediapipe33": Layout(
        ("nose", "left_eye_inner", "left_eye", "left_eye_outer", "right_eye_inner", "right_eye", "right_eye_outer")
        + ("left_ear", "right_ear", "mouth_left", "mouth_right", *_PAIRS[:6])
        + ("left_pinky", "right_pinky", "left_index", "right_index", "left_thumb", "right_thumb")
        + (*_PAIRS[6:], "left_heel", "right_heel", "left_foot_index", "right_foot_index"),
        "-y",
    ),
}
"""Microsoft Kinect v1 (SDK order; ``utd_mhad`` has the same joints in UTD-MHAD's order) and v2, COCO, OpenPose's
BODY_25, and MediaPipe's (BlazePose) landmarks. Left and right are the person's own."""

_RECIPES: dict[str, tuple[tuple[str, ...], ...]] = {
    "pelvis": (("left_hip", "right_hip"),),
    "neck": (("left_shoulder", "right_shoulder"),),
    "head": (("left_ear", "right_ear"), ("nose",)),
    **{f"{s}_hand": ((f"{s}_index", f"{s}_pinky"),) for s in ("left", "right")},
    **{f"{s}_foot": ((f"{s}_foot_index",), (f"{s}_big_toe",)) for s in ("left", "right")},
}
"""Common joints that a layout may lack, as means of others; among several recipes, the first with all joints seen.
Pelvis and neck are always means, because devices place joints of these names at different heights."""

BONES: tuple[tuple[str, str, float], ...] = (
    ("pelvis", "neck", 1.0),
    ("neck", "head", 0.406),
    *(
        (f"{side}_{a}" if a not in ("neck", "pelvis") else a, f"{side}_{b}", length)
        for side in ("left", "right")
        for a, b, length in (
            ("neck", "shoulder", 0.450),
            ("shoulder", "elbow", 0.646),
            ("elbow", "wrist", 0.507),
            ("wrist", "hand", 0.188),
            ("pelvis", "hip", 0.332),
            ("hip", "knee", 0.851),
            ("knee", "ankle", 0.854),
            ("ankle", "foot", 0.264),
        )
    ),
)
"""Bones from the pelvis outwards, and their lengths in torso lengths, of an average body: Drillis and Contini 1966, as
in Winter, "Biomechanics and Motor Control of Human Movement", fig. 4.1 (hand and foot: half the segment; head: from the
shoulders' height to the middle of the head)."""


def layout_of(joints: int, names: Sequence[str] = (), wanted: str = "auto") -> tuple[Layout, tuple[str, ...]]:
    """The layout that is wanted, or the one that fits the joints' names or number, and the names in their order.

    Raises:
        ConfigError: no such layout, it has another number of joints, or several layouts have this number.

    >>> layout_of(17)[1][0], layout_of(33)[0].up
    ('nose', '-y')
    """
    if wanted != "auto":
        if wanted not in LAYOUTS:
            raise ConfigError(f"skeleton.layout: there is no layout {wanted!r}. {suggest(wanted, LAYOUTS)}")
        found = [wanted] if len(LAYOUTS[wanted].joints) == joints else []
        if not found:
            n = len(LAYOUTS[wanted].joints)
            raise ConfigError(f"skeleton.layout: {wanted} has {n} joints, but the poses have {joints}.")
        return LAYOUTS[wanted], LAYOUTS[wanted].joints
    own = [_key(name) for name in names]
    # Largest first: the names of a small layout may all occur in a large one.
    for layout in sorted(LAYOUTS.values(), key=lambda one: -len(one.joints)):
        known = {_key(j): j for j in layout.joints}
        if len(own) == joints and set(known) <= set(own):
            return layout, tuple(known.get(k, name) for k, name in zip(own, names))
    found = [name for name, layout in LAYOUTS.items() if len(layout.joints) == joints]
    if len(found) != 1:
        which = f"{' or '.join(found)} has" if found else "no layout has"
        raise ConfigError(f"skeleton.layout: {which} {joints} joints. Name one of: {', '.join(LAYOUTS)}.")
    return LAYOUTS[found[0]], LAYOUTS[found[0]].joints


def _key(name: str) -> frozenset[str]:
    """A name as a set of words, independent of order and spelling: ``ShoulderLeft`` equals ``left_shoulder``."""
    spaced = "".join(f"_{c.lower()}" if c.isupper() else c for c in name).replace("center", "centre")
    return frozenset(spaced.replace(" ", "_").replace("-", "_").split("_")) - {""}


def common_joints(points: Points, joints: Sequence[str]) -> Points:
    """Points [n, joints, axes] as the `COMMON` joints, [n, 19, axes]; NaN where a layout lacks a joint.

    >>> body = np.arange(34.0).reshape(1, 17, 2)
    >>> common_joints(body, LAYOUTS["coco17"].joints)[0, 0].tolist()  # between the hips
    [23.0, 24.0]
    """
    place = {name: i for i, name in enumerate(joints)}
    out = np.full((len(points), len(COMMON), points.shape[2]), np.nan)
    for c, name in enumerate(COMMON):
        own = [(name,)] if name in place else []
        for recipe in [*own, *_RECIPES.get(name, ())] if name not in ("pelvis", "neck") else [*_RECIPES[name], *own]:
            if set(recipe) <= set(place):
                # NaN if any joint of the recipe is unseen, so that the next recipe gets its turn.
                mean = points[:, [place[j] for j in recipe]].mean(1)
                out[:, c] = np.where(np.isnan(out[:, c]).any(1, keepdims=True), mean, out[:, c])
    return out
