"""Features: raw values -> numbers, one file a kind of signal. No torch here but in `pretrained`."""

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
    """Raw stream -> features [n, dim] float32 and the clock that says when each holds.

    Options are keyword-only arguments of ``__init__``. Work goes in blocks: a two-hour stream is never in
    memory whole (its features may be). NaN in the output means: not observed.
    """

    kinds: ClassVar[tuple[str, ...]]
    """Kinds of stream that it takes (keys of `plait.streams.stream.KINDS`)."""

    default_for: ClassVar[tuple[str, ...]] = ()
    """Kinds of stream for which it is the default."""

    causal: bool = True
    """Whether a feature at time t depends on nothing recorded after t + `receptive_field`. Options may decide it."""

    version: ClassVar[int] = 1
    """Raise it when the numbers change, so that caches are made anew."""

    @property
    def receptive_field(self) -> float:
        """Half-width of the receptive field, seconds: how much of the stream around t a feature at t sees.

        What is learnt from the whole recording (a mean, a scale) is not counted: ``causal`` is False then.
        """
        return 0.0

    @property
    def rate(self) -> Fraction | None:
        """Observations a second of the features; None: those of the stream itself, whatever they are.

        It is nominal: a device whose clock is corrected by 50 ppm has features at a rate that is as much off, and
        a stream with fewer observations than asked for keeps its own.
        """
        return None

    @abstractmethod
    def dim(self, shape: tuple[int, ...]) -> int:
        """Width of the features, given the shape of one raw observation."""

    @abstractmethod
    def compute(self, stream: Stream) -> tuple[NDArray[np.float32], Clock]:
        """Features [n, dim] and their clock (``len(clock) == n``).

        Raises:
            DataError: the stream is of a kind, rate or size that it does not take.
        """

    def picture(self, dim: int) -> tuple[int, int, int] | None:
        """[height, width, channels] of the picture that a row of ``dim`` numbers is, flattened; None: it is none."""
        return None

    def groups(self, dim: int) -> list[int]:
        """For each column the number of its group: those of a group are divided by one deviation. Default: none share.

        Coordinates of one body or sensor belong together: divided each by its own, still ones would be blown up.
        """
        return list(range(dim))

    def files(self) -> list[Path]:
        """Files or folders (word vectors, a model) that the numbers depend on; caches follow their bytes."""
        return []

    def notes(self) -> dict[str, int]:
        """What the last `compute` dropped, filled or could not match, counted by name; zeros are left out."""
        return {}

    def __call__(self, stream: Stream) -> tuple[NDArray[np.float32], Clock]:
        if stream.kind not in self.kinds:
            raise DataError(
                f"{stream.where or 'stream'}: {type(self).__name__} takes {' or '.join(self.kinds)}, "
                f"but the stream is {stream.kind}. Choose another feature for it."
            )
        own = stream.clock
        if isinstance(own, Warped):  # computed on the regular clock, bent afterwards
            values, clock = self.compute(stream.on(own.base))
            return values, warped(clock, own.warp)
        return self.compute(stream)


def default_feature(kind: str) -> str:
    """The recipe name of the feature used for a kind of stream unless the recipe names another.

    Raises:
        DataError: there is none.
    """
    for name, cls in parts(Feature).items():
        if kind in cls.default_for:
            return name
    raise DataError(f"there is no default feature for streams of {kind}. Name one in the recipe.")
