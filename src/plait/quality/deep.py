"""Read all values of a stream once, in blocks: NaN and infinite numbers, constant channels, truncated media."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from plait.core.errors import PlaitError
from plait.streams.stream import Stream, Values

__all__ = ["deep_check"]

_TOLD = 5
"""Most periods without observations that are named."""

_BLOCK = 4_000_000
"""Numbers per block."""


@dataclass
class _Seen:
    values: int = 0
    nan: int = 0
    inf: int = 0
    lost: list[tuple[int, int]] = field(default_factory=list)
    """Runs of unknown observations: first and past the last."""
    low: Values = field(default_factory=lambda: np.zeros(0))
    high: Values = field(default_factory=lambda: np.zeros(0))

    def add(self, block: Values, mask: NDArray[np.bool_], first: int) -> None:
        """Count one block, [n, ...], with its mask; extremes per channel, [channels]."""
        flat = block.reshape(len(block), -1)
        gone = ~mask if flat.dtype.kind != "f" else np.asarray(np.isnan(flat).all(1))
        self._lose(gone, first)
        flat = flat[mask]
        if not len(flat):
            return
        self.values += flat.size
        if flat.dtype.kind == "f":
            self.nan += int(np.isnan(flat).sum())
            self.inf += int(np.isinf(flat).sum())
        # fmin and fmax ignore NaN without the warnings of nanmin.
        low, high = np.fmin.reduce(flat, 0), np.fmax.reduce(flat, 0)
        self.low = np.fmin(self.low, low) if self.low.size else low
        self.high = np.fmax(self.high, high) if self.high.size else high

    def _lose(self, gone: NDArray[np.bool_], first: int) -> None:
        edges = np.flatnonzero(np.diff(gone, prepend=False, append=False)).reshape(-1, 2) + first
        for a, b in edges.tolist():
            # A run that goes on from the previous block.
            if self.lost and self.lost[-1][1] == a:
                a = self.lost.pop()[0]
            self.lost.append((a, b))


def deep_check(stream: Stream) -> tuple[list[str], list[str]]:
    """Problems and warnings of a stream's values, which are read in blocks.

    Infinite values, streams of NaN only and truncated media are problems. NaN means "not observed", so it is a
    warning; so is a channel that never changes.

    >>> deep_check(Stream.of([[1.0, 2.0], [np.nan, 2.0], [3.0, 5.0]], rate=1))
    ([], ['1 of 6 values are NaN: not observed.'])
    >>> deep_check(Stream.of([1.0, np.nan, np.nan, 5.0], rate=10))
    ([], ['2 of 4 values are NaN: not observed. Nothing is known from 0.100 to 0.300 s.'])
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
            seen.add(values, block.mask(), read)
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
        warnings.append(f"{seen.nan} of {seen.values} values are NaN: not observed.{_when(seen.lost, stream)}")
    elif seen.lost:
        n = sum(b - a for a, b in seen.lost)
        warnings.append(f"{n} of {len(stream)} pictures do not decode: not observed.{_when(seen.lost, stream)}")
    # Negated, so that a channel of NaN only counts as one that never changes.
    flat = np.flatnonzero(~(seen.low < seen.high))
    if len(stream) > 1 and len(flat):
        if len(flat) == seen.low.size:
            warnings.append(f"never changes: every value is {seen.low[0]:g} from first to last.")
        elif stream.kind != "frames":  # a black border is no fault of a film
            names = [stream.channels[i] if i < len(stream.channels) else str(i) for i in flat[:8]]
            warnings.append(f"{len(flat)} of {seen.low.size} channels never change ({', '.join(names)}).")
    return problems, warnings


def _when(runs: list[tuple[int, int]], stream: Stream) -> str:
    """The times of the longest periods without observations; '' if there are none."""
    if not runs:
        return ""
    longest = sorted(sorted(runs, key=lambda run: run[0] - run[1])[:_TOLD])
    times = [f"{_start(stream, a):.3f} to {_start(stream, b):.3f} s" for a, b in longest]
    more = f", and {len(runs) - len(longest)} shorter times" if len(runs) > len(longest) else ""
    return f" Nothing is known from {', from '.join(times)}{more}."


def _start(stream: Stream, i: int) -> float:
    """Start of observation i; past the last one, the end of the stream."""
    return float(stream.clock.times[i]) if i < len(stream) else float(stream.clock.stop)
