"""Black, overexposed and frozen pictures."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from plait.quality.signals import Finding, Measure, runs_of
from plait.streams.stream import Stream, Values

__all__ = ["Exposure", "Frozen"]


def _thin(values: NDArray[np.generic]) -> NDArray[np.float32]:
    """Grey pictures subsampled to about 64 x 64 pixels, [n, height, width], 0 to 255."""
    high, wide = (max(size // 64, 1) for size in values.shape[1:3])
    few: NDArray[np.float32] = values[:, ::high, ::wide].astype(np.float32).mean(-1)
    return few if values.dtype.kind in "iu" else few * np.float32(255)


class _OfPictures(Measure):
    kinds = ("frames",)

    def share(self, what: str, true: list[NDArray[np.bool_]], bad: float, long: float) -> Finding:
        """The share of pictures with the property; bad from a share, or from a run of ``long`` seconds."""
        every = np.concatenate([np.zeros(0, np.bool_), *true])
        first, last = runs_of(every)
        if not len(first):
            return Finding(what, 0.0, bad=False)
        longest = int((last - first).argmax())
        seconds, share = float((last - first)[longest] * self.step), float(every.mean())
        return Finding(what, share, share >= bad or seconds >= long, self.seconds(int(first[longest])), seconds)


class Exposure(_OfPictures):
    """Black and overexposed pictures: bad from 1 %, or for half a second.

    A picture is black if 95 % of its pixels are below 20 of 255, and overexposed if half of them are above 249.
    """

    def __init__(self, stream: Stream) -> None:
        super().__init__(stream)
        self.black: list[NDArray[np.bool_]] = []
        self.burnt: list[NDArray[np.bool_]] = []

    def add(self, values: Values, first: int) -> None:
        grey = _thin(values)
        self.black.append((grey < 20).mean((1, 2)) >= 0.95)
        self.burnt.append((grey > 249).mean((1, 2)) >= 0.5)

    def findings(self) -> Iterator[Finding]:
        yield self.share("black", self.black, 0.01, 0.5)
        yield self.share("overexposed", self.burnt, 0.01, 0.5)


class Frozen(_OfPictures):
    """Pictures that repeat the previous one in a moving film: bad from 1 %, or for half a second.

    A picture repeats if its mean difference is below 0.02 grey levels. A film moves if a tenth of its pictures differ
    by more than 0.2.
    """

    def __init__(self, stream: Stream) -> None:
        super().__init__(stream)
        self.change: list[NDArray[np.float32]] = []
        self.last: NDArray[np.float32] | None = None

    def add(self, values: Values, first: int) -> None:
        grey = _thin(values)
        if not len(grey):
            return
        # The first picture of all must not count as a repetition.
        whole = np.concatenate([grey[:1] + 255 if self.last is None else self.last[None], grey])
        self.change.append(np.abs(np.diff(whole, axis=0)).mean((1, 2)))
        self.last = grey[-1]

    def findings(self) -> Iterator[Finding]:
        every = np.concatenate([np.zeros(0, np.float32), *self.change])
        moves = len(every) > 1 and float(np.quantile(every[1:], 0.9)) > 0.2
        yield self.share("frozen", [every < 0.02] if moves else [], 0.01, 0.5)
