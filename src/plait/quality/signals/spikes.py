"""Single values that are far off."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from plait.quality.signals import Finding, Measure
from plait.streams.stream import Stream, Values

__all__ = ["Spikes", "lone"]

Floats = NDArray[np.float64]

SAMPLE = 4096
"""Values per block that a channel's standard deviation is estimated from."""


def lone(values: Floats, window: int) -> tuple[Floats, Floats]:
    """How far each of [n] values stands out alone, and the usual deviation of the values around it.

    The first is the smaller difference to the previous and the next value if both have the same sign. It is 0 where
    these two differ by more than a quarter of it from each other or from the values beyond them: a stroke or a
    heartbeat rises and falls in several steps, a glitch in one. The second is the 0.9 quantile of the distances from
    the running median of five, in stretches of ``window`` observations, divided by 1.645, which makes it the standard
    deviation of Gaussian values.

    >>> out, usual = lone(np.array([0, 1, 0, 1, 0, 50, 0, 1, 0, 1.0]), 10)
    >>> int(out.argmax()), float(out.max())
    (5, 50.0)
    """
    if len(values) < 5:
        return np.zeros(len(values)), np.ones(len(values))
    before, after = values - np.roll(values, 1), values - np.roll(values, -1)
    least = np.minimum(np.abs(before), np.abs(after))
    calm = np.maximum(np.abs(before - after), np.maximum(np.abs(np.roll(before, 1)), np.abs(np.roll(after, -1))))
    out = np.where((before * after > 0) & (calm <= least / 4), least, 0.0)
    out[[0, 1, -2, -1]] = 0.0
    padded = np.pad(values, 2, mode="reflect")
    away = np.abs(values - np.median(np.lib.stride_tricks.sliding_window_view(padded, 5), axis=1))
    # Not the median of the distances, as in the Hampel filter: a coarse or calm sensor would have a deviation of 0.
    pieces = np.array_split(away, max(len(values) // max(window, 5), 1))
    return out, np.concatenate([np.full(len(p), np.quantile(p, 0.9) / 1.645) for p in pieces])


class Spikes(Measure):
    """Single values far from their neighbours: bad from 0.05 %.

    Far means more than 8 times the usual deviation within 20 s, and more than 3 standard deviations of the channel
    (from its quartiles).
    """

    kinds = ("series", "pose")

    def __init__(self, stream: Stream) -> None:
        super().__init__(stream)
        self.suspects: dict[int, list[tuple[NDArray[np.int64], Floats]]] = {}
        self.samples: dict[int, list[Floats]] = {}
        self.total = 0

    def add(self, values: Values, first: int) -> None:
        table = np.asarray(values, np.float64).reshape(len(values), -1)
        self.total += table.size
        window = max(int(20 / self.step) if self.step else 0, 41)
        for channel, column in enumerate(table.T):
            rows = np.flatnonzero(np.isfinite(column))
            away, usual = lone(column[rows], window)
            odd = away > 8 * np.maximum(usual, 1e-12)
            # Judged at the end, when the spread of the whole channel is known.
            self.suspects.setdefault(channel, []).append((first + rows[odd], away[odd]))
            self.samples.setdefault(channel, []).append(column[rows][:: max(len(rows) // SAMPLE, 1)])

    def findings(self) -> Iterator[Finding]:
        count, worst = 0, (0.0, -1, -1)
        for channel, found in self.suspects.items():
            sample = np.concatenate(self.samples[channel])
            if len(sample) < 20:
                continue
            low, high = np.quantile(sample, [0.25, 0.75])
            spread = float(high - low) / 1.349
            rows, away = np.concatenate([r for r, _ in found]), np.concatenate([a for _, a in found])
            far = away > 3 * spread if spread > 0 else np.zeros(len(away), np.bool_)
            count += int(far.sum())
            if far.any() and float((away[far] / spread).max()) > worst[0]:
                best = int((away * far).argmax())
                worst = (float(away[best] / spread), channel, int(rows[best]))
        share = count / max(self.total, 1)
        at = self.seconds(worst[2]) if worst[1] >= 0 else None
        named = worst[1] >= 0 and self.stream.kind == "series"
        yield Finding("spikes", share, share >= 0.0005, at, channel=self.channel(worst[1]) if named else "")
