"""What a media container states of its tracks: times of packets, read without decoding them."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from plait.core.errors import DataError, raise_all
from plait.readers._cursor import av_errors, remedy

if TYPE_CHECKING:
    import av

__all__ = ["Track", "scan"]

_INDEXED = ("mov", "avi", "wav", "w64", "flac", "aiff")
"""Formats whose header states the length of each track; for others the demuxer guesses it."""

_SEEKABLE = ("mov", "matroska", "wav", "w64", "flac", "aiff")
"""Formats with the same times after a seek; in others (MPEG streams, mp3) they are guessed from the bytes skipped."""

_TIMED = ("mov", "matroska", "mpeg", "asf", "flv", "live_flv", "ogg", "nut", "mxf", "gxf", "rm", "wtv")
"""Formats (mpegts too) whose packets have times; in all others sound is continuous and timed by counting samples."""

_PROBED = 32
"""Most packets of sound that are decoded on opening, until one gives a frame."""

_TS_DISCONT, _ATTACHED_PICTURE = 0x0200, 0x0400


@dataclass
class Track:
    """One track: its packets in the order of the file, times in ticks of ``tick`` seconds.

    ``origin`` is the time, in seconds, that becomes 0: an MPEG program stream starts at any time, an mp3 at the end of
    its encoder's padding; for all other formats it is 0.
    """

    path: Path
    index: int
    type: str
    tick: Fraction
    origin: Fraction
    ordered: bool
    """Whether packets have no presentation times (AVI with B-frames), so that frames are placed by their order."""
    seekable: bool
    """Whether reading may start in the middle."""
    pts: NDArray[np.int64]
    duration: NDArray[np.int64]
    key: NDArray[np.bool_]
    discard: NDArray[np.bool_]
    skips: dict[int, tuple[int, int]]
    """Samples to drop at the front and the back of what packet i decodes to."""
    rates: tuple[Fraction, ...] = ()
    width: int = 0
    height: int = 0
    codec: str = ""
    timed: bool = True
    """Whether packets have times, so that there may be gaps."""
    sample_rate: int = 0
    channels: int = 0
    sparse: bool = False
    """Whether some packets have no time."""
    first: tuple[int, int, int] | None = None
    """The first frame of sound: number of its packet, its time, and its number of samples."""


@dataclass
class _Probe:
    """Decodes the first packets of a sound track until one gives a frame: those before it only prime the decoder."""

    found: tuple[int, int, int] | None = None
    done: bool = False

    def add(self, packet: av.Packet, number: int) -> None:
        try:
            frames = packet.decode()
        except av_errors():
            frames = []
        self.done = bool(frames) or number >= _PROBED
        if len(frames) == 1 and frames[0].pts is not None:
            self.found = (number, frames[0].pts, frames[0].samples)


@dataclass
class _Notes:
    """What is collected about a track while the file is read through."""

    pts: list[int | None] = field(default_factory=list)
    dts: list[int | None] = field(default_factory=list)
    duration: list[int] = field(default_factory=list)
    flags: list[tuple[bool, bool]] = field(default_factory=list)
    skips: dict[int, tuple[int, int]] = field(default_factory=dict)
    cut: bool = False
    probe: _Probe | None = None

    def add(self, packet: av.Packet) -> None:
        if self.probe is not None and not self.probe.done:
            self.probe.add(packet, len(self.pts))
        if packet.has_sidedata("skip_samples"):
            # ffmpeg, AV_PKT_DATA_SKIP_SAMPLES: samples to skip at the front and the back, then reasons.
            front, back = struct.unpack("<II", bytes(packet.get_sidedata("skip_samples"))[:8])
            self.skips[len(self.pts)] = (front, back)
        self.pts.append(packet.pts)
        self.dts.append(packet.dts)
        self.duration.append(packet.duration or 0)
        self.flags.append((packet.is_keyframe, packet.is_discard))
        self.cut = packet.is_corrupt

    @property
    def end(self) -> int:
        """Last tick that any packet reaches; one without a duration counts as long as the median step."""
        times = sorted(p for p in self.pts if p is not None)
        usual = int(np.median(np.diff(times))) if len(times) > 1 and not all(self.duration) else 0
        return max((p + (d or usual) for p, d in zip(self.pts, self.duration) if p is not None), default=0)


def scan(path: Path) -> list[Track]:
    """The picture and sound tracks of a file that have packets.

    Raises:
        DataError: the file is no media file, is cut short, or its packets have no times.
    """
    import av

    try:
        with av.open(str(path), metadata_errors="ignore") as container:
            notes = {s.index: _Notes(probe=_Probe() if s.type == "audio" else None) for s in container.streams}
            for packet in container.demux():
                # At the end PyAV gives an empty packet per track, which flushes its decoder.
                if packet.size:
                    notes[packet.stream_index].add(packet)
            raise_all(DataError, _shortfalls(path, container, notes))
            kept = [s for s in container.streams if s.type in ("video", "audio") and notes[s.index].pts]
            return [_track(path, container, s, notes[s.index]) for s in kept if not _is_cover(s)]
    except av_errors() as error:
        raise DataError(
            f"{path}: cannot be read as video or sound ({error}). Expected a whole media file; an mp4 that was "
            f"cut off while being written has lost its index. {remedy(path)}"
        ) from error


def _is_cover(stream: av.stream.Stream) -> bool:
    flags = stream.disposition  # an int or an enum, depending on the version of PyAV
    return bool(int(getattr(flags, "value", flags)) & _ATTACHED_PICTURE)


def _shortfalls(path: Path, container: av.container.InputContainer, notes: dict[int, _Notes]) -> list[str]:
    problems = []
    kind = container.format.name
    for stream in container.streams:
        note = notes[stream.index]
        if _is_cover(stream):
            continue
        if note.cut:
            problems.append(f"{path}: the last packet of the {stream.type} is cut. {remedy(path)}")
        elif kind.startswith(_INDEXED) and stream.type in ("video", "audio") and _is_short(stream, note, kind):
            tick = float(stream.time_base)
            problems.append(
                f"{path}: {stream.type} ends at {note.end * tick:.3f} s ({len(note.pts)} packets), but its index "
                f"promises {stream.duration * tick:.3f} s. The file is cut short. {remedy(path)}"
            )
    ends = [float(n.end * s.time_base) for s in container.streams if (n := notes[s.index]).pts and s.time_base]
    # A single packet without a duration (a subtitle, say) may last until the end that the header states.
    open_ended = any(len(n.pts) == 1 and not n.duration[0] for n in notes.values())
    if kind.startswith("matroska") and container.duration and ends and not open_ended:
        # AV_TIME_BASE: microseconds.
        promised = container.duration / 1e6
        if promised - max(ends) > max(0.25, 0.02 * promised):
            problems.append(
                f"{path}: the tracks end at {max(ends):.3f} s, but the header promises {promised:.3f} s. "
                f"The file is cut short. {remedy(path)}"
            )
    return problems


def _is_short(stream: av.stream.Stream, note: _Notes, kind: str) -> bool:
    if not stream.duration or not _counts(stream, kind):
        return False
    missing = int((stream.start_time or 0) + stream.duration - note.end)
    step = int(np.median(note.duration)) if note.duration else 1
    if missing <= 1.5 * step:
        return False
    fewer = stream.type == "video" and len(note.pts) < stream.frames
    return bool(fewer or missing > 0.05 * stream.duration)


def _counts(stream: av.stream.Stream, kind: str) -> bool:
    """Whether the index counts in the unit of packet times: for compressed sound, RIFF counts bytes or blocks."""
    name = stream.codec_context.name if stream.codec_context else ""
    return not kind.startswith(("avi", "wav", "w64")) or stream.type != "audio" or name.startswith("pcm_")


def _first(container: av.container.InputContainer) -> Fraction:
    """Start of the first track, seconds, for formats with an arbitrary zero."""
    starts = [s.start_time * Fraction(s.time_base) for s in container.streams if s.start_time is not None]
    first: Fraction = min(starts, default=Fraction(0))
    return first


def _track(path: Path, container: av.container.InputContainer, stream: av.stream.Stream, note: _Notes) -> Track:
    bare = [i for i, (p, d) in enumerate(zip(note.pts, note.dts)) if p is None and d is None]
    kind, context = container.format.name, stream.codec_context
    without = bool(bare) if stream.type == "video" else len(bare) == len(note.pts) and kind.startswith(_TIMED)
    if without or not stream.time_base:
        raise DataError(
            f"{path}: {len(bare)} packets of the {stream.type} have no time. "
            f"Put them into a container with times: ffmpeg -i {path.name} -c copy {path.stem}.mkv"
        )
    if context is None:
        raise DataError(f"{path}: the {stream.type} is in a format that is not known. {remedy(path)}")
    floating = bool(int(container.format.flags) & _TS_DISCONT) or kind == "mp3"
    flags = np.array(note.flags, bool)
    pairs = list(zip(note.pts, note.dts))
    if kind == "avi":  # frames are in decoding order; the demuxer's guess at pts is a frame late
        pairs = [(d, p) for p, d in pairs]
    times = [next((t for t in pair if t is not None), 0) for pair in pairs]
    by_order = kind == "avi" and note.pts != note.dts
    ordered = by_order or None in note.pts or len(set(times)) < len(times)
    common = {
        "path": path,
        "index": stream.index,
        "type": stream.type,
        "tick": Fraction(stream.time_base),
        "origin": _first(container) if floating else Fraction(0),
        "ordered": ordered,
        "seekable": kind.startswith(_SEEKABLE) and not ordered,
        "pts": np.array(times, np.int64),
        "duration": np.array(note.duration, np.int64),
        "key": flags[:, 0],
        "discard": flags[:, 1],
        "skips": note.skips,
        "codec": context.codec.canonical_name,
    }
    if stream.type == "video":
        rates = [Fraction(r) for r in (stream.guessed_rate, stream.average_rate) if r]
        return Track(**common, rates=tuple(rates), width=context.width, height=context.height)
    return Track(
        **common,
        sparse=bool(bare),
        timed=kind.startswith(_TIMED),
        sample_rate=context.sample_rate or 0,
        channels=context.layout.nb_channels if context.layout else 0,
        first=note.probe.found if note.probe else None,
    )
