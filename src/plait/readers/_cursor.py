"""One open decoder of one track of a media file, used for pictures and for sound."""

from __future__ import annotations

import os
import weakref
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plait.core.errors import DataError

if TYPE_CHECKING:
    import av

__all__ = ["Cursor", "av_errors", "remedy"]

_LIMIT = 16
# Weak: a cursor that nobody holds any more is collected, which closes its file.
_open: OrderedDict[int, weakref.ref[Cursor]] = OrderedDict()
_inherited: list[object] = []


def av_errors() -> tuple[type[Exception], ...]:
    """What PyAV raises for bad bytes."""
    import av

    return (av.error.FFmpegError, OSError, ValueError, ArithmeticError, MemoryError, IndexError)


def remedy(path: Path) -> str:
    """What to do about a media file that does not decode."""
    return f"Get a whole copy, or salvage it with: ffmpeg -err_detect ignore_err -i {path.name} mended{path.suffix}"


class Cursor:
    """Decoded frames of one track, in order; opens its file when first asked, closes it at the end.

    At most 16 files are open in a process: the least recently used one is closed, and resumes by seeking.
    A cursor carried into a forked or spawned process opens the file anew, as two processes must not share
    one file position. A packet that does not decode is counted (`broken`) and skipped, as ffmpeg does.

    Args:
        path: the file.
        track: the stream's index in the container.
        threads: whether several threads may decode (slower on short clips).
    """

    def __init__(self, path: Path, track: int, threads: bool = False) -> None:
        self.path, self.track, self.threads = path, track, threads
        self._container: av.container.InputContainer = None
        self._frames: Iterator[av.frame.Frame] = iter(())
        self._pid = 0
        self._tally = [0]

    def __reduce__(self) -> tuple[object, ...]:
        return (Cursor, (self.path, self.track, self.threads))

    @property
    def is_open(self) -> bool:
        return self._container is not None and self._pid == os.getpid()

    def start(self, pts: int | None = None) -> None:
        """Decode from the beginning, or from the key frame at or before ``pts`` (ticks)."""
        if pts is None or not self.is_open:
            self.close()
            self._open_file()
        _open.move_to_end(id(self))
        track = self._container.streams[self.track]
        try:
            if pts is not None:
                self._container.seek(pts, stream=track)
            self._frames = _decoded(self._container, track, self._tally)
        except av_errors() as error:
            raise self._broken(error) from error

    @property
    def broken(self) -> int:
        """Packets since the start that did not decode and were skipped."""
        return self._tally[0]

    def take(self) -> av.frame.Frame | None:
        """The next frame, or None at the end.

        Raises:
            DataError: the file cannot be read any further.
        """
        if not self.is_open:
            return None
        _open.move_to_end(id(self))
        try:
            frame = next(self._frames, None)
        except av_errors() as error:
            self.close()
            raise self._broken(error) from error
        if frame is None:
            self.close()
        return frame

    def frames(self) -> Iterator[av.frame.Frame]:
        """The frames from here on, as `take` gives them; stopping in between leaves the rest for the next call.

        Nothing else may be read meanwhile: other files might be opened, and this one closed for them.

        Raises:
            DataError: the file cannot be read on.
        """
        if self.is_open:
            _open.move_to_end(id(self))
        while self._container is not None:
            try:
                frame = next(self._frames, None)
            except av_errors() as error:
                self.close()
                raise self._broken(error) from error
            if frame is None:
                self.close()
                return
            yield frame

    def close(self) -> None:
        """Close the file; a later `start` opens it again."""
        container, self._container, self._frames = self._container, None, iter(())
        _open.pop(id(self), None)
        if container is None:
            return
        if self._pid != os.getpid():
            _inherited.append(container)  # closing would wait for decoder threads that a fork does not copy
        else:
            container.close()

    def __del__(self) -> None:
        if self._container is not None:
            self.close()

    def _open_file(self) -> None:
        import av

        while len(_open) >= _LIMIT:
            _, oldest = _open.popitem(last=False)
            if (cursor := oldest()) is not None:
                cursor.close()
        try:
            # Tags in an encoding other than UTF-8 must not cost the file.
            self._container = av.open(str(self.path), metadata_errors="ignore")
            track = self._container.streams[self.track]
            track.thread_type = "AUTO" if self.threads else "NONE"
            if track.codec_context.name == "flac":  # every frame has a checksum; otherwise damage would sound as noise
                track.codec_context.options = {"err_detect": "crccheck"}
            _skip_others(self._container, self.track)
        except av_errors() as error:
            raise self._broken(error) from error
        self._pid = os.getpid()
        _open[id(self)] = weakref.ref(self)

    def _broken(self, error: BaseException) -> DataError:
        return DataError(f"{self.path}: track {self.track} does not decode ({error}). {remedy(self.path)}")


def _decoded(
    container: av.container.InputContainer, track: av.stream.Stream, tally: list[int]
) -> Iterator[av.frame.Frame]:
    """Frames of all packets that decode; others are counted. (PyAV's own ``decode`` ends at the first bad one.)"""
    bad, tally[0] = av_errors(), 0
    for packet in container.demux(track):
        try:
            frames = packet.decode()
        except bad:
            tally[0] += 1
            continue
        yield from frames


def _skip_others(container: av.container.InputContainer, track: int) -> None:
    """Let the demuxer skip all other tracks, so that reading the sound of a long video skips its pictures."""
    import av.stream

    discard: Any = getattr(av.stream, "Discard", None)
    if discard is None:  # PyAV before 18
        return
    for stream in container.streams:
        if stream.index != track:
            stream.discard = discard.all
