"""Activity of a stream of any kind as one number over time, so that streams can be compared.

Each kind has its own measure of activity, chosen so that one sharp event seen by several devices peaks at the same
instant in all of them. Sound: rise of energy (spectral flux). Pictures: change between two frames, at the middle
between them. Numbers: size of quick changes. Bodies: speed of the joints. Words: their beginnings. All filters are
symmetric in time, so no event moves.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.fft import rfft
from scipy.ndimage import gaussian_filter1d, uniform_filter1d

from plait.clocks.rates import rates
from plait.clocks.views import View, longest_gap, main_shapes, view
from plait.core.errors import DataError
from plait.streams.clock import Clock, Grid, Spans
from plait.streams.pictures import held
from plait.streams.stream import Stream

__all__ = ["RATE", "Activity", "activity"]

Array = NDArray[np.float64]

RATE = 200
"""Observations per second of every activity signal."""

SMOOTH = 0.010
"""Standard deviation of the smoothing of every activity, seconds."""

SLOW = 2.0
"""The moving mean over this many seconds is subtracted from an activity."""

PAUSE = 0.1
"""Least pause before a word, seconds, for the word to stand alone."""

EARLY = 0.17
"""Compressed energy rises as soon as the window's edge meets a sound: this many window lengths too early."""


@dataclass(frozen=True)
class Activity:
    """Activity on a regular clock.

    Attributes:
        clock: `RATE` observations per second, at multiples of 1 / `RATE`.
        values: [n], mean 0 and standard deviation 1 where known, 0 elsewhere.
        known: [n], where the stream has data.
        step: seconds between the stream's own observations (0 for irregular instants).
        views: coarse, whitened views of the stream, to find the right lag among many.
        kind: the stream's kind.
        stream: the sound itself, for comparisons finer than the activity; None for other kinds.
        apart: share of the words that begin after a pause; for words only.
        others: by name, other measures at the same instants (see `plait.clocks.rates`); for tables only.
    """

    clock: Grid
    values: Array
    known: NDArray[np.bool_]
    step: float
    views: tuple[View, ...] = ()
    kind: str = "series"
    stream: Stream | None = None
    apart: float = 0.0
    others: Mapping[str, Array] = field(default_factory=dict)


def activity(stream: Stream) -> Activity:
    """The activity of a stream of any kind. It is read in blocks; only a few numbers per instant are kept.

    Raises:
        DataError: the stream is too short, or nothing in it ever changes.

    >>> clap = np.zeros((3000, 1)); clap[1500] = 1
    >>> act = activity(Stream.of(clap, rate=1000))
    >>> round(float(act.clock.times[np.argmax(act.values)]), 1)
    1.5
    """
    if stream.kind == "words":
        return _of_words(stream)
    measure = {"waveform": _sound, "frames": _pictures, "pose": _bodies, "series": _numbers}[stream.kind]
    parts = list(measure(stream)) or [Part(np.zeros(0), np.zeros(0))]
    times, values = (np.concatenate([getattr(p, name) for p in parts]) for name in ("times", "values"))
    others: Mapping[str, Array] = {}
    if stream.kind == "series":
        raw, (times, values) = values, _quick_changes(times, values)
        others = rates(times, raw)
    good = np.isfinite(values) & np.isfinite(times)
    act = _on_grid(stream, times[good], values[good])
    act = replace(act, others=_others(stream, times[good], {name: each[good] for name, each in others.items()}))
    found = [_sharp(act), *_more(stream.kind, times[good], values[good], parts)]
    sound = stream if stream.kind == "waveform" else None
    return replace(act, views=tuple(v for v in found if v is not None), kind=stream.kind, stream=sound)


def _others(stream: Stream, times: Array, measures: Mapping[str, Array]) -> dict[str, Array]:
    found = {}
    for name, values in measures.items():
        with suppress(DataError):  # what only ever rises has no falls
            found[name] = _on_grid(stream, times, values).values
    return found


def _sharp(act: Activity) -> View | None:
    return view("sharp", act.clock.times[act.known], act.values[act.known])


def _more(kind: str, times: Array, values: Array, parts: Sequence[Part]) -> Iterator[View | None]:
    """Views of the level of the stream and of its main shapes."""
    if kind != "waveform":
        power = values**2
        # The quiet 30 % set the floor, so that the logarithm does not turn silence into the largest event.
        yield view("level", times, np.log(power + max(float(np.quantile(power, 0.3)), 1e-12)))
    if parts[0].more is None:
        return
    at, more = (np.concatenate([getattr(p, name) for p in parts]) for name in ("at", "more"))
    if kind == "waveform":
        floor = np.maximum(np.quantile(more, 0.3, axis=0), 1e-9)
        yield view("level", at, np.log(more + floor).mean(axis=1))
    else:
        at, first = np.unique(at, return_index=True)
        for i, shape in enumerate(main_shapes(more[first])):
            yield view(f"shape{i + 1}", at, shape)


def _on_grid(stream: Stream, times: Array, values: Array) -> Activity:
    times, first = np.unique(times, return_index=True)
    values = values[first]
    if len(times) < 8:
        raise DataError(
            f"{stream.where or 'stream'}: {len(times)} usable observations are too few to place it in time."
        )
    step = float(np.median(np.diff(times)))
    clock = _grid(times[0], times[-1])
    at = clock.times
    right = np.clip(np.searchsorted(times, at), 1, len(times) - 1)
    gap = times[right] - times[right - 1]
    known = gap <= longest_gap(step)
    return _levelled(stream, clock, np.interp(at, times, values), known, step)


def _grid(start: float, stop: float) -> Grid:
    lo, hi = int(np.ceil(start * RATE)), int(np.floor(stop * RATE))
    return Grid(lo / RATE, RATE, max(hi - lo + 1, 1))


def _levelled(stream: Stream, clock: Grid, values: Array, known: NDArray[np.bool_], step: float) -> Activity:
    """Smooth, subtract the local mean, clip outliers, and scale to standard deviation 1."""
    if not known.any() or np.ptp(values[known]) <= 1e-12 * (1 + np.abs(values[known]).max()):
        raise DataError(f"{stream.where or 'stream'}: nothing ever changes in it, so it cannot be placed in time.")
    smooth = gaussian_filter1d(np.where(known, values, 0.0), SMOOTH * RATE, mode="constant")
    size = round(SLOW * RATE) | 1
    weight = np.maximum(uniform_filter1d(known.astype(float), size, mode="constant"), 1e-9)
    local = uniform_filter1d(np.where(known, smooth, 0.0), size, mode="constant") / weight
    level = np.where(known, smooth - local, 0.0)
    # Else one bang would outweigh all other events of the recording.
    bound = 6 * level[known].std()
    level = np.clip(level, -bound, bound)
    deviation = level[known].std()
    if not deviation > 0:
        raise DataError(f"{stream.where or 'stream'}: nothing ever changes in it, so it cannot be placed in time.")
    return Activity(clock, level / deviation, known, step)


def _of_words(stream: Stream) -> Activity:
    """Beginnings of words, each split between the two nearest observations so that its instant is kept."""
    clock = stream.clock
    begins = np.unique(clock.starts if isinstance(clock, Spans) else clock.times)
    if len(begins) < 4:
        raise DataError(f"{stream.where or 'stream'}: {len(begins)} words are too few to place it in time.")
    grid = _grid(float(begins[0]) - 1.0, float(begins[-1]) + 1.0)
    place = (begins - grid.start) * RATE
    left = np.floor(place).astype(np.int64)
    values = np.zeros(len(grid))
    np.add.at(values, left, 1 - (place - left))
    np.add.at(values, left + 1, place - left)
    act = _levelled(stream, grid, values, np.ones(len(grid), np.bool_), 0.0)
    views = tuple(v for v in (_sharp(act), _spoken(clock, grid)) if v is not None)
    return replace(act, views=views, kind=stream.kind, apart=_apart(clock))


def _apart(clock: Clock) -> float:
    """The share of words before which there is a pause."""
    if not isinstance(clock, Spans):
        return 0.0
    return float(np.mean(clock.starts[1:] - np.maximum.accumulate(clock.stops)[:-1] >= PAUSE))


def _spoken(clock: Clock, grid: Grid) -> View | None:
    """A view of when there is a word; None for words without duration."""
    if not isinstance(clock, Spans) or float(np.median(clock.stops - clock.starts)) < 0.02:
        return None
    at = grid.times
    upto = np.interp(np.append(at, grid.stop), *_covered(clock))
    return view("spoken", at + 0.5 / RATE, np.diff(upto) * RATE)


def _covered(clock: Spans) -> tuple[Array, Array]:
    """Instants, and the total seconds of words up to each."""
    # Words that overlap are counted once.
    stops = np.maximum.accumulate(clock.stops)
    starts = np.maximum(clock.starts, np.concatenate([[clock.starts[0]], stops[:-1]]))
    stops = np.maximum(stops, starts)
    return np.column_stack([starts, stops]).ravel(), np.repeat(np.cumsum(stops - starts), 2) - np.column_stack(
        [stops - starts, np.zeros(len(starts))]
    ).ravel()


def _blocks(stream: Stream, seconds: float, before: int) -> Iterator[Stream]:
    """Blocks of about ``seconds`` that share ``before`` observations with the previous block."""
    n = len(stream)
    length = max(stream.clock.stop - stream.clock.start, 1e-9)
    size = max(int(n * min(seconds / length, 1.0)), 4 * before, 16)
    lo = 0
    while lo < n:
        yield stream[max(lo - before, 0) : lo + size]
        lo += size


@dataclass(frozen=True)
class Part:
    """Measures of one block: ``values`` [n] at ``times`` [n], and ``more`` [m, k] at ``at`` [m]."""

    times: Array
    values: Array
    at: Array | None = None
    more: NDArray[np.float32] | None = None


def _sound(stream: Stream) -> Iterator[Part]:
    """Spectral flux: rise of compressed energy in bands within 8 ms (after Böck et al., DAFx 2012, with the
    difference taken evenly about each instant)."""
    n = len(stream)
    rate = n / max(stream.clock.stop - stream.clock.start, 1e-9)
    hop = max(round(rate * 0.004), 1)
    size = max(round(rate * 0.012), 2)
    window, bands = np.hanning(size + 2)[1:-1].astype(np.float32), _bands(size)
    ahead = max(round(20 * rate / hop), 8)
    for lo in range(0, n - size - 2 * hop + 1, ahead * hop):
        block = stream[lo : lo + (ahead + 1) * hop + size]
        values = np.nan_to_num(block.read().astype(np.float32).mean(axis=1), posinf=0.0, neginf=0.0)
        cut = np.lib.stride_tricks.sliding_window_view(values, size)[::hop]
        power = np.abs(rfft(cut * window, axis=1)) ** 2 @ bands
        # Fourth root of power, about as loudness grows: quiet events count beside loud ones.
        loud = (power / size + 1e-9) ** 0.25
        rise = np.maximum(loud[2:] - loud[:-2], 0).sum(axis=1).astype(np.float64)
        middle = np.arange(1, len(rise) + 1) * hop + (size - 1) / 2 + EARLY * size
        times = np.interp(middle, np.arange(len(block)), block.clock.times)
        yield Part(times, rise, *_coarser(times, power[1:-1] / size))


def _coarser(times: Array, power: NDArray[np.generic]) -> tuple[Array, NDArray[np.float32]]:
    """Means over runs of five, to save memory."""
    n = len(times) // 5 * 5
    return times[:n].reshape(-1, 5).mean(axis=1), power[:n].reshape(-1, 5, power.shape[1]).mean(axis=1)


def _bands(size: int, n: int = 8) -> NDArray[np.float32]:
    """Weights that sum spectrum bins into ``n`` bands that widen upwards, [bins, n]; the lowest bin is left out."""
    bins = size // 2 + 1
    edges = np.unique(np.round(np.geomspace(1, bins, n + 1)).astype(int))
    out = np.zeros((bins, len(edges) - 1), np.float32)
    for i, (lo, hi) in enumerate(pairwise(edges)):
        out[lo:hi, i] = 1
    return out


def _pictures(stream: Stream) -> Iterator[Part]:
    """Mean change of grey between two frames, at the middle between them."""
    for block in _blocks(stream, 4.0, 1):
        pictures, there, times = block.read(), block.mask(), block.clock.times
        grey = np.stack([_small(frame) for frame in held(pictures, there)])
        moved = np.abs(np.diff(grey, axis=0)).mean(axis=(1, 2))
        moved[~(there[1:] & there[:-1])] = np.nan
        # A few cells hold where something moves, for the views of shape, without holding the film.
        cells = np.stack([cv2.resize(g, (8, 4), interpolation=cv2.INTER_AREA).ravel() for g in grey])
        yield Part((times[1:] + times[:-1]) / 2, moved.astype(np.float64), times, cells)


def _small(frame: NDArray[np.uint8]) -> NDArray[np.float32]:
    if frame.shape[2] == 3:
        grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(np.float32)
    else:
        grey = frame[:, :, 0].astype(np.float32) if frame.shape[2] == 1 else frame.mean(2, dtype=np.float32)
    # Small and blurred: sensor noise and compression flicker in single pixels would count as movement.
    scale = max(frame.shape[:2]) / 96
    if scale > 1:
        size = (max(round(frame.shape[1] / scale), 1), max(round(frame.shape[0] / scale), 1))
        grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.GaussianBlur(grey, (0, 0), 1.0), np.float32)


def _bodies(stream: Stream) -> Iterator[Part]:
    """Mean speed of the joints, at the middle between two poses."""
    for block in _blocks(stream, 60.0, 1):
        points, times = block.read().astype(np.float64), block.clock.times
        moved = np.linalg.norm(np.diff(points, axis=0), axis=2)
        there = np.isfinite(moved)
        mean = np.where(there, moved, 0).sum(axis=1) / np.maximum(there.sum(axis=1), 1)
        # Nobody is seen: unknown, which is not the same as at rest.
        mean[~there.any(axis=1)] = np.nan
        yield Part((times[1:] + times[:-1]) / 2, mean / np.maximum(np.diff(times), 1e-6))


def _numbers(stream: Stream) -> Iterator[Part]:
    """The values themselves, one column [n, channels]; `_quick_changes` makes one number of them."""
    for block in _blocks(stream, 600.0, 0):
        yield Part(block.clock.times, block.read().astype(np.float64))


def _quick_changes(times: Array, values: Array) -> tuple[Array, Array]:
    """Size of changes quicker than a quarter of a second, each channel relative to its own usual level."""
    if len(times) < 8:
        return times, np.full(len(times), np.nan)
    step = max(float(np.median(np.diff(times))), 1e-6)
    size = max(round(0.25 / step), 3) | 1
    total, channels = np.zeros(len(times)), 0
    for column in values.reshape(len(times), -1).T:
        there = np.isfinite(column)
        filled = np.interp(times, times[there], column[there]) if there.sum() > 1 else np.zeros(len(times))
        quick = filled - uniform_filter1d(filled, size)
        quiet = (1.4826 * np.median(np.abs(quick[there])) or quick[there].std()) if there.any() else 0.0
        if quiet > 0:
            total += np.where(there, (quick / quiet) ** 2, np.nan)
            channels += 1
    return times, np.sqrt(total / channels) if channels else np.full(len(times), np.nan)
