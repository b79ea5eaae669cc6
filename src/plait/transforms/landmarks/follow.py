"""From picture to picture: what was found is looked for where it was, and the detector runs only when it is lost."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from plait.transforms.landmarks import Found, Landmarker
from plait.transforms.landmarks.region import Region

__all__ = ["follow"]

SAME = 0.4
"""Regions whose centres are closer than this, in sides of the smaller, show the same thing."""


def follow(
    nets: Landmarker, picture: NDArray[np.uint8], before: Sequence[Found], least: float = 0.5
) -> tuple[list[Found], bool]:
    """What is seen in a picture, and whether the detector ran: only if less is left than the nets can follow.

    Bazarevsky et al. 2020, section 2.1, and Zhang et al. 2020, section 2: the region comes from the points of the
    picture before, and is given up if the score is below a threshold.

    Args:
        picture: [height, width, 3].
        before: what was seen in the picture before, or nothing.
        least: the score below which a thing is not there.
    """
    found = _kept(nets, picture, [one.region for one in before], [], least, again=False)
    if len(found) >= nets.count:
        return found, False
    return _kept(nets, picture, nets.detect(picture), found, least, again=True), True


def _kept(
    nets: Landmarker,
    picture: NDArray[np.uint8],
    regions: Sequence[Region],
    found: Sequence[Found],
    least: float,
    again: bool,
) -> list[Found]:
    kept = list(found)
    for region in regions:
        if len(kept) == nets.count:
            break
        if any(region.apart(one.region) < SAME for one in kept):
            continue
        one = nets.look(picture, region)
        if again and one.score >= least:
            # A detector's region is rough; that of the points fits better.
            one = max(nets.look(picture, one.region), one, key=lambda seen: seen.score)
        if one.score >= least and not any(one.region.apart(other.region) < SAME for other in kept):
            kept.append(one)
    return kept
