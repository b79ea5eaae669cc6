"""Scenes: shots that belong together because the same pictures come back."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np

from plait.core.errors import ConfigError
from plait.segment.shots import Looks, look_at
from plait.streams.stream import Stream

__all__ = ["find_scenes"]

BACK = 8
"""Number of previous shots that a shot is compared with."""

PICTURES = 5
"""Number of evenly spread pictures that describe a shot."""


def find_scenes(
    stream: Stream, shots: Sequence[tuple[float, float]], *, alike: float = 0.6, within: float = 120.0
) -> list[int]:
    """The number of each shot's scene, from 0, in order.

    A shot that resembles one of the last `BACK` shots joins all shots in between into one scene (overlapping links:
    Hanjalic, Lagendijk and Biemond, "Automated high-level movie segmentation for advanced video-retrieval systems",
    IEEE Trans. Circuits and Systems for Video Technology 1999). Two shots resemble each other if any two of their
    pictures do (departure: by colours per quarter and structure, as for shot boundaries, not by matched blocks).

    Args:
        stream: the pictures.
        shots: (start, stop) of each shot, seconds, in order.
        alike: largest dissimilarity of pictures of one scene, 0..3.
        within: largest distance of two linked shots, seconds.

    Raises:
        ConfigError: ``alike`` or ``within`` is not above 0.
    """
    if not (alike > 0 and within > 0):
        raise ConfigError(f"scenes: alike {alike}, within {within}; expected above 0.")
    recent: deque[tuple[int, float, Looks]] = deque(maxlen=BACK)
    reach = list(range(len(shots)))  # the last shot that each is linked to
    for number, (start, stop) in enumerate(shots):
        own = _described(stream, start, stop)
        if own is None:
            continue
        for other, ended, looks in recent:
            if start - ended <= within and _unlike(looks, own) <= alike:
                reach[other] = number
        recent.append((number, stop, own))
    scenes, scene, bound = [], 0, 0
    for number in range(len(shots)):
        if number > bound:
            scene += 1
        bound = max(bound, reach[number])
        scenes.append(scene)
    return scenes


def _described(stream: Stream, start: float, stop: float) -> Looks | None:
    part = stream.cut(start, stop)
    if not len(part):
        return None
    # Not the ends: there a gradual change mixes both shots.
    places = (np.linspace(0.1, 0.9, PICTURES) * len(part)).astype(int)
    own = [look_at(part[i : i + 1]) for i in np.unique(places).tolist()]
    return Looks(*(np.concatenate([getattr(o, name) for o in own]) for name in ("times", "colours", "thumbs", "fine")))


def _unlike(a: Looks, b: Looks) -> float:
    """The smallest dissimilarity between a picture of one and a picture of the other."""
    both = Looks(*(np.concatenate([getattr(x, n) for x in (a, b)]) for n in ("times", "colours", "thumbs", "fine")))
    i, j = np.divmod(np.arange(len(a) * len(b)), len(b))
    return float(both.apart(i, j + len(a)).min())
