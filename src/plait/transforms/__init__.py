"""Steps: what is done to a raw stream before its features are taken. One file a family; no torch here.

A step takes a stream and gives a stream: denoised, filled, cropped, registered, on another skeleton. It decodes
nothing until the result is read, so a two-hour video is never in memory whole. A recipe names steps in order::

    streams:
      voice: {steps: [denoise], feature: log_mel}
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from plait.core.errors import DataError
from plait.core.parts import Spec, build
from plait.streams.stream import Stream

__all__ = ["Step", "apply_steps"]


class Step(ABC):
    """Raw stream -> raw stream. Options are keyword-only arguments of ``__init__``.

    The result is lazy: `apply` may look at a part of the stream (to find a face, to measure noise), but values are
    made when they are read, a block at a time, and reading in pieces gives what reading at once gives.
    """

    kinds: ClassVar[tuple[str, ...]]
    """Kinds of stream that it takes (keys of `plait.streams.stream.KINDS`)."""

    causal: bool = True
    """Whether an observation at t depends on nothing recorded after t + `receptive_field`. Options may decide it."""

    version: ClassVar[int] = 1
    """Raise it when the numbers change, so that caches are made anew."""

    @property
    def receptive_field(self) -> float:
        """Half-width of the receptive field, seconds. What is learnt from the whole stream is not counted:
        ``causal`` is False then."""
        return 0.0

    @abstractmethod
    def apply(self, stream: Stream) -> Stream:
        """The changed stream.

        Raises:
            DataError: the stream is of a rate, size or content that it cannot work on.
        """

    def files(self) -> list[Path]:
        """Files (a model, a reference picture) that the numbers depend on; caches follow their bytes."""
        return []

    def notes(self) -> dict[str, int]:
        """What the last `apply` filled, dropped or could not find, counted by name; zeros are left out."""
        return {}

    def __call__(self, stream: Stream) -> Stream:
        if stream.kind not in self.kinds:
            raise DataError(
                f"{stream.where or 'stream'}: {type(self).__name__} takes {' or '.join(self.kinds)}, "
                f"but the stream is {stream.kind}. Choose another step for it."
            )
        return self.apply(stream)


def apply_steps(stream: Stream, steps: Sequence[Spec], where: str = "steps") -> Stream:
    """A stream after each of the steps in turn, each named as in a recipe.

    Raises:
        ConfigError: there is no such step, or it has no such option.
        DataError: a step cannot work on the stream.

    >>> import numpy as np
    >>> apply_steps(Stream.of(np.zeros((4, 1)), rate=1), []).shape
    (4, 1)
    """
    for i, spec in enumerate(steps):
        stream = build(Step, spec, where=f"{where}.{i}")(stream)
    return stream
