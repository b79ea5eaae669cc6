"""Features: raw values -> numbers, one file per kind of signal. Torch is imported only when pretrained networks run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from fractions import Fraction
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from plait.core.errors import DataError
from plait.core.parts import parts
from plait.streams.clock import Clock
from plait.streams.stream import Stream
from plait.streams.warp import Warped, warped

__all__ = ["Feature", "default_feature"]


class Feature(ABC):
    """Raw stream -> features [n, dim] float32 and their clock.

    Options are keyword-only arguments of ``__init__``. Streams are processed in blocks: a two-hour stream is never in
    memory whole (its features may be). NaN in the output means not observed.
    """

    kinds: ClassVar[tuple[str, ...]]
    """Kinds of stream that the feature takes (keys of `plait.streams.stream.KINDS`)."""

    default_for: ClassVar[tuple[str, ...]] = ()
    """Kinds of stream for which the feature is the default."""

    causal: bool = True
    """Whether a feature at time t depends on nothing recorded after t + `receptive_field`. It may depend on options."""

    symbolic: ClassVar[bool] = False
    """Whether the numbers are ids, such as of a vocabulary: they are not standardised and get no noise, and only an
    encoder that is ``symbolic`` too reads them."""

    together: ClassVar[int] = 1
    """Rows that are computed at once: a row's last bits may depend on its place among them, so a piece of a stream has
    the bits of the whole only if it begins at a multiple of them."""

    version: ClassVar[int] = 1
    """Increase it when the numbers change, so that caches are rebuilt."""

    @property
    def receptive_field(self) -> float:
        """Half-width of the receptive field, seconds: how much of the stream around t a feature at t uses.

        Estimates from the whole recording (a mean, a scale) do not count; ``causal`` is then False.
        """
        return 0.0

    @property
    def rate(self) -> Fraction | None:
        """Observations per second of the features; None: the stream's own observations.

        The rate is nominal: if a device's clock is corrected by 50 ppm, its features' rate differs by as much; and a
        stream with fewer observations than requested keeps its own.
        """
        return None

    @abstractmethod
    def dim(self, shape: tuple[int, ...]) -> int:
        """Width of the features, given the shape of one raw observation."""

    @abstractmethod
    def compute(self, stream: Stream) -> tuple[NDArray[np.float32], Clock]:
        """Features [n, dim] and their clock (``len(clock) == n``).

        Raises:
            DataError: the feature does not take streams of this kind, rate or size.
        """

    def picture(self, dim: int) -> tuple[int, int, int] | None:
        """[height, width, channels] if a row of ``dim`` numbers is a flattened picture; else None."""
        return None

    def groups(self, dim: int) -> list[int]:
        """The group number of each column; columns of a group are normalised by one standard deviation.

        By default, each column is its own group.
        """
        # Coordinates of one body or sensor share one: divided each by its own, those that rest would become large.
        return list(range(dim))

    def files(self) -> list[Path]:
        """Files or folders (word vectors, a model) that the numbers depend on; caches depend on their bytes."""
        return []

    def notes(self) -> dict[str, int]:
        """Counts of what the last `compute` dropped, filled or could not match, by name; zeros are left out."""
        return {}

    def __call__(self, stream: Stream) -> tuple[NDArray[np.float32], Clock]:
        if stream.kind not in self.kinds:
            raise DataError(
                f"{stream.where or 'stream'}: {type(self).__name__} takes {' or '.join(self.kinds)}, "
                f"but the stream is {stream.kind}. Choose another feature for it."
            )
        own = stream.clock
        if isinstance(own, Warped):  # features need a regular clock: computed on that, and bent afterwards
            values, clock = self.compute(stream.on(own.base))
            return values, warped(clock, own.warp)
        return self.compute(stream)


def default_feature(kind: str) -> str:
    """The recipe name of the default feature for a kind of stream.

    Raises:
        DataError: the kind has no default feature.
    """
    for name, cls in parts(Feature).items():
        if kind in cls.default_for:
            return name
    raise DataError(f"there is no default feature for streams of {kind}. Name one in the recipe.")
