"""Reading all values of a stream once, in blocks: what is not a number, what is flat, what breaks off."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plait.errors import PlaitError
from plait.streams.stream import Stream

__all__ = ["deep_check"]

_BLOCK = 4_000_000
"""Numbers read at once."""


@dataclass
class _Seen:
    values: int = 0
    nan: int = 0
    inf: int = 0
    low: NDArray[Any] = field(default_factory=lambda: np.zeros(0))
    high: NDArray[Any] = field(default_factory=lambda: np.zeros(0))

    def add(self, block: NDArray[Any]) -> None:
        """Count one block, [n, ...]; extremes by channel, [channels]."""
        flat = block.reshape(len(block), -1)
        self.values += flat.size
        if flat.dtype.kind == "f":
            self.nan += int(np.isnan(flat).sum())
            self.inf += int(np.isinf(flat).sum())
        low, high = np.fmin.reduce(flat, 0), np.fmax.reduce(flat, 0)
        self.low = np.fmin(self.low, low) if self.low.size else low
        self.high = np.fmax(self.high, high) if self.high.size else high


def deep_check(stream: Stream) -> tuple[list[str], list[str]]:
    """Problems and warnings of a stream's values, read in blocks; [n, ...] is never in memory whole.

    Infinite values, streams without any number and media that break off are problems. NaN means "not
    observed", so it is counted as a warning; so is a channel that never changes.

    >>> deep_check(Stream.of([[1.0, 2.0], [np.nan, 2.0], [3.0, 5.0]], rate=1))
    ([], ['1 of 6 values are NaN: not observed.'])
    """
    if stream.kind == "words":
        return _words(stream)
    seen, read = _Seen(), 0
    size = max(1, _BLOCK // max(1, math.prod(stream.shape[1:])))
    try:
        for block in stream.blocks(size):
            values = block.read()
            if len(values) != len(block):
                return [f"only {read + len(values)} of {len(stream)} observations can be read. Copy the file anew."], []
            seen.add(values)
            read += len(values)
    except PlaitError as error:
        return list(error.problems), []
    return _verdict(seen, stream)


def _words(stream: Stream) -> tuple[list[str], list[str]]:
    try:
        texts = stream.read()
    except PlaitError as error:
        return list(error.problems), []
    empty = sum(not str(text).strip() for text in texts)
    return [], [f"{empty} of {len(texts)} texts are empty."] if empty else []


def _verdict(seen: _Seen, stream: Stream) -> tuple[list[str], list[str]]:
    problems, warnings = [], []
    if seen.values and seen.nan == seen.values:
        return ["every value is NaN: nothing was observed. Remove the stream."], []
    if seen.inf:
        problems.append(
            f"{seen.inf} of {seen.values} values are infinite. Correct them, or write NaN for what was not observed."
        )
    if seen.nan:
        warnings.append(f"{seen.nan} of {seen.values} values are NaN: not observed.")
    flat = np.flatnonzero(~(seen.low < seen.high))
    if len(stream) > 1 and len(flat):
        if len(flat) == seen.low.size:
            warnings.append(f"never changes: every value is {seen.low[0]:g} from first to last.")
        elif stream.kind != "frames":  # a black border is no fault of a film
            names = [stream.channels[i] if i < len(stream.channels) else str(i) for i in flat[:8]]
            warnings.append(f"{len(flat)} of {seen.low.size} channels never change ({', '.join(names)}).")
    return problems, warnings
