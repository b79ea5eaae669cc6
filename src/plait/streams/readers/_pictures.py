"""Pictures of a media file: the clock from its packets, the values by decoding on from a key frame."""

from __future__ import annotations

import logging
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plait.errors import DataError
from plait.streams.clock import Clock, Grid, Ticks, rational
from plait.streams.pictures import parts_of
from plait.streams.readers._cursor import Cursor, remedy
from plait.streams.readers._luma import FullRange, luma
from plait.streams.readers._packets import Track

__all__ = ["Pictures", "picture_clock", "rotation"]

_LONG = 200_000_000
"""Pixels from which on several threads decode faster than one."""


def shown(track: Track) -> NDArray[np.int64]:
    """Packets that become pictures, in order of showing: what the edit list keeps, from the first key frame on."""
    keep = ~track.discard
    if track.key.any():
        first = int(np.argmax(track.key))
        keep &= (np.arange(len(keep)) >= first) & (track.pts >= track.pts[first])
        lost = int((~keep & ~track.discard).sum())
        if lost:
            logging.getLogger("plait").warning(
                "%s: %d frames before the first key frame cannot be decoded and are left out",
                track.path,
                lost,
            )
    kept = np.flatnonzero(keep)
    return kept[np.argsort(track.pts[kept], kind="stable")]


def picture_clock(pts: NDArray[np.int64], tick: Fraction, rates: tuple[Fraction, ...], origin: Fraction) -> Clock:
    """A Grid if one rate explains all times to half a tick, else Ticks.

    >>> picture_clock(np.array([0, 33, 67, 100]), Fraction(1, 1000), (Fraction(30),), Fraction(0)).describe()["rate"]
    '30'
    >>> picture_clock(np.array([0, 33, 90]), Fraction(1, 1000), (), Fraction(0)).describe()["clock"]
    'ticks'
    """
    n = len(pts)
    from_start = (pts - pts[0]).astype(np.float64)
    if n > 1 and from_start[-1] > 0:
        mean = Fraction(n - 1, int(pts[-1] - pts[0])) / tick
        rates = (*rates, rational(float(mean)), mean.limit_denominator(1001), mean)
    for rate in rates or (Fraction(25),):
        step = 1 / (rate * tick)
        residue = from_start - np.arange(n) * float(step)
        low, high = float(residue.min()), float(residue.max())
        if high - low <= min(1, 0.25 * float(step)) + 1e-6:
            middle = 0 if max(high, -low) <= 0.5 + 1e-6 else Fraction((low + high) / 2).limit_denominator(1000)
            return Grid((int(pts[0]) + middle) * tick - origin, rate, n)
    return Ticks(pts * float(tick) - float(origin))


def rotation(path: Path) -> int:
    """Quarter turns to the left by which a QuickTime or mp4 picture is to be shown (phones lay it on its side)."""
    try:
        with open(path, "rb") as file:
            moov = _box(file, b"moov")
    except OSError:
        return 0
    place = moov.find(b"tkhd")
    while place >= 0:
        head = moov[place + 4 : place + 4 + 96]
        at = 52 if head[:1] == b"\1" else 40
        if len(head) >= at + 44:
            a, b, _, c, d = struct.unpack(">5i", head[at : at + 20])
            if any(head[at + 36 : at + 44]):  # it has a width: it is a picture
                return {(0, 1, -1, 0): 3, (-1, 0, 0, -1): 2, (0, -1, 1, 0): 1}.get(
                    (a // 65536, b // 65536, c // 65536, d // 65536), 0
                )
        place = moov.find(b"tkhd", place + 4)
    return 0


def _box(file: Any, wanted: bytes) -> bytes:
    while len(head := file.read(8)) == 8:
        size, name = struct.unpack(">I4s", head)
        used = 8
        if size == 1:
            size, used = struct.unpack(">Q", file.read(8).rjust(8, b"\0"))[0], 16
        if name == wanted:
            return bytes(file.read(max(size - used, 0) if size else -1))
        if size < used or not name.isalnum():
            return b""
        file.seek(size - used, 1)
    return b""


def _scaler() -> Callable[..., Any]:
    """swscale in one thread: sharing out a small picture takes ten times as long as converting it."""
    import av
    from av.video.reformatter import VideoReformatter

    reformat = VideoReformatter().reformat
    return partial(reformat, threads=1) if int(av.__version__.split(".")[0]) >= 17 else reformat  # 16 has one thread


@dataclass(eq=False)
class Pictures:
    """Frames [n, h, w, 3 or 1] uint8 of one track; `plait.streams.stream.Source`.

    Frames find their place by their presentation time, so one that the decoder drops is noticed; in a container
    without such times they go by their order. Where a seek is not to be trusted, decoding goes from the start.
    """

    path: Path
    cursor: Cursor
    pts: NDArray[np.int64]
    keys: NDArray[np.int64]
    tick: Fraction
    ordered: bool
    seekable: bool
    size: tuple[int, int]
    grey: bool
    turns: int
    shape: tuple[int, ...] = ()
    _next: int = 0
    _from: int | None = None
    """The key frame just sought, until a picture shows that the demuxer landed no later."""
    _scaler: Any = field(default=None, repr=False)

    @classmethod
    def of(cls, track: Track, size: tuple[int, int], grey: bool, turns: int) -> Pictures:
        """The source for a track; ``size`` is (height, width) as shown, after turning."""
        order = shown(track)
        key = track.key[order]
        key[:1] = True
        long = len(order) * track.width * track.height > _LONG
        shape = (*size, 1 if grey else 3)
        return cls(
            track.path,
            Cursor(track.path, track.index, long),
            track.pts[order],
            np.flatnonzero(key),
            track.tick,
            track.ordered,
            track.seekable,
            size[::-1] if turns % 2 else size,
            grey,
            turns,
            shape,
        )

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_scaler": None}

    def read(self, lo: int, hi: int) -> NDArray[Any]:
        if self.grey:
            return self.read_grey(lo, hi)[..., None]
        out = np.empty((max(hi - lo, 0), *self.shape), np.uint8)

        def put(i: int, frame: Any) -> None:
            picture = self._scaled(frame, "rgb24", 3)
            out[i] = np.rot90(picture, self.turns) if self.turns else picture

        self._decode(lo, hi, put)
        return out

    def read_grey(self, lo: int, hi: int, box: ArrayLike | None = None) -> NDArray[Any]:
        """Pictures lo..hi in grey, cut to a box, [hi - lo, height, width]; see `plait.streams.pictures`.

        Of 8-bit video in its own size the brightness plane is cut and copied; all else goes through swscale.
        """
        parts, size = parts_of(box, max(hi - lo, 0), self.shape)
        out = np.empty((len(parts), *size), np.uint8)
        todo, (high, wide) = FullRange(out), self.size

        def put(i: int, frame: Any) -> None:
            own = luma(frame) if frame.height == high and frame.width == wide else None
            plane, full = own if own is not None else (self._scaled(frame, "gray", 1), True)
            out[i] = (np.rot90(plane, self.turns) if self.turns else plane)[parts[i]]
            if not full:
                todo.add(i)

        self._decode(lo, hi, put)
        todo.flush()
        return out

    def _decode(self, lo: int, hi: int, put: Callable[[int, Any], None]) -> None:
        """Call ``put(i - lo, frame)`` for each picture i of lo..hi."""
        if hi <= lo:
            return
        sought = self._move(lo)
        try:
            missing = self._fill(put, lo, hi)
        except DataError:
            if not sought:
                raise
            missing = np.arange(1)
        if len(missing) and sought:  # some demuxers land behind the key frame asked for
            self._rewind()
            missing = self._fill(put, lo, hi)
        if hi >= len(self.pts) or len(missing):
            self.cursor.close()
        if len(missing):
            raise self._missing(lo + missing)

    def _rewind(self) -> None:
        self.cursor.start()
        self._next, self._from = 0, None

    def _move(self, lo: int) -> bool:
        """Make sure that decoding on reaches frame ``lo``; says whether it had to seek."""
        key = int(self.keys[np.searchsorted(self.keys, lo, "right") - 1]) if self.seekable else 0
        if self.cursor.is_open and key <= self._next <= lo:
            return False
        if key == 0:
            self._rewind()
            return False
        self.cursor.start(int(self.pts[key]))
        self._next = self._from = key
        return True

    def _fill(self, put: Callable[[int, Any], None], lo: int, hi: int) -> NDArray[np.int64]:
        seen = np.zeros(hi - lo, bool)
        for frame in self.cursor.frames():
            i = self._place(frame)
            if i is None:
                continue
            if self._from is not None and i > self._from:
                break  # landed behind the key frame: what follows leans on pictures that were not decoded
            self._from = None
            self._next = i + 1
            if lo <= i < hi and not frame.is_corrupt:
                put(i - lo, frame)
                seen[i - lo] = True
            if i >= hi - 1:
                break
        return np.flatnonzero(~seen)

    def _place(self, frame: Any) -> int | None:
        if self.ordered:
            return self._next
        if frame.pts is None:
            return None
        if self._next < len(self.pts) and self.pts[self._next] == frame.pts:
            return self._next
        i = int(np.searchsorted(self.pts, frame.pts))
        return i if i < len(self.pts) and self.pts[i] == frame.pts else None

    def _scaled(self, frame: Any, layout: str, channels: int) -> NDArray[Any]:
        """A frame in another format and in the size asked for, [h, w] or [h, w, 3]."""
        if self._scaler is None:
            self._scaler = _scaler()
        height, width = self.size
        how = "BILINEAR" if (frame.height, frame.width) == self.size else "AREA"
        plane = self._scaler(frame, width, height, format=layout, interpolation=how).planes[0]
        rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[:height, : width * channels]
        return rows if channels == 1 else rows.reshape(height, width, channels)

    def _missing(self, which: NDArray[np.int64]) -> DataError:
        at = float(self.pts[min(int(which[0]), len(self.pts) - 1)] * self.tick)
        return DataError(
            f"{self.path}: frame {which[0]} (at {at:.3f} s) of the {len(self.pts)} in its index does not decode "
            f"({len(which)} such frames in this part). {remedy(self.path)}"
        )
