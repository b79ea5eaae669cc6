"""Width and height of a still picture from its header, so that no decoder is given more than memory holds."""

from __future__ import annotations

import struct

__all__ = ["MOST_PIXELS", "picture_size"]

MOST_PIXELS = 100_000_000
"""Pixels above which a picture is refused: decoding takes six bytes for each."""

_JPEG_SIZES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_BARE = {0x01, *range(0xD0, 0xD9)}
"""JPEG markers that no length follows."""


def picture_size(data: bytes) -> tuple[int, int] | None:
    """(width, height) of PNG, JPEG, BMP, WebP or TIFF; None for other formats, or if it is cut.

    >>> picture_size(b"BM" + bytes(12) + bytes([40, 0, 0, 0, 30, 0, 0, 0, 20, 0, 0, 0]))
    (30, 20)
    """
    try:
        if data.startswith(b"\x89PNG\r\n\x1a\n"):
            width, height = _png(data)
        elif data.startswith(b"\xff\xd8"):
            width, height = _jpeg(data)
        elif data.startswith(b"BM"):
            small = struct.unpack_from("<I", data, 14)[0] == 12
            width, height = struct.unpack_from("<HH" if small else "<ii", data, 18)
        elif data.startswith(b"RIFF") and data[8:12] == b"WEBP":
            width, height = _webp(data)
        elif data.startswith((b"II*\0", b"MM\0*")):
            width, height = _tiff(data, "<" if data.startswith(b"II") else ">")
        else:
            return None
    except (struct.error, KeyError):
        return None
    # A BMP with a negative height stores its rows from the top down.
    return abs(width), abs(height)


def _png(data: bytes) -> tuple[int, int]:
    """The size in the header, if all chunks are there: a decoder makes room for what a chunk claims to hold."""
    kinds: list[bytes] = []
    at = 8
    while not kinds or kinds[-1] != b"IEND":
        length, kind = struct.unpack_from(">I4s", data, at)
        kinds.append(kind)
        at += 12 + length
        if at > len(data) or kinds[0] != b"IHDR" or (kind == b"IEND" and (length or b"IDAT" not in kinds)):
            raise KeyError("a chunk is cut, or stands in the wrong place")
    width, height = struct.unpack_from(">II", data, 16)
    return width, height


def _jpeg(data: bytes) -> tuple[int, int]:
    """The size in the first frame header (ITU T.81, B.2.2)."""
    at = 2
    while True:
        mark, kind = struct.unpack_from("BB", data, at)
        if mark != 0xFF:
            raise KeyError("no marker")
        if kind == 0xFF or kind in _BARE:  # a fill byte, or a marker without a segment
            at += 1 if kind == 0xFF else 2
            continue
        if kind in _JPEG_SIZES:
            height, width = struct.unpack_from(">HH", data, at + 5)
            return width, height
        at += 2 + struct.unpack_from(">H", data, at + 2)[0]


def _webp(data: bytes) -> tuple[int, int]:
    """The size in the first chunk (Google, "WebP Container Specification")."""
    kind = data[12:16]
    if kind == b"VP8X":
        a, b, c, d, e, f = struct.unpack_from("6B", data, 24)
        # VP8X: width and height less one, in 24 bits each.
        return 1 + a + (b << 8) + (c << 16), 1 + d + (e << 8) + (f << 16)
    if kind == b"VP8L":
        bits = struct.unpack_from("<I", data, 21)[0]
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    width, height = struct.unpack_from("<HH", data, 26)
    return width & 0x3FFF, height & 0x3FFF


def _tiff(data: bytes, order: str) -> tuple[int, int]:
    """The size in the first directory (Adobe, "TIFF 6.0", section 2)."""
    at = struct.unpack_from(order + "I", data, 4)[0]
    tags = {}
    for i in range(struct.unpack_from(order + "H", data, at)[0]):
        tag, kind = struct.unpack_from(order + "HH", data, at + 2 + 12 * i)
        if tag in (256, 257):
            tags[tag] = struct.unpack_from(order + ("H" if kind == 3 else "I"), data, at + 10 + 12 * i)[0]
    return tags[256], tags[257]
