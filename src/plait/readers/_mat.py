"""MATLAB files of versions 4 and 5 to 7: their numeric and text arrays, found by headers and loaded later.

Written here because existing readers crash the process on some broken files.

Source: MathWorks, "MAT-File Format" (R2023b), chapters "Level 5 MAT-File Format" and "Version 4 MAT-File Format".
"""

from __future__ import annotations

import math
import mmap
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from plait.core.errors import DataError
from plait.readers._budget import USUAL, Budget, Purse

__all__ = ["MatArray", "list_mat"]

_STORED = {
    1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8",
    16: "u1", 17: "u2", 18: "u4",
}  # fmt: skip
"""NumPy's types by the number of the storage type (miINT8 ...)."""

_CLASSES = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8"}
_CHAR, _MATRIX, _PACKED, _OPAQUE = 4, 14, 15, 17
_OTHERS = {1: "cell", 2: "structure", 3: "object", 5: "sparse", 16: "function", 17: "object"}
"""What an array of another class is."""
_V4 = ("f8", "f4", "i4", "i2", "u2", "u1")
_HEAD = 4096
"""Bytes of a packed element that are unpacked to find its header: flags, sizes and name."""


@dataclass(frozen=True)
class MatArray:
    """An array in a MATLAB file, as its header describes it.

    Attributes:
        shape: sizes; for text without the last axis, along which its letters run.
        kind: NumPy's letter of the type; ``O`` for what is neither real numbers nor text (cells, structures ...).
    """

    path: Path
    name: str
    shape: tuple[int, ...]
    kind: str
    at: int
    """Where its element begins in the file."""
    why: str = ""
    """Why it is not read."""
    budget: Budget = USUAL

    def load(self) -> NDArray[np.generic]:
        """The values.

        Raises:
            DataError: the file is broken after the header, or was replaced.
        """
        with _mapped(self.path) as data:
            try:
                purse = self.budget.purse(self.path)
                return (_v4 if _is_v4(data) else _v5)(self.path, data, self.at, purse)[2]
            except _BROKEN as error:
                raise _broken(self.path, f"{self.name}: {error}") from error


_BROKEN = (struct.error, zlib.error, ValueError, IndexError, OverflowError)


def list_mat(path: Path, budget: Budget = USUAL) -> list[MatArray]:
    """The arrays of a file.

    Raises:
        DataError: it is not such a file, or is cut short.
    """
    found: list[MatArray] = []
    with _mapped(path) as data:
        try:
            # Version 5 begins with a header of 128 bytes; version 4 has none.
            find, at = (_v4, 0) if _is_v4(data) else (_v5, 128)
            if at:
                _order(data)
            while at < len(data):
                array, at, _ = find(path, data, at, None)
                if array is not None and array.name:  # an array without a name holds workspaces of functions
                    found.append(replace(array, budget=budget))
        except _BROKEN as error:
            raise _broken(path, str(error)) from error
    return found


@contextmanager
def _mapped(path: Path) -> Iterator[mmap.mmap]:
    try:
        with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            yield data
    except (OSError, ValueError) as error:  # an empty file cannot be mapped
        raise _broken(path, str(error)) from error


def _broken(path: Path, why: str) -> DataError:
    return DataError(
        f"{path}: cannot be read as a MATLAB file ({why}). Get a whole copy, or save the arrays anew "
        "in MATLAB with -v7."
    )


def _is_v4(data: mmap.mmap) -> bool:
    return 0 in data[:4]  # later versions begin with text


def _order(data: mmap.mmap) -> str:
    mark = data[126:128]
    if mark not in (b"IM", b"MI"):
        raise ValueError("it does not state its byte order")
    return "<" if mark == b"IM" else ">"


def _tag(data: bytes, at: int, order: str) -> tuple[int, int, int, int]:
    """Storage type, offset and length of the content, and offset of the next element."""
    (kind,) = struct.unpack_from(order + "I", data, at)
    if kind >> 16:  # a small element: type and length in one word, the content in the next
        if kind >> 16 > 4:
            raise ValueError("a small element is too long")
        return kind & 0xFFFF, at + 4, kind >> 16, at + 8
    (size,) = struct.unpack_from(order + "I", data, at + 4)
    return kind, at + 8, size, at + 8 + size + (-size % 8 if kind != _PACKED else 0)


Found = tuple[MatArray | None, int, NDArray[np.generic]]
"""An array, where the next element begins, and the array's values if they were wanted."""


def _v5(path: Path, data: mmap.mmap, at: int, purse: Purse | None) -> Found:
    order = _order(data)
    kind, place, size, after = _tag(data[at : at + 8], 0, order)
    place += at
    if place + size > len(data):
        raise ValueError("it is cut short")
    content = data[place : place + (size if purse else min(size, _HEAD))]
    if kind == _PACKED:
        content, size = _unpacked(content, size, order, purse)
        kind = _MATRIX
    if kind != _MATRIX or not size:
        return None, at + after, np.empty(0)
    array, values = _matrix(path, content, size, order, at, purse)
    return array, at + after, values


def _unpacked(packed: bytes, size: int, order: str, purse: Purse | None) -> tuple[bytes, int]:
    """Content of the matrix in a compressed element (without a purse: its beginning), and its stated length."""
    unpack = zlib.decompressobj()
    head = unpack.decompress(packed, _HEAD)
    kind, begin, inner, _ = _tag(head, 0, order)
    if kind != _MATRIX:
        return b"", 0
    if inner > 1100 * size:  # zlib packs no denser than that
        raise ValueError("an element promises more than the file can hold")
    if purse:
        purse.spend(inner, "an array")
        head += unpack.decompress(unpack.unconsumed_tail, max(begin + inner - len(head), 1))
        unpack.decompress(unpack.unconsumed_tail, 1)  # reaches the checksum
        if not unpack.eof:
            raise ValueError("a packed element has another length than it says")
    return head[begin:], inner


def _matrix(
    path: Path, data: bytes, size: int, order: str, at: int, purse: Purse | None
) -> tuple[MatArray, NDArray[np.generic]]:
    _, place, _, after = _tag(data, 0, order)
    (flags,) = struct.unpack_from(order + "I", data, place)
    kind, is_complex = flags & 0xFF, bool(flags & 0x800)
    if kind not in _CLASSES and kind != _CHAR:  # cells, structures, sparse ...; some have no sizes
        name = _name(data, after if kind == _OPAQUE else _tag(data, after, order)[3], order)[0]
        return MatArray(path, name, (), "O", at, _OTHERS.get(kind, "")), np.empty(0)
    _, place, length, after = _tag(data, after, order)
    shape = struct.unpack_from(f"{order}{length // 4}i", data, place)
    if len(shape) < 2 or min(shape) < 0 or math.prod(shape) > max(size, 1):  # an element takes a byte at least
        raise ValueError(f"an array has the sizes {shape}")
    name, after = _name(data, after, order)
    letter = "U" if kind == _CHAR else "O" if is_complex else np.dtype(_CLASSES[kind]).kind
    why = "complex" if letter == "O" else ""
    array = MatArray(path, name, shape[:-1] if letter == "U" else shape, letter, at, why)
    if purse is None or letter == "O":
        return array, np.empty(0)
    if letter == "U":
        purse.count(math.prod(shape) / 8, "letters (8 count as one)")
    return array, _numbers(data, after, order, shape, kind)


def _name(data: bytes, at: int, order: str) -> tuple[str, int]:
    _, place, length, after = _tag(data, at, order)
    return data[place : place + length].decode("latin-1").rstrip("\0"), after


def _numbers(data: bytes, at: int, order: str, shape: tuple[int, ...], kind: int) -> NDArray[np.generic]:
    stored, place, length, _ = _tag(data, at, order)
    if stored not in _STORED:
        raise ValueError(f"values are stored as type {stored}, which is unknown")
    dtype = np.dtype(order + _STORED[stored])
    raw = data[place : place + length]
    if kind == _CHAR:
        return _letters(raw, stored, dtype, order, shape)
    if len(raw) < length or length != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"{len(raw)} bytes of values for the sizes {shape}")
    with np.errstate(over="ignore", invalid="ignore"):
        # MATLAB stores columns first, and doubles of small whole numbers as bytes: hence the type of the class.
        return np.frombuffer(raw, dtype).reshape(shape, order="F").astype(_CLASSES[kind])


def _letters(
    raw: bytes, stored: int, dtype: np.dtype[np.generic], order: str, shape: tuple[int, ...]
) -> NDArray[np.generic]:
    """Rows of text: letters run along the last axis."""
    if stored in (16, 17, 18):
        coding = {16: "utf-8", 17: "utf-16-", 18: "utf-32-"}[stored]
        letters = list(raw.decode(coding + ("" if stored == 16 else "le" if order == "<" else "be")))
    else:
        letters = [chr(c) for c in np.frombuffer(raw[: len(raw) // dtype.itemsize * dtype.itemsize], dtype).tolist()]
    if len(letters) != math.prod(shape):
        raise ValueError(f"{len(letters)} letters for the sizes {shape}")
    grid = np.array(letters, object).reshape(shape, order="F").reshape(math.prod(shape[:-1]), shape[-1])
    return np.array(["".join(row).rstrip() for row in grid.tolist()], np.str_).reshape(shape[:-1])


def _v4(path: Path, data: mmap.mmap, at: int, purse: Purse | None) -> Found:
    (word,) = struct.unpack_from("<i", data, at)
    # MOPT, four decimal digits (byte order, 0, precision, kind), is below 5000 only in the right byte order.
    order = "<" if 0 <= word < 5000 else ">"
    mopt, rows, columns, is_complex, length = struct.unpack_from(order + "5i", data, at)
    precision, kind = mopt // 10 % 10, mopt % 10
    if not 0 <= mopt < 5000 or precision > 5 or kind > 2 or min(rows, columns) < 0 or not 0 < length <= 256:
        raise ValueError("a header makes no sense")
    dtype = np.dtype(order + _V4[precision])
    begin = at + 20 + length
    after = begin + rows * columns * dtype.itemsize * (2 if is_complex else 1)
    if after > len(data):
        raise ValueError("it is cut short")
    name = data[at + 20 : begin].decode("latin-1").rstrip("\0")
    letter = "O" if is_complex or kind == 2 else "U" if kind == 1 else dtype.kind
    array = MatArray(path, name, (rows,) if letter == "U" else (rows, columns), letter, at)
    if purse is None or letter == "O":
        return array, after, np.empty(0)
    values = np.frombuffer(data[begin:after], dtype).reshape((rows, columns), order="F").astype(_V4[precision])
    return array, after, _text(values) if letter == "U" else values


def _text(codes: NDArray[np.generic]) -> NDArray[np.generic]:
    letters = np.clip(np.nan_to_num(codes.astype(np.float64)), 0, 0x10FFFF).astype(np.int64).tolist()
    return np.array(["".join(map(chr, row)).rstrip() for row in letters], np.str_).reshape(len(codes))
