"""Points of faces, bodies and hands in a picture: a detector finds where to look, a second net places the points.

One file per pair of nets. The nets are those of the MediaPipe models (Apache-2.0), run by LiteRT:
Bazarevsky et al. 2019, "BlazeFace" (arXiv:1907.05047); Kartynnik et al. 2019, "Real-time facial surface geometry from
monocular video on mobile GPUs" (arXiv:1907.06724); Bazarevsky et al. 2020, "BlazePose" (arXiv:2006.10204); Zhang et
al. 2020, "MediaPipe Hands" (arXiv:2006.10214).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from plait.core.errors import need
from plait.transforms.landmarks.nets import Net
from plait.transforms.landmarks.region import Region

__all__ = ["Found", "Landmarker", "logistic"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Found:
    """What the second net sees in a region.

    Attributes:
        points: [n, 3], x to the right and y down in pixels of the picture, z away from the camera in the same unit.
        sure: confidence of each point, [n], 0 to 1.
        score: probability that the region shows what is looked for.
        region: where to look in the next picture.
        left: probability that it is a left one (of hands).
    """

    points: Array
    sure: Array
    score: float
    region: Region
    left: float = 0.5


class Landmarker(ABC):
    """A detector and a net of points; subclasses are one file each.

    Args:
        models: see `plait.transforms.landmarks.nets.model_file`.
    """

    files: ClassVar[tuple[str, ...]]
    """Names of its models, without ending."""

    names: ClassVar[tuple[str, ...]]
    """Names of the points in their order."""

    count: ClassVar[int] = 1
    """How many things of this sort are followed at once."""

    def __init__(self, models: str | Path | None = None) -> None:
        self.nets = {name: Net(name, models) for name in self.files}

    def check(self) -> None:
        """Raise `MissingExtra` or `ConfigError` if LiteRT or a model is missing."""
        need("ai_edge_litert", "keypoints", "finding keypoints")
        for net in self.nets.values():
            _ = net.file

    @abstractmethod
    def detect(self, picture: NDArray[np.uint8]) -> list[Region]:
        """Where in a picture [height, width, 3] to look for points, most prominent first."""

    @abstractmethod
    def look(self, picture: NDArray[np.uint8], region: Region) -> Found:
        """The points in a region."""

    def placed(self, found: Sequence[Found]) -> tuple[Array, Array]:
        """Points [n, 3] and confidences [n] of all that was found, in the order of `names`; NaN and 0 of the rest."""
        if not found:
            return np.full((len(self.names), 3), np.nan), np.zeros(len(self.names))
        return found[0].points, found[0].sure


def logistic(x: NDArray[np.floating]) -> Array:
    """1 / (1 + exp(-x)), without overflow."""
    return np.asarray(0.5 * (1 + np.tanh(0.5 * np.asarray(x, np.float64))))
