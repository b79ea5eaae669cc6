"""Still pictures."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from plait.core.errors import ConfigError, DataError
from plait.readers import Reader
from plait.readers._still import decode_still, scaled
from plait.readers._words import read_bytes
from plait.streams.clock import Grid
from plait.streams.stream import Stream, Values

__all__ = ["Image"]

_ENDS = {".jpg": b"\xff\xd9", ".jpeg": b"\xff\xd9", ".png": b"IEND"}
"""How a complete file of the format ends: decoders fill what is cut off with grey, without an error."""


class Image(Reader):
    """A stream ``image`` of one observation at 0 s: [1, h, w, 3] uint8 RGB, turned as its EXIF says.

    Args:
        grey: one channel instead of three, [1, h, w, 1].
        width, height: size to scale to, pixels; with one of them the other follows the aspect ratio.

    Raises:
        ConfigError: a size below 1.
        DataError: missing, cut short, or no picture.

    >>> Image().claims(Path("cat.JPG"))
    True
    """

    version = 2
    suffixes: ClassVar[tuple[str, ...]] = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")

    def __init__(self, *, grey: bool = False, width: int | None = None, height: int | None = None) -> None:
        for name, size in (("width", width), ("height", height)):
            if size is not None and size < 1:
                raise ConfigError(f"image.{name}: got {size}; expected a number of pixels above 0.")
        self.grey, self.width, self.height = grey, width, height

    def open(self, path: Path) -> dict[str, Stream]:
        data = read_bytes(path)
        end = _ENDS.get(path.suffix.lower(), b"")
        # Searched for, since some writers append to a picture (previews, notes).
        if not data or end not in data[-65536:]:
            what = "is empty" if not data else "is cut short"
            raise DataError(f"{path}: {what}. Expected a whole picture; get it anew or leave it out.")
        channels = ("grey",) if self.grey else ("red", "green", "blue")
        source = _Picture(path, self.grey, self.width, self.height)
        return {"image": Stream(Grid(0, 1, 1), source, "frames", channels, str(path))}


@dataclass(eq=False)
class _Picture:
    path: Path
    grey: bool
    width: int | None
    height: int | None
    _shape: tuple[int, ...] = field(default=(), repr=False)

    @property
    def shape(self) -> tuple[int, ...]:
        if not self._shape:  # OpenCV shows no header: the picture is decoded once
            self.read(0, 1)
        return self._shape

    def read(self, lo: int, hi: int) -> Values:
        picture = decode_still(read_bytes(self.path), str(self.path), self.grey)
        picture = scaled(picture, self.width, self.height, str(self.path))
        self._shape = picture.shape
        return picture[None][lo:hi]
