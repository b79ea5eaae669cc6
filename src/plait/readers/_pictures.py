"""Pictures of a media file: the clock from its packets, the values by decoding on from a key frame."""

from __future__ import annotations

import logging
import struct
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plait.core.errors import DataError
from plait.readers._cursor import Cursor, remedy
from plait.readers._damage import Damage, tell_once
from plait.readers._luma import FullRange, luma
from plait.readers._packets import Track
from plait.streams.clock import Clock, Grid, Ticks, rational
from plait.streams.pictures import parts_of
from plait.streams.stream import Values

if TYPE_CHECKING:
    import av

__all__ = ["Pictures", "picture_clock", "rotation"]

_LONG = 200_000_000
"""Pixels of a track above which several threads decode faster than one."""


def shown(track: Track) -> NDArray[np.int64]:
    """Packets that become pictures, in presentation order: what the edit list keeps, from the first key frame on."""
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
        # The container's rates first, then broadcast rates near the mean, simple fractions, the mean itself.
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
    """Quarter turns to the left that show a QuickTime or mp4 picture upright (phones store it on its side)."""
    try:
        with open(path, "rb") as file:
            moov = _box(file, b"moov")
    except OSError:
        return 0
    place = moov.find(b"tkhd")
    while place >= 0:
        head = moov[place + 4 : place + 4 + 96]
        # The matrix (ISO 14496-12, 8.3.2) follows two times and a duration, of 8 bytes each in version 1.
        at = 52 if head[:1] == b"\1" else 40
        if len(head) >= at + 44:
            a, b, _, c, d = struct.unpack(">5i", head[at : at + 20])
            if any(head[at + 36 : at + 44]):  # it has a width: it is a picture
                return {(0, 1, -1, 0): 3, (-1, 0, 0, -1): 2, (0, -1, 1, 0): 1}.get(
                    (a // 65536, b // 65536, c // 65536, d // 65536), 0
                )
        place = moov.find(b"tkhd", place + 4)
    return 0


def _box(file: BinaryIO, wanted: bytes) -> bytes:
    while len(head := file.read(8)) == 8:
        size, name = struct.unpack(">I4s", head)
        used = 8
        # ISO 14496-12, 4.2: size 1 means that 64 bits follow, 0 that the box ends with the file.
        if size == 1:
            size, used = struct.unpack(">Q", file.read(8).rjust(8, b"\0"))[0], 16
        if name == wanted:
            return bytes(file.read(max(size - used, 0) if size else -1))
        if size < used or not name.isalnum():
            return b""
        file.seek(size - used, 1)
    return b""


def _scaler() -> Callable[..., object]:
    """swscale in one thread: splitting a small picture takes ten times as long as converting it."""
    import av
    from av.video.reformatter import VideoReformatter

    reformat = VideoReformatter().reformat
    return partial(reformat, threads=1) if int(av.__version__.split(".")[0]) >= 17 else reformat  # 16 has one thread


_REORDERED = 17
"""Frames after which a missing one will not come: a decoder delays 16 at most, out of order after damage."""


@dataclass(eq=False)
class Pictures:
    """Frames [n, h, w, 3 or 1] uint8 of one track; `plait.streams.stream.Source` and `MaskedSource`.

    Frames are placed by their presentation time, so one that the decoder drops is noticed; in a container without
    such times they are placed by their order. Where seeking is not exact, decoding begins at the start.

    A frame that does not decode, or that the decoder concealed in part, is lost, and so are those up to the next key
    frame, which are predicted from it. They are black, and `mask` is False there.
    """

    path: Path
    cursor: Cursor
    pts: NDArray[np.int64]
    keys: NDArray[np.int64]
    damage: Damage
    tick: Fraction
    ordered: bool
    seekable: bool
    size: tuple[int, int]
    grey: bool
    turns: int
    most: float
    """Share of the frames that may be lost."""
    shape: tuple[int, ...] = ()
    _next: int = 0
    _from: int | None = None
    """The key frame just sought, until a picture shows that the demuxer did not land after it."""
    _ahead: deque[tuple[int, av.VideoFrame]] = field(default_factory=deque, repr=False)
    """Frames decoded already, for the next read."""
    _broken: int = 0
    _scaler: Any = field(default=None, repr=False)

    @classmethod
    def of(cls, track: Track, size: tuple[int, int], grey: bool, turns: int, most: float) -> Pictures:
        """The source for a track; ``size`` is (height, width) as shown, after turning."""
        order = shown(track)
        key = track.key[order]
        # Where no packet is marked as a key frame, decoding starts at the first.
        key[:1] = True
        long = len(order) * track.width * track.height > _LONG
        shape = (*size, 1 if grey else 3)
        return cls(
            track.path,
            Cursor(track.path, track.index, long),
            track.pts[order],
            np.flatnonzero(key),
            Damage(order, key),
            track.tick,
            track.ordered,
            track.seekable,
            size[::-1] if turns % 2 else size,
            grey,
            turns,
            most,
            shape,
        )

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_scaler": None, "_ahead": deque()}

    def read(self, lo: int, hi: int) -> Values:
        if self.grey:
            return self.read_grey(lo, hi)[..., None]
        out = np.empty((max(hi - lo, 0), *self.shape), np.uint8)

        def put(i: int, frame: av.VideoFrame) -> None:
            picture = self._scaled(frame, "rgb24", 3)
            out[i] = np.rot90(picture, self.turns) if self.turns else picture

        self._decode(lo, hi, put)
        return self._blackened(out, lo)

    def read_grey(self, lo: int, hi: int, box: ArrayLike | None = None) -> NDArray[np.generic]:
        """Pictures lo..hi in grey, cut to a box, [hi - lo, height, width]; see `plait.streams.pictures`.

        For 8-bit video in its own size the luma plane is cut and copied; all else goes through swscale.
        """
        parts, size = parts_of(box, max(hi - lo, 0), self.shape)
        out = np.empty((len(parts), *size), np.uint8)
        todo, (high, wide) = FullRange(out), self.size

        def put(i: int, frame: av.VideoFrame) -> None:
            own = luma(frame) if frame.height == high and frame.width == wide else None
            plane, full = own if own is not None else (self._scaled(frame, "gray", 1), True)
            out[i] = (np.rot90(plane, self.turns) if self.turns else plane)[parts[i]]
            if not full:
                todo.add(i)

        self._decode(lo, hi, put)
        todo.flush()
        return self._blackened(out, lo)

    def mask(self, lo: int, hi: int) -> NDArray[np.bool_]:
        """Which of the pictures lo..hi are there, [hi - lo]; those not read yet are decoded to find out."""
        if not self.damage.known[lo:hi].all():
            self._decode(lo, hi, lambda *_: None)
        return ~self.damage.lost[lo:hi]

    def _blackened(self, out: NDArray[np.uint8], lo: int) -> NDArray[np.uint8]:
        if self.damage.count and len(out):
            out[self.damage.lost[lo : lo + len(out)]] = 0
        return out

    def _decode(self, lo: int, hi: int, put: Callable[[int, object], None]) -> None:
        """Call ``put(i - lo, frame)`` for each picture i of lo..hi that exists."""
        if hi <= lo:
            return
        sought = self._move(lo)
        try:
            landed = self._fill(put, lo, hi)
        except DataError:
            if not sought:
                raise
            landed = False
        if not landed:  # some demuxers land after the key frame asked for
            self._rewind()
            self._fill(put, lo, hi)
        self.damage.known[lo:hi] = True
        if hi >= len(self.pts):
            self.cursor.close()
        if self.damage.count > self.most * len(self.pts):
            self.cursor.close()
            raise self._too_many()

    def _rewind(self) -> None:
        self._start(0)
        self._from = None

    def _start(self, key: int) -> None:
        """Decode from the beginning, or from a later key frame."""
        self.cursor.start(int(self.pts[key]) if key else None)
        self._ahead.clear()
        self._next = self._from = key
        self._broken = 0

    def _move(self, lo: int) -> bool:
        """Make sure that further decoding reaches frame ``lo``; returns whether it had to seek."""
        keys = self.keys[~self.damage.lost[self.keys]] if self.damage.count else self.keys
        at = int(np.searchsorted(keys, lo, "right")) - 1
        key = int(keys[at]) if self.seekable and at >= 0 else 0
        if self.cursor.is_open and key <= self._next <= lo:
            return False
        if key == 0:
            self._rewind()
            return False
        self._start(key)
        return True

    def _fill(self, put: Callable[[int, Any], None], lo: int, hi: int) -> bool:
        """Decode up to frame ``hi``; False if the demuxer landed after the key frame sought."""
        first, last = self._next, self.damage.reach(hi)
        kept: list[tuple[int, av.VideoFrame]] = []
        seen, late = np.zeros(last + 1 - first, bool), _REORDERED
        for i, frame in self._placed():
            if self._from is not None and i > self._from:
                return False  # what follows is predicted from pictures that were not decoded
            self._from = None
            if first <= i <= last:
                seen[i - first] = True
            if frame.is_corrupt:
                self._lose(i)
            elif lo <= i < hi:
                put(i - lo, frame)
            if i < hi:
                self._next = max(self._next, i + 1)
            else:
                kept.append((i, frame))
            late -= i >= last
            # What is missing may still come out late, since frames are reordered: a few more are waited for.
            if i >= last and (not late or seen.all()):
                break
        else:
            if self.ordered and not seen.all() and self._next + self.cursor.broken - self._broken < len(self.pts):
                raise self._miscounted()
        # Decoded already, since damage in them could affect this read; they serve the next one.
        self._ahead.extendleft(reversed(kept))
        for i in (first + np.flatnonzero(~seen)).tolist():
            self._lose(i)
        self._next = max(self._next, min(hi, len(self.pts)))
        return True

    def _placed(self) -> Iterator[tuple[int, av.VideoFrame]]:
        """Frames with their index: first those decoded already, then new ones."""
        after = max((i + 1 for i, _ in self._ahead), default=self._next)
        while self._ahead:
            yield self._ahead.popleft()
        for frame in self.cursor.frames():
            if self.ordered:  # a packet that does not decode leaves its place empty
                i = after + self.cursor.broken - self._broken
                self._broken = self.cursor.broken
                if i >= len(self.pts):
                    continue
            elif (i := self._place(frame, after)) < 0:
                continue
            after = i + 1
            yield i, frame

    def _place(self, frame: av.VideoFrame, after: int) -> int:
        """Index of the picture that a frame is, by its time; -1: none."""
        if frame.pts is None:
            return -1
        if after < len(self.pts) and self.pts[after] == frame.pts:
            return after
        i = int(np.searchsorted(self.pts, frame.pts))
        return i if i < len(self.pts) and self.pts[i] == frame.pts else -1

    def _scaled(self, frame: av.VideoFrame, layout: str, channels: int) -> NDArray[np.generic]:
        """A frame in another format and in the size asked for, [h, w] or [h, w, 3]."""
        if self._scaler is None:
            self._scaler = _scaler()
        height, width = self.size
        # In its own size only chroma is scaled; AREA averages what a smaller size leaves out.
        how = "BILINEAR" if (frame.height, frame.width) == self.size else "AREA"
        plane = self._scaler(frame, width, height, format=layout, interpolation=how).planes[0]
        # swscale pads rows to line_size.
        rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[:height, : width * channels]
        return rows if channels == 1 else rows.reshape(height, width, channels)

    def _lose(self, i: int) -> None:
        if not self.damage.count:
            at = float(self.pts[i] * self.tick)
            tell_once(self.path, f"from {at:.3f} s on pictures do not decode, and count as not observed")
        self.damage.add(i)

    def _miscounted(self) -> DataError:
        return DataError(
            f"{self.path}: {self._next} of {len(self.pts)} frames come out, and {self.path.suffix[1:]} has no times "
            f"that would show which are missing. {remedy(self.path)}"
        )

    def _too_many(self) -> DataError:
        n, log = len(self.pts), self.damage
        at = float(self.pts[int(np.argmax(log.lost))] * self.tick)
        return DataError(
            f"{self.path}: {log.bad} frames do not decode, the first at {at:.3f} s; with those that build on them "
            f"{log.count} of {n} are lost; expected at most a share of {self.most:g} (max_corrupt_share). Raise that "
            f"option to go on without them. {remedy(self.path)}"
        )
