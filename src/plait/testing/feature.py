"""The laws of features."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from plait.features import Feature
from plait.prediction.feature_ring import FeatureRing
from plait.prediction.inbox import Rows
from plait.streams.clock import Clock, Grid
from plait.streams.stream import Stream
from plait.testing.laws import require
from plait.testing.streams import changed, check_kinds, edges, for_kinds, same

__all__ = ["check_feature"]

CUTTINGS = 3
"""Ways in which a stream is cut into pieces."""


def check_feature(cls: type[Feature], *streams: Stream, **options: object) -> None:
    """Check the laws of a feature.

    Kinds (it takes the kinds that it lists, and refuses others with a `DataError`); shape (float32 rows, as many as its
    clock has, as wide as `dim` says, none infinite); place (rows lie within the stream); rate (the clock runs at the
    declared `rate`); inputs (the stream is not changed, and gives the same rows again); emptiness (an empty stream
    gives no rows); times (a stream shifted by 64 s has the same rows, shifted by 64 s); receptive field (if it is
    ``causal``, values outside the field change no row); pieces (then, of a stream with a rate that is cut anywhere, the
    rows are the same: `plait.prediction.feature_ring`).

    Args:
        cls: the class, constructed as ``cls(**options)``.
        streams: to test it on; by default a random one of each kind that it takes.
        options: its options.

    Raises:
        LawBroken: which law, and how.

    >>> from plait.features.series import Statistics
    >>> check_feature(Statistics, window=2.0)
    """
    feature = cls(**options)
    check_kinds(cls, feature, cls.kinds)
    for stream in for_kinds(cls, streams):
        before = np.array(stream.read())
        values, clock = feature(stream)
        _check_rows(cls, feature, stream, values, clock)
        again, _ = feature(stream)
        kept = same(again, values) and same(stream.read(), before)
        require(kept, cls, "inputs", "it changes the stream, or gives other rows the second time")
        none, empty = feature(stream[:0])
        bare = none.shape == (0, values.shape[1]) and len(empty) == 0
        require(bare, cls, "emptiness", f"for an empty stream it gives {none.shape}; expected no rows")
        moved, later = feature(stream.on(stream.clock.corrected(offset=64.0)))
        kept = same(moved, values) and np.allclose(later.times, clock.times + 64, atol=1e-6)
        require(kept, cls, "times", "64 s later it gives other rows, or at other times")
        if feature.causal:
            _check_field(cls, feature, stream, values, clock)
            if isinstance(stream.clock, Grid):
                _check_pieces(cls, feature, stream, values, clock)


def _check_rows(cls: type, feature: Feature, stream: Stream, values: NDArray[np.generic], clock: Clock) -> None:
    size = (len(clock), feature.dim(stream.source.shape))
    right = values.shape == size and values.dtype == np.float32
    require(right, cls, "shape", f"rows {values.shape} {values.dtype}; expected {size} float32")
    require(not np.isinf(values).any(), cls, "shape", "rows are infinite")
    require(len(clock) > 0, cls, "shape", "it gives no rows")
    begin, end = edges(stream)
    inside = clock.times[0] >= begin[0] - 1e-6 and clock.times[-1] <= max(end[-1], stream.clock.stop) + 1e-6
    require(bool(inside), cls, "place", f"rows from {clock.times[0]:g} to {clock.times[-1]:g} s leave the stream")
    if feature.rate is not None and isinstance(clock, Grid):
        require(clock.rate == feature.rate, cls, "rate", f"{clock.rate} rows a second; it declares {feature.rate}")
    if feature.rate is None:
        own = abs(len(clock) - len(stream)) <= 1
        require(own, cls, "rate", f"{len(clock)} rows of {len(stream)} observations; it declares the stream's own")


def _check_field(cls: type, feature: Feature, stream: Stream, values: NDArray[np.generic], clock: Clock) -> None:
    begin, end = edges(stream)
    for row in np.random.default_rng(0).integers(0, len(clock), 3):
        t, far = clock.times[row], feature.receptive_field + 1e-9
        outside = (begin > t + far) | (end < t - far)
        others, _ = feature(changed(stream, outside))
        kept = others.shape == values.shape and same(others[row], values[row])
        require(kept, cls, "receptive field", f"what is more than {far:g} s off changes the row at {t:g} s")


def _check_pieces(cls: type, feature: Feature, stream: Stream, values: NDArray[np.generic], clock: Clock) -> None:
    rng, rate, raw = np.random.default_rng(0), stream.clock.rate, stream.read()  # type: ignore[attr-defined]
    ring, phase = FeatureRing(feature, rate, stream.where or "stream"), stream.clock.start_exact  # type: ignore[attr-defined]
    for _ in range(CUTTINGS):
        edges = np.unique([0, *rng.integers(0, len(stream) + 1, 8), len(stream)])
        state, found = None, []
        for lo, hi in pairwise(edges):
            rows = Rows(np.arange(lo, hi), raw[lo:hi])
            state, piece = ring.advance(state, rows, phase, last=hi == len(stream))
            found.append(piece)
        got, times = (np.concatenate(parts) for parts in zip(*found))
        kept = got.shape == values.shape and np.allclose(times, clock.times, rtol=0, atol=1e-6)
        # the last bits only where a signal is resampled
        size = np.nanmax(np.abs(values), initial=1.0)
        kept = kept and np.allclose(got, values, rtol=0, atol=1e-5 * size, equal_nan=True)
        require(kept, cls, "pieces", f"cut before {edges[1:-1].tolist()}, it gives other rows than at once")
