"""Video and sound of any container that ffmpeg reads."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from plait.core.errors import ConfigError, DataError
from plait.readers import Reader
from plait.readers._cursor import remedy
from plait.readers._packets import Track, scan
from plait.readers._pictures import Pictures, picture_clock, rotation
from plait.readers._rifx import is_rifx, rifx_sound
from plait.readers._sound import Sound
from plait.streams.stream import Stream

__all__ = ["Media"]

_MOST_PIXELS = 1 << 26
"""Pixels of one picture, 8192 x 8192. Decoding takes some ten bytes per pixel."""


class Media(Reader):
    """Streams ``video``, [n, h, w, 3] uint8 RGB, and ``audio``, [n, channels] float32; further tracks ``audio2`` ...

    Times are the container's presentation times: edit lists, encoder priming and different starts of picture and sound
    are respected, to the tick. Formats without a zero of their own (MPEG program and transport streams, mp3) start at
    0. A constant frame rate gives a `Grid` of that exact fraction, any other `Ticks`. In gaps of the sound, samples are
    NaN. AVI has no presentation times: frames are placed by their order. In AVI and in formats without a zero, a place
    in the middle is reached by decoding from the start.

    Opening reads the packets and decodes no more than the first; only sound whose packets do not say how many samples
    they hold (Vorbis, WMA, gaps) is decoded once to be counted, some 4 s per hour. Reading decodes from the key frame
    before; a read that starts where the last one ended continues decoding. A cover (a picture attached to sound) is no
    stream.

    What does not decode, and what ffmpeg would conceal, is missing: samples are NaN; pictures are black and False in
    `Stream.mask`, as are those predicted from them, up to the next key frame. A warning tells of it; ``plait check
    --deep`` counts it. (HEVC and VP9 decoders hide part of such damage, so that it cannot be told.)

    Args:
        grey: one channel instead of three, [n, h, w, 1].
        width, height: size to scale to while decoding, pixels; with one of them the other follows the aspect ratio.
        max_corrupt_share: share of the pictures, and of the samples, that may be missing; more is an error.

    Raises:
        ConfigError: a size below 1, or a share outside 0 to 1.
        DataError: on opening or reading, of a file that is truncated, corrupt or no media; on reading, of one of
            which more than ``max_corrupt_share`` does not decode.

    >>> sorted(Media(grey=True, width=64).suffixes)[:3]
    ['.3gp', '.aac', '.ac3']
    """

    version = 2
    suffixes: ClassVar[tuple[str, ...]] = (
        *(".mp4", ".m4v", ".mov", ".mkv", ".avi", ".webm", ".mpg", ".mpeg", ".ts", ".mts", ".m2ts", ".flv"),
        *(".wmv", ".3gp", ".ogv", ".wav", ".flac", ".mp3", ".m4a", ".ogg", ".oga", ".aac", ".opus", ".wma"),
        *(".aif", ".aiff", ".aifc", ".au", ".caf", ".w64", ".mka", ".m4b", ".mp2", ".ac3", ".eac3", ".spx", ".ape"),
        *(".wv", ".tta", ".amr"),
    )

    def __init__(
        self,
        *,
        grey: bool = False,
        width: int | None = None,
        height: int | None = None,
        max_corrupt_share: float = 0.05,
    ) -> None:
        if not 0 <= max_corrupt_share <= 1:
            raise ConfigError(f"media.max_corrupt_share: got {max_corrupt_share}; expected a share, 0 to 1.")
        self.max_corrupt_share = max_corrupt_share
        for name, size in (("width", width), ("height", height)):
            if size is not None and size < 1:
                raise ConfigError(f"media.{name}: got {size}; expected a number of pixels above 0.")
        self.grey, self.width, self.height = grey, width, height

    def open(self, path: Path) -> dict[str, Stream]:
        if not path.is_file():
            raise DataError(f"{path}: no such media file. Correct the path or put the file there.")
        if is_rifx(path):
            return {"audio": rifx_sound(path)}
        found: dict[str, Stream] = {}
        for track in scan(path):
            names = [n for n in found if n.rstrip("0123456789") == ("video" if track.type == "video" else "audio")]
            name = f"{track.type}{len(names) + 1 if names else ''}"
            try:
                found[name] = self._video(track) if track.type == "video" else self._audio(track)
            except (ArithmeticError, ValueError) as error:  # numbers in a broken header that no clock can hold
                raise DataError(f"{path}: times of the {track.type} make no sense ({error}). {remedy(path)}") from error
        if not found:
            raise DataError(f"{path}: has neither pictures nor sound in it. Leave it out of the manifest.")
        return found

    def _video(self, track: Track) -> Stream:
        turns = rotation(track.path) if track.path.suffix.lower() in (".mp4", ".m4v", ".mov", ".3gp") else 0
        width, height = (track.height, track.width) if turns % 2 else (track.width, track.height)
        if width <= 0 or height <= 0:
            raise DataError(
                f"{track.path}: pictures are {width} x {height}; expected a size above 0. Get a whole copy."
            )
        size = self._size(width, height)
        _check_size(track.path, width * height)
        _check_size(track.path, size[0] * size[1])
        source = Pictures.of(track, size, self.grey, turns, self.max_corrupt_share)
        if not len(source.pts):
            raise DataError(f"{track.path}: all pictures are marked not to be shown. {remedy(track.path)}")
        clock = picture_clock(source.pts, track.tick, track.rates, track.origin)
        channels = ("grey",) if self.grey else ("red", "green", "blue")
        return Stream(clock, source, "frames", channels, str(track.path))

    def _audio(self, track: Track) -> Stream:
        source = Sound.of(track, self.max_corrupt_share)
        return Stream(source.layout.grid, source, "waveform", (), str(track.path))

    def _size(self, width: int, height: int) -> tuple[int, int]:
        w, h = self.width, self.height
        if w is None and h is None:
            return height, width
        if w is None:
            w = max(1, round(width * (h or 1) / height))
        return h if h is not None else max(1, round(height * w / width)), w


def _check_size(path: Path, pixels: int) -> None:
    if pixels > _MOST_PIXELS:
        raise DataError(
            f"{path}: a picture would have {pixels:,} pixels; expected at most {_MOST_PIXELS:,}. "
            f"Scale it: ffmpeg -i {path.name} -vf scale=1920:-2 {path.stem}.mkv"
        )
