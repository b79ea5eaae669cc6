"""A join in progress: the values of one stream on another clock, a block at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cached_property
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from plait.align.join_clock import At, observations, typical_step, wanted
from plait.align.join_count import Counter
from plait.align.join_coverage import Coverage
from plait.align.join_gather import gathering
from plait.align.join_point import POINT, Picked, Window
from plait.align.join_spline import KNOTS
from plait.core.errors import ConfigError, raise_all
from plait.core.parts import suggest
from plait.streams.clock import Clock, Spans
from plait.streams.stream import Stream, Values, mask_of

__all__ = ["How", "Joining", "Piece"]

How = Literal["nearest", "linear", "cubic", "hold", "mean", "sum", "max", "min", "first", "last", "count"]

Times = NDArray[np.float64]
Index = NDArray[np.int64]
Mask = NDArray[np.bool_]

BLOCK = 1 << 23
"""Bytes of values per block; about the size of a processor's cache."""

ROWS = 8192
"""Most rows of the result per block."""

METHODS, PLACES = get_args(How), get_args(At)
ALL = np.broadcast_to(np.True_, (1, 1))
LOOK_AHEAD = ("nearest", "linear", "cubic")
OF_TEXTS = ("nearest", "hold", "first", "last", "count")


class Piece(NamedTuple):
    """Consecutive rows of a join: their numbers, values [k, ...] and mask [k, ...]."""

    rows: slice
    values: Values
    mask: Mask


class Joining:
    """A join in progress: iterate over its pieces, in the order of the rows; then read its ``coverage``.

    For results that are written piece by piece. Arguments are those of `join`; ``block`` is the number of bytes of
    values per block, and changes no result.

    >>> work = Joining(Spans([0.0, 1.0], [1.0, 2.0]), Stream.of(np.arange(20.0), rate=10), "max")
    >>> [piece.values.ravel().tolist() for piece in work], work.coverage.matched
    ([[9.0, 19.0]], 2)
    """

    def __init__(
        self,
        left: Clock | Stream,
        right: Stream,
        how: How = "mean",
        *,
        max_gap: float | None = None,
        causal: bool = False,
        at: At | None = None,
        receptive_field: float = 0.0,
        block: int = BLOCK,
    ) -> None:
        self.left = left.clock if isinstance(left, Stream) else left
        self.how, self.causal = how, causal
        self.at: At = at or ("stop" if causal else "middle")
        raise_all(ConfigError, _problems(self, right, max_gap, receptive_field))
        # Causal: a span is known only when it stops. Otherwise it counts in the interval that it begins in.
        stand: At = "stop" if causal else "middle" if how in ("nearest", "linear", "cubic") else "start"
        self.clock = observations(right.clock, stand, holds=how == "hold" and not causal)
        self.right, self.width = right, math.prod(right.source.shape)  # numbers an observation
        self._rows_at_once = max(block // (4 * max(self.width, 1)), 1)
        step = typical_step(right.clock, causal)
        self.gap = 4 * step if max_gap is None else max_gap
        # A causal join waits for what a feature looks ahead; any other only reports it.
        self.delay = receptive_field if causal else 0.0
        self.counter = Counter(self.clock, self.width, how, self.gap, step, receptive_field)

    @cached_property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values."""
        if self.right.kind == "words":
            return np.dtype(np.float32 if self.how == "count" else object)
        if not len(self.right):
            return np.dtype(np.float32)
        own = self.right.source.read(self.right.first, self.right.first + 1).dtype
        return np.dtype(np.float32 if np.can_cast(own, np.float32, "safe") else np.float64)

    @property
    def coverage(self) -> Coverage:
        """The coverage so far."""
        return self.counter.result()

    def empty(self) -> tuple[Values, Mask]:
        """Empty arrays for values and mask [n, ...]."""
        shape = (len(self.left), *self.right.source.shape)
        return np.empty(shape, self.dtype), np.empty(shape, np.bool_)

    def __iter__(self) -> Iterator[Piece]:
        for rows, values, mask in self.raw():
            shape = (len(values), *self.right.source.shape)
            yield Piece(rows, values.astype(self.dtype, copy=False).reshape(shape), np.broadcast_to(mask, shape))

    def raw(self) -> Iterator[Piece]:
        """Pieces with flat values, [k, d] of any type, and the smallest mask that broadcasts, [k or 1, d or 1, ...]."""
        self.counter = self.counter.anew()
        rows, none = _Rows(self.right, self.clock.order), "" if self.dtype.kind == "O" else 0
        inner = self.right.source.shape
        for lo, values, mask in self._points(rows) if self.how in POINT else self._intervals(rows):
            # A mask of one cell for the usual case saves memory and later work.
            if mask.all():
                mask = ALL
            else:
                values = np.where(mask, values, none)
            mask = mask.reshape(-1, *(inner if mask.shape[1] == self.width else [1] * len(inner)))
            yield Piece(slice(lo, lo + len(values)), values, mask)

    def _intervals(self, rows: _Rows) -> Iterator[tuple[int, Values, Mask]]:
        most = min(self._rows_at_once, ROWS)
        for first in range(0, len(self.left), most):
            want = wanted(self.left, first, min(first + most, len(self.left)), self.at, self.causal)
            edges = np.concatenate([want.start, want.stop])
            edges = edges - self.delay if self.delay else edges
            lo, hi = self.clock.first(edges, want.after).reshape(2, -1)
            hi = np.maximum(hi, lo)
            masks = []
            for a, b in self._groups(lo, hi):
                values, mask = self._gathered(lo[a:b], hi[a:b], rows)
                yield first + a, values, mask
                masks.append(mask)
            width = max(mask.shape[1] for mask in masks)
            alike = [mask if mask.shape[1] == width else np.repeat(mask, width, 1) for mask in masks]
            mask = alike[0] if len(alike) == 1 else np.concatenate(alike)
            self.counter.intervals(want, lo, hi, mask)

    def _gathered(self, lo: Index, hi: Index, rows: _Rows) -> tuple[Values, Mask]:
        """Values of the intervals of observations lo..hi, and which are known."""
        gathered = gathering(self.how, hi - lo, self.width)
        for some, part, first, last in _runs(lo, hi, self._rows_at_once):
            gathered.add(some, rows.read(part.start, part.stop), first - part.start, last - part.start)
        return gathered.result()

    def _groups(self, lo: Index, hi: Index) -> Iterator[tuple[int, int]]:
        """Runs of intervals that fit into a block; long or strongly overlapping ones stay together."""
        size, first = self._rows_at_once, 0
        if len(self.clock) <= size:
            yield 0, len(lo)
            return
        furthest = np.maximum.accumulate(hi)
        # The end of a run is where the furthest stop passes the block, not the last one: intervals may be nested.
        while first < len(lo):
            last = int(np.searchsorted(furthest, lo[first] + size, "right"))
            if last < len(lo) and (last <= first or lo[last] - lo[first] < size // 2):
                last = len(lo)
            yield first, last
            first = last

    def _point_blocks(self) -> Iterator[tuple[int, int]]:
        """Runs of rows whose instants are close together."""
        lo, size = 0, self._rows_at_once
        while lo < len(self.left):
            hi = min(lo + min(size, ROWS), len(self.left))
            place = self.clock.first(wanted(self.left, lo, hi, self.at, self.causal).at)
            spread = np.maximum.accumulate(place) - np.minimum.accumulate(place)
            hi = lo + max(int(np.searchsorted(spread, size)), 1)
            yield lo, hi
            lo = hi

    def _points(self, rows: _Rows) -> Iterator[tuple[int, Values, Mask]]:
        for lo, hi in self._point_blocks():
            want = wanted(self.left, lo, hi, self.at, self.causal)
            at = want.at - self.delay
            # Most streams have no NaN: the fast way first, and only a NaN in its result costs the slow one.
            picked = self._picked(at, rows, clean=True)
            if picked.values.dtype.kind == "f" and not np.isfinite(picked.values).all():
                picked = self._picked(at, rows, clean=False)
            self.counter.points(want, at, picked.known, picked.latest)
            yield lo, picked.values, picked.known

    def _picked(self, at: Times, rows: _Rows, clean: bool) -> Picked:
        lo, hi = self._about(at, rows, clean)
        if hi > lo:
            return POINT[self.how](Window(rows.read(lo, hi), lo, self.clock, self.gap, clean), at)
        none = np.zeros((len(at), self.width))
        return Picked(none, none > 0, np.full(len(at), -np.inf))

    def _about(self, at: Times, rows: _Rows, clean: bool) -> tuple[int, int]:
        """The range of observations that some instants need; with NaN, enough that each channel has neighbours."""
        if not len(self.clock):
            return 0, 0
        if self.clock.lasts is not None:
            pick = self.clock.holding(at)
            return (int(pick[pick >= 0].min()), int(pick.max()) + 1) if (pick >= 0).any() else (0, 0)
        before, after = {"hold": (1, 0), "cubic": (KNOTS, KNOTS)}.get(self.how, (1, 1))
        first, last = self._places(at, 0.0)
        lo, hi = max(first - before, 0), min(last + after, len(self.clock))
        least, most = self._places(at, self.gap * max(before, after))
        while not clean:
            block = rows.read(lo, hi)
            short = lo > least and _fewer(block[: max(first - lo, 0)], before)
            ahead = hi < most and _fewer(block[max(last - lo, 0) :], after)
            if not (short or ahead):
                break
            # Doubled each time, so that long runs of NaN cost a logarithmic number of reads.
            more = hi - lo
            lo, hi = max(lo - more, least) if short else lo, min(hi + more, most) if ahead else hi
        return lo, hi

    def _places(self, at: Times, around: float) -> tuple[int, int]:
        """The first observation that is not before all instants, and the first after all, widened by some seconds."""
        if np.isinf(around):
            return 0, len(self.clock)
        first = self.clock.first(at.min(keepdims=True) - around)
        return int(first[0]), int(self.clock.first(at.max(keepdims=True) + around, after=True)[0])


def _fewer(block: Values, than: int) -> bool:
    """Whether any channel has fewer than ``than`` numbers in a block."""
    return bool((np.isfinite(block).sum(0) < than).any())


def _runs(lo: Index, hi: Index, size: int) -> Iterator[tuple[Index, slice, Index, Index]]:
    """Runs of at most ``size`` observations: the intervals with a part in the run, the run's observations, and where
    each part begins and ends."""
    held = (hi > lo).nonzero()[0]
    if len(held) < len(lo):
        lo, hi = lo[held], hi[held]
    begin, end = (int(lo[0]), int(hi.max())) if len(held) else (0, 0)
    if 0 < end - begin <= size:  # as a rule
        yield held, slice(begin, end), lo, hi
        return
    for p in range(begin, end, size):
        some = ((hi > p) & (lo < p + size)).nonzero()[0]
        if len(some):
            first, last = np.maximum(lo[some], p), np.minimum(hi[some], p + size)
            yield held[some], slice(int(first[0]), int(last.max())), first, last


def _problems(joining: Joining, right: Stream, max_gap: float | None, receptive_field: float) -> list[str]:
    """All problems of the arguments at once."""
    how = joining.how
    out: list[str] = []
    if how not in METHODS:
        return [f"how={how!r}: there is no such method. {suggest(str(how), METHODS)}"]
    if joining.at not in PLACES:
        out.append(f"at={joining.at!r}; expected one of {', '.join(PLACES)}.")
    if max_gap is not None and not max_gap > 0:
        out.append(f"max_gap={max_gap} s; expected above 0.")
    if not receptive_field >= 0:
        out.append(f"receptive_field={receptive_field} s; expected 0 or more.")
    if right.kind == "words" and how not in OF_TEXTS:
        out.append(f"how={how!r} is of numbers, but the stream is of words. Use {', '.join(OF_TEXTS)}, or a feature.")
    if not joining.causal:
        return out
    if how in LOOK_AHEAD:
        out.append(f"how={how!r} looks at later observations. Use 'hold' or an interval's where causal=True.")
    elif how != "hold" and isinstance(joining.left, Spans) and joining.at != "stop":
        out.append(f"how={how!r} over a span is known at its stop. Use at='stop', or how='hold', where causal=True.")
    if np.isinf(receptive_field):
        out.append("the stream depends on the whole recording. Use a feature that is causal where causal=True.")
    return out


class _Rows:
    """Rows of a stream as [k, d], read in order: rows that overlap with the last block are kept, not decoded again."""

    def __init__(self, stream: Stream, order: Index | None) -> None:
        self._stream = stream
        # Spans whose middles are not in order are rare and few, so all are read at once.
        self._all = _observed(stream.read(), stream.mask())[order] if order is not None else None
        self._kept: Values | None = None
        self._first = 0

    def read(self, lo: int, hi: int) -> Values:
        if self._all is not None:
            return self._flat(self._all[lo:hi])
        kept, first = self._kept, self._stream.first
        if kept is None or not self._first <= lo < self._first + len(kept):
            block = self._read(first + lo, first + hi)
        else:
            end = self._first + len(kept)
            block = kept[lo - self._first : hi - self._first]
            if hi > end:
                block = np.concatenate([block, self._read(first + end, first + hi)])
        # A view into an array costs nothing to take again.
        self._kept, self._first = (block if block.flags.owndata else None), lo
        return self._flat(block)

    def _read(self, lo: int, hi: int) -> Values:
        source = self._stream.source
        return _observed(source.read(lo, hi), mask_of(source, lo, hi))

    def _flat(self, values: Values) -> Values:
        return values.reshape(len(values), -1)


def _observed(values: Values, mask: Mask) -> Values:
    """The values, with NaN for observations that their own mask marks as lost (pictures)."""
    if mask.all():
        return values
    out: Values = values.astype(np.result_type(values.dtype, np.float32))
    out[~mask] = np.nan
    return out
