"""Sound of a media file: every sample at its time; gaps and what does not decode are NaN."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from plait.core.errors import DataError
from plait.readers._cursor import Cursor, remedy
from plait.readers._damage import tell_once
from plait.readers._packets import Track
from plait.readers._rifx import unit_floats
from plait.readers._sound_layout import Layout, sound_layout
from plait.readers._words import refuse_infinite
from plait.streams.stream import Values

if TYPE_CHECKING:
    import av

__all__ = ["Sound"]

_NEAR = 20.0
"""Seconds up to which sound is decoded instead of sought: cheap, and values do not depend on earlier reads."""

_PREROLL = 1.0
"""Seconds decoded and discarded after a seek, for codecs whose frames depend on earlier ones."""


@dataclass(eq=False)
class Sound:
    """Samples [n, channels] float32 of one track; `plait.streams.stream.Source`.

    A place more than 20 s away is sought, and 1 s before it is decoded. Codecs that synthesise noise (AAC) then give
    other noise there than one pass would, some 1e-3 at most; all else is the same to the bit.

    Attributes:
        most: share of the samples that may fail to decode, and are NaN then.
    """

    path: Path
    cursor: Cursor
    layout: Layout
    channels: int
    most: float
    _block: tuple[int, NDArray[np.generic]] | None = field(default=None, repr=False)
    _row: int | None = None
    """Index of the frame last decoded; -1 before the first, None after a seek."""
    _wanted: int = 0
    """Frames before this one are decoded only for those after them."""
    _lost: dict[int, int] = field(default_factory=dict, repr=False)
    """Samples that did not decode, by frame."""
    _why: str = ""

    @classmethod
    def of(cls, track: Track, most: float) -> Sound:
        """The source for a track.

        Raises:
            DataError: the track has no sample rate or no channels, its times are broken, or nothing decodes.
        """
        if track.sample_rate <= 0 or track.channels <= 0:
            raise DataError(
                f"{track.path}: the sound has {track.channels} channels at {track.sample_rate} Hz; expected both "
                f"above 0. {remedy(track.path)}"
            )
        layout = sound_layout(track)
        found = cls(track.path, Cursor(track.path, track.index), layout, track.channels, most)
        if layout.lost:
            found._lost[-1] = layout.lost
            tell_once(track.path, "some of the sound does not decode, and is read as NaN")
        return found

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.channels,)

    def read(self, lo: int, hi: int) -> Values:
        out = np.full((hi - lo, self.channels), np.nan, np.float32)
        if hi <= lo:
            return out
        try:
            self._move(lo)
            self._fill(out, lo, hi)
            self._check_share()
        except DataError:
            self._stop()
            raise
        if hi >= self.layout.grid.n:
            self._stop()
        return out

    def _stop(self) -> None:
        self.cursor.close()
        self._block = self._row = None

    def _start(self, pts: int | None = None) -> None:
        self.cursor.start(pts)
        self._block, self._row = None, -1 if pts is None else None

    def _move(self, lo: int) -> None:
        """Make sure that further decoding reaches sample ``lo``."""
        place = self.layout.place
        near = (_NEAR if self.layout.seekable else np.inf) * float(self.layout.grid.rate)
        if self._row is not None and self.cursor.is_open:
            here = int(place[self._row]) if self._block else int(place[self._row] + self.layout.size[self._row])
            if self._row >= 0 and 0 <= lo - here <= near:
                return
        self._wanted = 0
        if lo <= near:
            self._start()
            return
        self._wanted = int(np.searchsorted(place, lo, "right")) - 1
        before = int(np.searchsorted(place, lo - _PREROLL * float(self.layout.grid.rate), "right")) - 1
        self._start(int(self.layout.pts[max(before, 0)]))
        self._block = self._pull()
        if self._block is None or self._block[0] > lo:  # some demuxers land after the place asked for
            self._start()

    def _fill(self, out: NDArray[np.generic], lo: int, hi: int) -> None:
        while True:
            self._block = self._block or self._pull()
            if self._block is None:
                return
            first, values = self._block
            last = first + len(values)
            a, b = max(first, lo), min(last, hi)
            if a < b:
                out[a - lo : b - lo] = values[a - first : b - first]
            if last >= hi:
                return
            self._block = None

    def _pull(self) -> tuple[int, NDArray[np.generic]] | None:
        """The next frame that has a place: index of its first sample, and its samples."""
        layout = self.layout
        while (frame := self.cursor.take()) is not None:
            row = self._row_of(frame)
            if row is None:
                continue
            if self._row is not None and row > self._row + 1:
                self._lose(range(self._row + 1, row))
            self._row = row
            values = self._values(frame, int(layout.place[row]))
            if values is None:
                self._lose(range(row, row + 1))
                values = np.full((int(layout.size[row]), self.channels), np.nan, np.float32)
            elif len(values) < layout.size[row]:
                self._lose(range(row, row + 1), int(layout.size[row]) - len(values))
            return int(layout.place[row]), values[: layout.size[row]]
        if self._row is not None:
            self._lose(range(self._row + 1, len(layout.pts)))
        return None

    def _row_of(self, frame: av.AudioFrame) -> int | None:
        """Index of a frame in the layout, by its time, else by its order; None if it has no place."""
        last = -1 if self._row is None else self._row
        row, pts = last + 1, self.layout.pts
        if not self.layout.ordered and frame.pts is not None and not (row < len(pts) and pts[row] == frame.pts):
            row = int(np.searchsorted(pts, frame.pts, "right")) - 1
        return row if last < row < len(pts) else None

    def _values(self, frame: av.AudioFrame, first: int) -> NDArray[np.float32] | None:
        """Samples of a frame; None where it is damaged or unlike the others."""
        if frame.sample_rate != self.layout.grid.rate or frame.layout.nb_channels != self.channels:
            self._why = (
                f" It changes to {frame.layout.nb_channels} channels at {frame.sample_rate} Hz on the way; expected "
                f"{self.channels} at {self.layout.grid.rate}. Re-encode it: ffmpeg -i {self.path.name} -ar "
                f"{self.layout.grid.rate} -ac {self.channels} {self.path.stem}.wav"
            )
            return None
        if frame.is_corrupt:
            return None
        return refuse_infinite(_floats(frame), f"{self.path} from sample {first} on")

    def _lose(self, rows: range, count: int | None = None) -> None:
        """Note frames that did not decode, or the number of samples that one lacks."""
        for row in rows:
            if row >= self._wanted and row not in self._lost:
                if not self._lost:
                    at = self.layout.place[row] / float(self.layout.grid.rate)
                    tell_once(self.path, f"from {at:.3f} s of it on sound does not decode, and is read as NaN")
                self._lost[row] = int(self.layout.size[row]) if count is None else count

    def _check_share(self) -> None:
        lost, n = sum(self._lost.values()), self.layout.grid.n
        if lost > self.most * n:
            first = max(min(self._lost), 0)
            raise DataError(
                f"{self.path}: {lost} of {n} samples of sound do not decode, the first at "
                f"{self.layout.place[first] / float(self.layout.grid.rate):.3f} s of it; expected at most a share of "
                f"{self.most:g} (max_corrupt_share).{self._why} Raise that option to have them read as NaN. "
                f"{remedy(self.path)}"
            )


def _floats(frame: av.AudioFrame) -> NDArray[np.float32]:
    """[samples, channels] in -1..1."""
    channels = frame.layout.nb_channels
    if frame.format.name.rstrip("p") == "s64":  # PyAV has no array of these
        values = np.stack([np.frombuffer(plane, np.int64) for plane in frame.planes])
        values = values[:, : frame.samples * (1 if frame.format.is_planar else channels)]
    else:
        values = frame.to_ndarray()
    return unit_floats(values.T if frame.format.is_planar else values.reshape(-1, channels))
