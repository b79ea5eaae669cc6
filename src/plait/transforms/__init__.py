"""Steps: preprocessing of a raw stream before its features are computed. One file per family; no torch here.

A step takes a stream and returns a stream: denoised, filled, cropped, registered, on another skeleton. It decodes
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
    computed when they are read, a block at a time. Reading in pieces gives the same values as reading at once.
    """

    kinds: ClassVar[tuple[str, ...]]
    """Kinds of stream that the step takes (keys of `plait.streams.stream.KINDS`)."""

    causal: bool = True
    """Whether an observation at t depends on nothing recorded after t + `receptive_field`. It may depend on options."""

    version: ClassVar[int] = 1
    """Increase it when the numbers change, so that caches are rebuilt."""

    @property
    def receptive_field(self) -> float:
        """Half-width of the receptive field, seconds. Estimates from the whole stream do not count; ``causal`` is then
        False."""
        return 0.0

    @abstractmethod
    def apply(self, stream: Stream) -> Stream:
        """The changed stream.

        Raises:
            DataError: the step cannot work on the stream's rate, size or content.
        """

    def files(self) -> list[Path]:
        """Files (a model, a reference picture) that the numbers depend on; caches depend on their bytes."""
        return []

    def notes(self) -> dict[str, int]:
        """Counts of what the last `apply` filled, dropped or could not find, by name; zeros are left out."""
        return {}

    def __call__(self, stream: Stream) -> Stream:
        if stream.kind not in self.kinds:
            raise DataError(
                f"{stream.where or 'stream'}: {type(self).__name__} takes {' or '.join(self.kinds)}, "
                f"but the stream is {stream.kind}. Choose another step for it."
            )
        return self.apply(stream)


def apply_steps(stream: Stream, steps: Sequence[Spec], where: str = "steps") -> Stream:
    """The stream after all steps, which are named as in a recipe.

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
