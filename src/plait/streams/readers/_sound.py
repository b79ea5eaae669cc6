"""Sound of a media file: every sample placed by its packet's time, gaps as NaN."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plait.errors import DataError
from plait.streams.clock import Grid
from plait.streams.readers._cursor import Cursor, remedy
from plait.streams.readers._packets import Track
from plait.streams.readers._words import refuse_infinite

__all__ = ["Sound", "sound_layout"]

_SLACK = 0.010
"""Seconds by which packet times may stray from the count of samples before it counts as a gap."""

_LONGEST_GAP = 3600.0
_NEAR = 20.0
"""Seconds that are decoded through rather than sought over: cheap, and the same numbers whatever was read before."""

_MOST_SAMPLES = 2.0**53
_PREROLL = 1.0
"""Seconds decoded and thrown away after a seek, for codecs whose frames lean on earlier ones."""


@dataclass(frozen=True)
class Layout:
    """Where each packet's samples stand on the grid."""

    pts: NDArray[np.int64]
    place: NDArray[np.int64]
    """Grid index of the first sample that the packet yields."""
    size: NDArray[np.int64]
    grid: Grid
    seekable: bool
    """Whether reading may start in the middle: places are known to the sample, and the format seeks exactly."""


def sound_layout(track: Track) -> Layout:
    """Places of all packets, from times and sizes alone.

    Where ticks are finer than samples the sizes are the packets' durations; where they are coarser (Matroska,
    Flash) the codec's frame size, and the mean offset fixes the start to less than a tick. Samples that the
    container says to skip (encoder priming, edit lists, padding) have no place.

    Raises:
        DataError: times go backwards, or jump further than an hour.
    """
    rate = track.sample_rate
    tick = float(track.tick * rate)
    ideal = (track.pts - track.pts[0]) * tick
    if not np.abs(ideal).max() < _MOST_SAMPLES:
        raise DataError(f"{track.path}: times of the sound make no sense. {remedy(track.path)}")
    size, exact = _sizes(track, tick)
    counted = np.concatenate([[0], np.cumsum(size[:-1])])
    slack = max(1.5 * tick, _SLACK * rate)
    place = np.rint(ideal).astype(np.int64)
    if exact:
        place = counted + _offsets(track, ideal - counted, slack, tick)
    front, back = _trimmed(track, size)
    kept = np.flatnonzero(size - front > 0)
    if not len(kept):
        raise DataError(f"{track.path}: all of the sound is marked to be skipped. {remedy(track.path)}")
    first = kept[0]
    zero = int(place[first] + front[first])
    shift = _middle(ideal - place) if exact and tick > 1 else 0.0
    seconds = track.pts[0] * track.tick - track.origin + Fraction(round(shift * 1000), 1000 * rate)
    end = int(place[-1] + size[-1] - back[-1])
    grid = Grid(seconds + Fraction(zero, rate), rate, max(end - zero, 0))
    return Layout(track.pts, place + front - zero, size - front - back, grid, exact and track.seekable)


def _sizes(track: Track, tick: float) -> tuple[NDArray[np.int64], bool]:
    """Samples a packet decodes to, and whether they are known for certain."""
    steps = np.diff(track.pts)
    usual = int(np.median(steps)) if len(steps) else 1
    duration = track.duration.copy()
    bare = np.flatnonzero(duration <= 0)
    duration[bare] = np.append(steps, usual)[bare]
    by_time = np.rint(duration * tick).astype(np.int64)
    if tick <= 1:
        return by_time, True
    one = track.frame_size or round(float(np.median(duration)) * tick)
    fixed = np.full(len(track.pts), one, np.int64)
    if not track.skips.get(len(fixed) - 1, (0, 0))[1]:
        fixed[-1] = min(one, int(by_time[-1] + tick))
    residue = (track.pts - track.pts[0]) * tick - np.concatenate([[0], np.cumsum(fixed[:-1])])
    jumps = int((np.abs(np.diff(residue)) > 1.5 * tick).sum())
    return (fixed, True) if jumps <= 0.01 * len(fixed) else (by_time, tick == round(tick))


def _offsets(track: Track, residue: NDArray[np.float64], slack: float, tick: float) -> NDArray[np.int64]:
    """Whole samples by which each packet lies behind the count: 0, and more after each gap."""
    offset = np.zeros(len(residue), np.int64)
    if float(np.abs(residue - residue[0]).max()) <= slack:
        return offset
    at, gaps = residue[0], 0
    for i, value in enumerate(residue.tolist()):
        if abs(value - at) > slack:
            _check_jump(track, i, (value - at) / track.sample_rate)
            gaps += 1
            at = value
        offset[i] = round(at - residue[0])
    logging.getLogger("plait").info("%s: the sound has %d gaps; they are read as NaN", track.path, gaps)
    return offset


def _check_jump(track: Track, i: int, seconds: float) -> None:
    at = float(track.pts[i] * track.tick)
    if seconds < 0 or seconds > _LONGEST_GAP:
        what = "go backwards" if seconds < 0 else "jump"
        raise DataError(
            f"{track.path}: times of the sound {what} by {abs(seconds):.3f} s at packet {i} ({at:.3f} s). Expected "
            f"times that go on. Split the file there, or re-encode: ffmpeg -i {track.path.name} {track.path.stem}.mkv"
        )


def _middle(residue: NDArray[np.float64]) -> float:
    return float(residue.min() + residue.max()) / 2


def _trimmed(track: Track, size: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Samples skipped at the front and the back of each packet."""
    front, back = np.zeros_like(size), np.zeros_like(size)
    left = 0
    for i in sorted({*track.skips, *np.flatnonzero(track.discard).tolist()}):
        skip, pad = track.skips.get(i, (0, 0))
        left = max(skip, int(size[i]) if track.discard[i] else 0)
        at = i
        while left > 0 and at < len(size):  # priming may reach over several packets
            front[at] = min(left, int(size[at]))
            left -= int(front[at])
            at += 1
        if pad and size[i] + pad != size[max(i - 1, 0)]:  # Ogg has already shortened the duration
            back[i] = min(pad, int(size[i]))
    return front, back


@dataclass(eq=False)
class Sound:
    """Samples [n, channels] float32 of one track; `plait.streams.stream.Source`.

    A place more than 20 s off is sought, with 1 s decoded before it. Codecs that fill in noise of their own (AAC)
    then give other noise there than one pass would, some 1e-3 at most; all else is the same to the bit.
    """

    path: Path
    cursor: Cursor
    layout: Layout
    tick: Fraction
    channels: int
    _block: tuple[int, NDArray[Any]] | None = field(default=None, repr=False)
    _at: int | None = None
    _packet: int = -1

    @classmethod
    def of(cls, track: Track) -> Sound:
        """The source for a track.

        Raises:
            DataError: the track has no sample rate or no channels, or its times are broken.
        """
        if track.sample_rate <= 0 or track.channels <= 0:
            raise DataError(
                f"{track.path}: the sound has {track.channels} channels at {track.sample_rate} Hz; expected both "
                f"above 0. {remedy(track.path)}"
            )
        return cls(track.path, Cursor(track.path, track.index), sound_layout(track), track.tick, track.channels)

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.channels,)

    @property
    def _slack(self) -> int:
        return int(max(_SLACK, 1.5 * float(self.tick)) * float(self.layout.grid.rate))

    def read(self, lo: int, hi: int) -> NDArray[Any]:
        out = np.full((hi - lo, self.channels), np.nan, np.float32)
        if hi <= lo:
            return out
        self._move(lo)
        try:
            self._fill(out, lo, hi)
        except DataError:
            self._stop()
            raise
        if hi >= self.layout.grid.n:
            self._stop()
        return out

    def _stop(self) -> None:
        self.cursor.close()
        self._block = self._at = None

    def _start(self, pts: int | None = None) -> None:
        self.cursor.start(pts)
        self._block, self._at, self._packet = None, None, -1

    def _move(self, lo: int) -> None:
        """Make sure that decoding on reaches sample ``lo``."""
        rate = float(self.layout.grid.rate)
        here = self._block[0] if self._block else self._at
        near = (_NEAR if self.layout.seekable else np.inf) * rate
        if here is not None and self.cursor.is_open and 0 <= lo - here <= near:
            return
        if lo <= near:
            self._start()
            return
        k = int(np.searchsorted(self.layout.place, lo - _PREROLL * rate, "right")) - 1
        self._start(int(self.layout.pts[max(k, 0)]))
        try:
            self._block = self._pull(sought=True)
            late = self._block is None or self._block[0] > lo
        except DataError:
            late = True
        if late:  # some demuxers land behind the place asked for
            self._start()

    def _fill(self, out: NDArray[Any], lo: int, hi: int) -> None:
        while True:
            self._block = self._block or self._pull()
            if self._block is None:
                self._check_end(min(hi, self.layout.grid.n))
                return
            first, values = self._block
            last = first + len(values)
            a, b = max(first, lo), min(last, hi)
            if a < b:
                out[a - lo : b - lo] = values[a - first : b - first]
            if last >= hi:
                return
            self._block = None

    def _pull(self, sought: bool = False) -> tuple[int, NDArray[Any]] | None:
        """The next decoded frame and the place of its first sample."""
        frame = self.cursor.take()
        if frame is None:
            return None
        if frame.sample_rate != self.layout.grid.rate or frame.layout.nb_channels != self.channels:
            raise DataError(
                f"{self.path}: sound changes to {frame.layout.nb_channels} channels at {frame.sample_rate} Hz on the "
                f"way; expected {self.channels} at {self.layout.grid.rate}. Re-encode it: ffmpeg -i {self.path.name} "
                f"-ar {self.layout.grid.rate} -ac {self.channels} {self.path.stem}.wav"
            )
        first = self._place(frame, sought)
        try:
            values = refuse_infinite(_floats(frame), f"{self.path} from sample {first} on")
        except ValueError as error:  # 64-bit integers
            raise DataError(f"{self.path}: the sound is in a form that is not read ({error}).") from error
        self._at = first + len(values)
        return first, values

    def _place(self, frame: Any, sought: bool) -> int:
        """By the packet's time; within a packet, and where both agree but for rounding, on from the last sample."""
        at = self._at
        if frame.pts is None:
            return at or 0
        k = max(int(np.searchsorted(self.layout.pts, frame.pts, "right")) - 1, 0)
        if k == self._packet and at is not None:
            return at
        before, self._packet = self._packet, k
        place = int(self.layout.place[k])
        if at is None:
            if not sought:
                self._check_hole(place, max(int(self.layout.place[0]), 0), frame)
            return place
        if abs(place - at) <= max(1.5 * float(self.tick * self.layout.grid.rate), 1):
            return at
        if k == before + 1 or before < 0:
            expected = place - int(self.layout.place[k - 1] + self.layout.size[k - 1]) if k else 0
            self._check_hole(place - expected, at, frame)
        else:
            self._check_hole(place, at, frame)
        return max(place, at)

    def _check_hole(self, place: int, at: int, frame: Any) -> None:
        if place - at > self._slack:
            raise self._lost(at, place - at)

    def _check_end(self, hi: int) -> None:
        at = self._at if self._at is not None else 0
        if hi - at > self._slack:
            raise self._lost(at, hi - at)

    def _lost(self, at: int, count: int) -> DataError:
        seconds = at / float(self.layout.grid.rate)
        return DataError(
            f"{self.path}: {count} samples of sound from {seconds:.3f} s on do not decode, though its index has them. "
            f"{remedy(self.path)}"
        )


def _floats(frame: Any) -> NDArray[np.float32]:
    """[samples, channels] in -1..1."""
    values = frame.to_ndarray()
    values = values.T if frame.format.is_planar else values.reshape(-1, frame.layout.nb_channels)
    if values.dtype.kind == "u":
        return np.asarray((values.astype(np.float32) - 128) / 128, np.float32)
    if values.dtype.kind == "i":
        return np.asarray(values * (-1 / float(np.iinfo(values.dtype).min)), np.float32)
    with np.errstate(over="ignore", invalid="ignore"):  # what leaves the range is infinite, and refused as such
        return np.ascontiguousarray(values, np.float32)
