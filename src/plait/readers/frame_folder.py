"""Folders of pictures that are the frames of a film."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from plait.core.errors import ConfigError, DataError
from plait.readers import Reader
from plait.readers._still import decode_still, scaled
from plait.readers._words import read_bytes, read_text
from plait.streams.clock import Clock, Grid, Ticks
from plait.streams.stream import Stream, Values

__all__ = ["FrameFolder"]

_ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff")


class FrameFolder(Reader):
    """A stream ``frames``: the pictures of a folder ``NAME.frames``, [n, h, w, 3] uint8 RGB, ordered by their names.

    Numbers in names are ordered as people count (``f9.png`` before ``f10.png``). The clock is a ``rate``, or a file
    ``times.txt`` in the folder with one time in seconds per line. All pictures must have one size. To read a folder of
    another name, name the reader.

    Args:
        rate: pictures per second; it overrides ``times.txt``.
        grey: one channel instead of three, [n, h, w, 1].
        width, height: size to scale to, pixels; with one of them the other follows the aspect ratio.

    Raises:
        ConfigError: a size below 1.
        DataError: on opening: no folder, no pictures, no clock, not one time per picture; on reading: a picture
            that is broken or of another size.

    >>> FrameFolder(rate=25).suffixes
    ('/',)
    """

    version = 2
    suffixes: ClassVar[tuple[str, ...]] = ("/",)

    def __init__(
        self,
        *,
        rate: float | str | None = None,
        grey: bool = False,
        width: int | None = None,
        height: int | None = None,
    ) -> None:
        for name, size in (("width", width), ("height", height)):
            if size is not None and size < 1:
                raise ConfigError(f"frame_folder.{name}: got {size}; expected a number of pixels above 0.")
        self.rate, self.grey, self.size = rate, grey, (width, height)

    def claims(self, path: Path) -> bool:
        """Whether it is a folder whose name ends in ``.frames``."""
        return path.is_dir() and path.suffix == ".frames"

    def open(self, path: Path) -> dict[str, Stream]:
        if not path.is_dir():
            raise DataError(f"{path}: no such folder of pictures. Correct the path.")
        names = sorted((p.name for p in path.iterdir() if p.suffix.lower() in _ENDINGS), key=_natural)
        if not names:
            raise DataError(f"{path}: has no pictures ({' '.join(_ENDINGS)}). Put them there, or leave it out.")
        source = _Stills(path, tuple(names), self.grey, self.size)
        channels = ("grey",) if self.grey else ("red", "green", "blue")
        return {"frames": Stream(self._clock(path, len(names)), source, "frames", channels, str(path))}

    def _clock(self, path: Path, n: int) -> Clock:
        if self.rate is not None:
            return Grid(0, self.rate, n)
        file = path / "times.txt"
        if not file.is_file():
            raise DataError(f"{path}: nothing says when its {n} pictures were taken. Give a rate, or write times.txt.")
        try:
            times = [float(line) for line in read_text(file).split()]
            clock = Ticks(times)
        except (ValueError, DataError) as error:
            raise DataError(f"{file}: {error}. Expected one time in seconds per line.") from error
        if len(clock) != n:
            raise DataError(f"{file}: {len(clock)} times, but there are {n} pictures. Expected one each.")
        return clock


def _natural(name: str) -> list[tuple[bool, int, str]]:
    # At most 18 digits: int() refuses texts of more than 4,300.
    parts = re.split(r"([0-9]{1,18})", name)
    return [(part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in parts]


@dataclass(eq=False)
class _Stills:
    """Pictures decoded one by one; `plait.streams.stream.Source`."""

    folder: Path
    names: tuple[str, ...]
    grey: bool
    size: tuple[int | None, int | None]
    _shape: tuple[int, ...] = ()

    @property
    def shape(self) -> tuple[int, ...]:
        if not self._shape:
            self._shape = self._picture(self.names[0]).shape
        return self._shape

    def read(self, lo: int, hi: int) -> Values:
        lo, hi = max(lo, 0), min(hi, len(self.names))
        out = np.empty((max(hi - lo, 0), *self.shape), np.uint8)
        for i, name in enumerate(self.names[lo:hi]):
            picture = self._picture(name)
            if picture.shape != self.shape:
                raise DataError(
                    f"{self.folder / name}: is {picture.shape[1]} x {picture.shape[0]} pixels, but {self.names[0]} is "
                    f"{self.shape[1]} x {self.shape[0]}. Make them one size, or set width and height."
                )
            out[i] = picture
        return out

    def _picture(self, name: str) -> NDArray[np.generic]:
        path = self.folder / name
        return scaled(decode_still(read_bytes(path), str(path), self.grey), *self.size, str(path))
