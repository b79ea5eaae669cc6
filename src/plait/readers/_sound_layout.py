"""The places of the samples of a sound track: from its packets where these are conclusive, else by counting."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from plait.core.errors import DataError
from plait.readers._cursor import Cursor, remedy
from plait.readers._packets import Track
from plait.streams.clock import Grid

__all__ = ["Layout", "sound_layout"]

_SLACK = 0.020
"""Seconds by which times of packets may differ from the count of samples before that is a gap."""

_LONGEST_GAP = 3600.0
_BACK = 1.0
"""Seconds by which times may lag the count: some encoders round theirs so badly. No sample is dropped."""

_SURE = 0.1
"""Seconds of a delay above which it is believed even of the last frame alone."""

_PRIMING = 4
"""Packets at the start that may give no sound without counting as lost: some encoders write priming packets."""

_STANDS = 0.1
"""Share of the times that may not advance; above it they are ignored."""

_MOST_SAMPLES = 2.0**53
_SHORT_AT_THE_END = ("flac", "alac", "pcm_", "adpcm_", "tta", "wavpack", "ape", "shorten", "tak", "dfpwm")
"""Codecs whose last frame may be shorter than the others."""


@dataclass(frozen=True)
class Layout:
    """Decoded frames in order, and the place of each on the grid."""

    pts: NDArray[np.int64]
    place: NDArray[np.int64]
    """Grid index of the first sample of each."""
    size: NDArray[np.int64]
    grid: Grid
    ordered: bool
    """Whether frames are identified by their order only, as times are missing or repeated."""
    seekable: bool
    """Whether reading may start in the middle: frames are identified by their times, and the format seeks exactly."""
    lost: int = 0
    """Samples that did not decode when they were counted."""


@dataclass
class _Rows:
    """Frames as decoded: times in ticks (None: unknown), samples, and what was lost before each."""

    pts: list[int | None] = field(default_factory=list)
    size: list[int] = field(default_factory=list)
    broken: list[int] = field(default_factory=list)
    """Packets that did not decode just before the frame."""
    after: int = 0
    """Packets after the last frame that did not decode."""


def sound_layout(track: Track) -> Layout:
    """Places of all frames, from times and sizes of the packets alone where these are conclusive.

    They are if the first frame (decoded on opening) and all steps of time agree with one frame size, or if all
    durations in whole samples fit. All other sound (Vorbis, WMA, gaps, inexact times) is decoded once and counted,
    which takes some 4 s per hour. Samples that the container says to skip (encoder priming, edit lists, padding) have
    no place, nor have packets without samples.

    Raises:
        DataError: nothing decodes, or times go backwards or jump further than an hour.
    """
    reach = float(track.tick) * float(np.ptp(track.pts.astype(np.float64))) * track.sample_rate
    if not reach < _MOST_SAMPLES:
        raise DataError(f"{track.path}: times of the sound make no sense. {remedy(track.path)}")
    return _predicted(track) or _counted(track)


def _predicted(track: Track) -> Layout | None:
    """The layout from the packets alone, if they are conclusive."""
    if track.first is None or track.codec.startswith("dsd_") or track.sparse or len(track.pts) < 2:
        return None
    number, start, samples = track.first
    if number > _PRIMING or (number and not track.skips and not track.discard[:number].any()):
        return None  # a decoder that begins late may end late, and no packet tells what it gives at the end
    pts, tick = track.pts[number:], float(track.tick * track.sample_rate)
    front, back = _trims(track, number)
    if front is None or (np.diff(pts) <= 0).any() or track.discard[number:].any():
        return None
    sizes = _fixed(track, pts, samples, front, tick)
    if sizes is None:
        sizes = _listed(track, pts, samples, front, tick)
    if sizes is None:
        return None
    sizes[0] = samples
    sizes[-1] = sizes[-1] - back
    if (sizes < 0).any():
        return None
    place = np.concatenate([[0], np.cumsum(sizes)])
    times = pts.copy()
    times[0] = start
    shift = _shift((times - start) * tick - place[:-1], tick)
    return _layout(track, times, place[:-1], sizes, shift, 0, False)


def _trims(track: Track, number: int) -> tuple[int | None, int]:
    """Samples skipped before the first frame and after the last; None where others are skipped too."""
    last = len(track.pts) - 1
    front, back = 0, 0
    for i, (skip, pad) in track.skips.items():
        if (skip and i) or (pad and i != last):
            return None, 0
        front, back = max(front, skip), max(back, pad)
    return front, back


def _fixed(track: Track, pts: NDArray[np.int64], samples: int, front: int, tick: float) -> NDArray[np.int64] | None:
    """Sizes if all frames are as large as the first, to within a tick; else None."""
    number = len(track.pts) - len(pts)
    # The first frame lacks the priming; where packets before it gave nothing, it is spread over these.
    full = {samples, samples + front, -(-(samples + front) // (number + 1))}
    for one in sorted(full):
        residue = (pts - pts[0]) * tick - one * np.arange(len(pts))
        if float(np.ptp(residue)) <= max(tick, 0.5) + 1e-6:
            break
    else:
        return None
    # Vorbis has blocks of two sizes, so that a short first frame may not be a trimmed one.
    if one != samples and (not front or track.codec == "vorbis"):
        return None
    sizes = np.full(len(pts), one, np.int64)
    return sizes if _end_fixed(track, sizes, tick) else None


def _end_fixed(track: Track, sizes: NDArray[np.int64], tick: float) -> bool:
    """Set the size of the last frame; False if it is not known."""
    last = len(track.pts) - 1
    told = float(track.duration[last]) * tick
    if track.skips.get(last, (0, 0))[1]:  # the duration may or may not hold the padding; the frame does
        return not track.codec.startswith(_SHORT_AT_THE_END)
    if tick <= 1:
        if 0 < told <= sizes[-1] - tick:  # a full frame's duration may be rounded down to a whole tick
            sizes[-1] = round(told)
        return told > 0 or not track.codec.startswith(_SHORT_AT_THE_END)
    if track.codec.startswith(_SHORT_AT_THE_END):
        return False
    return told <= 0 or told > sizes[-1] - 1.5 * tick


def _listed(track: Track, pts: NDArray[np.int64], samples: int, front: int, tick: float) -> NDArray[np.int64] | None:
    """Sizes from the durations, if these are whole samples and fit all times; else None."""
    number = len(track.pts) - len(pts)
    duration = track.duration[number:]
    whole = tick == 1 and not (track.skips.keys() & {len(track.pts) - 1})
    if not whole or front or track.codec == "vorbis" or (duration <= 0).any() or duration[0] != samples:
        return None
    return duration.copy() if (np.diff(pts) == duration[:-1]).all() else None


def _counted(track: Track) -> Layout:
    """The layout from decoding the whole track."""
    rows = _decoded(track)
    if not rows.size:
        raise DataError(f"{track.path}: none of its {len(track.pts)} packets of sound decodes. {remedy(track.path)}")
    size = np.array(rows.size, np.int64)
    known = [i for i, p in enumerate(rows.pts) if p is not None]
    start = next((p for p in rows.pts if p is not None), int(track.pts[0]))
    pts = np.array([start if p is None else p for p in rows.pts], np.int64)
    counted = np.concatenate([[0], np.cumsum(size[:-1])])
    ideal = (pts - pts[0]) * float(track.tick * track.sample_rate)
    stands = float(np.mean(np.diff(pts[known]) <= 0)) if len(known) > 1 else 0.0
    if track.timed and known and stands <= _STANDS:
        told = np.zeros(len(size), bool)
        told[known] = True
        offset, lost = _offsets(track, ideal - counted, told, rows.broken)
    else:
        usual = int(np.median(size))
        offset = np.cumsum(np.array(rows.broken, np.int64)) * usual
        lost = int(offset[-1])
    place = counted + offset
    size[-1] -= _past_the_end(track, int(place[-1] + size[-1]), int(size[-1]), start)
    silent = int((track.pts[~track.discard] < start).sum()) if track.timed and known else 0
    lost += ((silent if silent > _PRIMING else 0) + rows.after) * int(np.median(size))
    shift = _shift((ideal - place)[known], float(track.tick * track.sample_rate)) if track.timed else 0.0
    if track.timed and known:  # frames without a time at the end show by how much the decoder lags (WMA)
        shift -= float(size[known[-1] + 1 :].sum())
    ordered = len(known) < len(pts) or bool((np.diff(pts) <= 0).any())
    return _layout(track, pts, place, size, shift, lost, ordered)


def _past_the_end(track: Track, end: int, last: int, start: int) -> int:
    """Samples of the last frame after the end that the container states (an edit list, a granule position)."""
    if not track.timed or track.tick * track.sample_rate != 1 or track.duration[-1] <= 0:
        return 0
    over = end - int(track.pts[-1] + track.duration[-1] - start)
    return over if 0 < over < last else 0


def _decoded(track: Track) -> _Rows:
    """Times and sizes of all frames, by decoding them; no sample is kept."""
    rows, cursor, passed = _Rows(), Cursor(track.path, track.index), 0
    cursor.start()
    try:
        while (frame := cursor.take()) is not None:
            if (frame.sample_rate, frame.layout.nb_channels) != (track.sample_rate, track.channels):
                passed -= 1  # counts as broken: it cannot be joined to the others
                continue
            rows.pts.append(frame.pts)
            rows.size.append(frame.samples)
            rows.broken.append(cursor.broken - passed)
            passed = cursor.broken
        rows.after = cursor.broken - passed
    finally:
        cursor.close()
    return rows


def _offsets(
    track: Track, residue: NDArray[np.float64], told: NDArray[np.bool_], broken: list[int]
) -> tuple[NDArray[np.int64], int]:
    """Whole samples by which each frame is later than the count, and how many of these are lost to damage."""
    rate = track.sample_rate
    tick = float(track.tick * rate)
    slack = max(1.5 * tick, _SLACK * rate)
    offset = np.zeros(len(residue), np.int64)
    at, gaps, lost, damaged = 0.0, 0, 0, False
    for i, value in enumerate(_lasting(residue, told, _SURE * rate).tolist()):
        damaged = damaged or broken[i] > 0
        if told[i] and i:
            jump = value - at
            if jump < -_BACK * rate or jump > _LONGEST_GAP * rate:
                raise _jump(track, i, jump / rate, float(offset[i - 1]))
            if jump > (1.5 * tick + 1 if damaged else slack):
                lost += round(jump) if damaged else 0
                gaps += not damaged
                at = value
            damaged = False
        # Between gaps the offset is constant: jitter of the times moves no sample.
        offset[i] = round(at)
    if gaps:
        logging.getLogger("plait").info("%s: the sound has %d gaps; they are read as NaN", track.path, gaps)
    return offset, lost


def _lasting(residue: NDArray[np.float64], told: NDArray[np.bool_], sure: float) -> NDArray[np.float64]:
    """The part of each frame's delay that the next one shares: in Ogg, the first frame of a page alone may be late."""
    own = np.flatnonzero(told)
    values = residue[own]
    after = np.append(values[1:], values[-1] if len(values) < 2 or values[-1] - values[-2] > sure else values[-2])
    out = residue.copy()
    out[own] = np.minimum(values, after)
    return out


def _jump(track: Track, i: int, seconds: float, at: float) -> DataError:
    what = "go backwards" if seconds < 0 else "jump"
    return DataError(
        f"{track.path}: times of the sound {what} by {abs(seconds):.3f} s at frame {i} ({at / track.sample_rate:.3f} s "
        f"of gaps before). Expected times that go on. Split the file there, or re-encode: "
        f"ffmpeg -i {track.path.name} {track.path.stem}.mkv"
    )


def _shift(residue: NDArray[np.float64], tick: float) -> float:
    """Samples by which the first time is off, if ticks are coarser than samples; 0 if rounding explains everything."""
    if tick <= 1 or not len(residue):
        return 0.0
    low, high = float(residue.min()), float(residue.max())
    middle = (low + high) / 2
    return 0.0 if max(high, -low) <= tick / 2 + 1 or abs(middle) > tick else middle


def _layout(
    track: Track,
    pts: NDArray[np.int64],
    place: NDArray[np.int64],
    size: NDArray[np.int64],
    shift: float,
    lost: int,
    ordered: bool,
) -> Layout:
    rate = track.sample_rate
    seconds = int(pts[0]) * track.tick - track.origin + Fraction(round(shift * 1000), 1000 * rate)
    if not track.timed and track.origin:
        seconds = Fraction(0)
    grid = Grid(seconds, rate, int(place[-1] + size[-1]))
    return Layout(pts, place, size, grid, ordered, track.seekable and not ordered, lost)
