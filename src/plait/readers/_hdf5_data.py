"""Values in an HDF5 file: types, shapes, layouts, filters and attributes, as the messages of an object describe them.

Source: The HDF Group, "HDF5 File Format Specification Version 3.0", IV.A.2.
"""

from __future__ import annotations

import math
import struct
import zlib
from dataclasses import dataclass

import numpy as np

__all__ = ["Filters", "Layout", "Type", "attribute_of", "decode", "filters_of", "layout_of", "shape_of", "type_of"]

_LARGEST_CHUNK = 1 << 27
_DEFLATE, _SHUFFLE, _FLETCHER = 1, 2, 3

Filters = tuple[tuple[int, int], ...]
"""Number and first value of each filter, in the order in which they were applied."""


@dataclass(frozen=True)
class Type:
    """``letter``: i, u, f; S: texts of ``size`` bytes; V: texts in a heap."""

    letter: str
    size: int
    dtype: str
    """NumPy's, with the byte order, of numbers."""


@dataclass(frozen=True)
class Layout:
    """Where values stand: inline, at an address, or in chunks that a tree at the address leads to."""

    address: int = 0
    inline: bytes | None = None
    chunk: tuple[int, ...] | None = None


def type_of(data: bytes) -> Type:
    """The type of a dataset's values."""
    kind, bits, size = data[0] & 15, int.from_bytes(data[1:4], "little"), struct.unpack_from("<I", data, 4)[0]
    order = ">" if bits & 1 else "<"
    if kind in (0, 1):
        offset, precision = struct.unpack_from("<HH", data, 8)
        letter = "f" if kind else "i" if bits & 8 else "u"
        sizes = (2, 4, 8) if kind else (1, 2, 4, 8)
        if size not in sizes or offset or precision != 8 * size or (kind and bits & 0x40):
            raise ValueError(f"numbers of {precision} bits in {size} bytes are not read")
        return Type(letter, size, f"{order}{letter}{size}")
    if kind == 3 and 0 < size < 1 << 20:
        return Type("S", size, "")
    if kind == 9 and bits & 15 == 1:
        return Type("V", 16, "")
    raise ValueError(f"values are neither numbers nor texts (class {kind})")


def shape_of(data: bytes) -> tuple[int, ...]:
    """The sizes of a dataset or an attribute."""
    version, rank = struct.unpack_from("<BB", data)
    if version not in (1, 2) or rank > 32:
        raise ValueError(f"an array's shape is of version {version} with {rank} axes")
    shape: tuple[int, ...] = struct.unpack_from(f"<{rank}Q", data, 8 if version == 1 else 4)
    return shape


def attribute_of(data: bytes) -> dict[str, bytes | int | float]:
    """Name and value of an attribute that is a text or a number (of several the first); of any other nothing."""
    version, flags, *sizes = struct.unpack_from("<BBHHH", data)
    if version not in (1, 2, 3) or (version > 1 and flags & 3):
        raise ValueError(f"an attribute is of version {version} with flags {flags}, which is not read")
    at, parts = 9 if version == 3 else 8, []
    for size in sizes:
        parts.append(data[at : at + size])
        at += size + (-size % 8 if version == 1 else 0)
    name = parts[0].rstrip(b"\0").decode("utf-8", "replace")
    try:
        type = type_of(parts[1])
    except ValueError:
        return {}
    if type.letter == "V" or 0 in shape_of(parts[2]):
        return {}
    value = data[at : at + type.size]
    return {name: value.rstrip(b"\0") if type.letter == "S" else np.frombuffer(value, type.dtype)[0].item()}


def layout_of(data: bytes, shape: tuple[int, ...], size: int) -> Layout:
    """Where a dataset's values are."""
    version, kind = data[0], data[1]
    if version in (1, 2):
        return _old_layout(data, shape, size)
    if version not in (3, 4):
        raise ValueError(f"a layout is of version {version}, which is not read")
    if kind == 0:
        length = struct.unpack_from("<H", data, 2)[0]
        return Layout(inline=data[4 : 4 + length])
    if kind == 1:
        return Layout(struct.unpack_from("<Q", data, 2)[0])
    if kind != 2 or version == 4:
        raise ValueError("values are stored in a way that is not read; write the file with h5py's defaults")
    rank, address = data[2], struct.unpack_from("<Q", data, 3)[0]
    return _chunked(address, struct.unpack_from(f"<{rank}I", data, 11), shape, size)


def _old_layout(data: bytes, shape: tuple[int, ...], size: int) -> Layout:
    """Of versions 1 and 2, which MATLAB wrote for long."""
    rank, kind = data[1], data[2]
    if kind > 2:
        raise ValueError(f"values are stored in way {kind}, which is not read")
    at = 16 if kind else 8
    sizes: tuple[int, ...] = struct.unpack_from(f"<{rank}I", data, at)
    if not kind:
        length = struct.unpack_from("<I", data, at + 4 * rank)[0]
        return Layout(inline=data[at + 4 * rank + 4 :][:length])
    address = struct.unpack_from("<Q", data, 8)[0]
    return Layout(address) if kind == 1 else _chunked(address, sizes, shape, size)


def _chunked(address: int, chunk: tuple[int, ...], shape: tuple[int, ...], size: int) -> Layout:
    rank = len(chunk)
    if rank != len(shape) + 1 or chunk[-1] != size or not 0 < math.prod(chunk) <= _LARGEST_CHUNK:
        raise ValueError(f"chunks of {chunk} do not fit an array of {shape}")
    return Layout(address, chunk=chunk[:-1])


def filters_of(data: bytes) -> Filters:
    """What chunks were put through."""
    if not data:
        return ()
    version, count = data[0], data[1]
    at = 8 if version == 1 else 2
    found = []
    for _ in range(count):
        (number,) = struct.unpack_from("<H", data, at)
        named = version == 1 or number >= 256
        length, _, values = (
            struct.unpack_from("<HHH", data, at + 2) if named else (0, *struct.unpack_from("<HH", data, at + 2))
        )
        at += 8 if named else 6
        at += length + (-length % 8 if version == 1 else 0)
        first = struct.unpack_from("<I", data, at)[0] if values else 0
        at += 4 * values + (4 if version == 1 and values % 2 else 0)
        found.append((number, first))
    unknown = [number for number, _ in found if number not in (_DEFLATE, _SHUFFLE, _FLETCHER)]
    if len({number for number, _ in found}) < len(found):
        raise ValueError("values are packed by one filter several times, which is not read")
    if unknown:
        raise ValueError(f"values are packed by filter {unknown[0]}; known are deflate, shuffle and Fletcher32")
    return tuple(found)


def decode(raw: bytes, filters: Filters, mask: int, size: int) -> bytes:
    """A chunk as it was before the filters, ``size`` bytes; bit i of ``mask`` says that filter i was left out."""
    for i, (number, value) in reversed(list(enumerate(filters))):
        if mask >> i & 1:
            continue
        if number == _FLETCHER:
            raw = raw[:-4]
        elif number == _SHUFFLE:
            raw = _unshuffled(raw, value)
        else:
            unpack = zlib.decompressobj()
            raw = unpack.decompress(raw, size + 8)
    if len(raw) != size:
        raise ValueError(f"a chunk has {len(raw)} bytes; expected {size}")
    return raw


def _unshuffled(raw: bytes, size: int) -> bytes:
    """Bytes of a value side by side again."""
    if size < 2 or len(raw) < size:
        return raw
    whole = len(raw) // size * size
    return np.frombuffer(raw[:whole], np.uint8).reshape(size, -1).T.tobytes() + raw[whole:]
