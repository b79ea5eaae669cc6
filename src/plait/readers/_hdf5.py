"""HDF5 without the library: groups, plain datasets and attributes, as h5py by default and MATLAB 7.3 write them.

The library loops for ever on some broken files, and no caller can stop it. Read are: superblocks 0 to 3, also behind
a head of the user's; groups that hold their links in a symbol table or in their header; numbers and texts (of fixed and
of any length), stored in one piece or in chunks, as they are or through deflate, shuffle and Fletcher32. All else is a
`ValueError` that says what. Links to other files are never followed.

Source: The HDF Group, "HDF5 File Format Specification Version 3.0".
"""

from __future__ import annotations

import math
import mmap
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plait.readers._budget import USUAL, Budget, Purse
from plait.readers._hdf5_data import (
    Filters,
    Layout,
    Type,
    attribute_of,
    decode,
    filters_of,
    layout_of,
    shape_of,
    type_of,
)

__all__ = ["Dataset", "File", "opened"]

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_NOWHERE = 2**64 - 1
_SPACE, _LINKS, _TYPE, _LINK, _EXTERNAL, _LAYOUT, _FILTERS = 1, 2, 3, 6, 7, 8, 11
_ATTRIBUTE, _ON, _TABLE, _ATTRIBUTES = 12, 16, 17, 21
_MOST_MESSAGES = 20_000
_DEEPEST = 16


@dataclass(frozen=True)
class Dataset:
    """An array in a file: its shape, type, and where and how its values are stored."""

    shape: tuple[int, ...]
    type: Type
    layout: Layout
    filters: Filters

    @property
    def is_text(self) -> bool:
        return self.type.letter in "SV"


@contextmanager
def opened(path: Path, budget: Budget = USUAL) -> Iterator[File]:
    """A file, for as long as it is needed.

    Raises:
        OSError, ValueError: it is not there, or is no HDF5 file; ValueError and struct.error of all that follows.
        DataError: it holds or unpacks to more than the budget has.
    """
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        yield File(data, budget.purse(path))


class File:
    """The objects of a file, by their addresses."""

    def __init__(self, data: mmap.mmap, purse: Purse) -> None:
        self._data, self.purse = data, purse
        self._heaps: dict[int, dict[int, tuple[int, int]]] = {}
        self._begin = _beginning(data)
        head = self.take(0, 16)
        version = head[8]
        offsets, lengths = (head[13], head[14]) if version < 2 else (head[9], head[10])
        if version > 3 or (offsets, lengths) != (8, 8):
            raise ValueError(f"its superblock is of version {version} with {offsets}-byte addresses, which is not read")
        at = {0: 24, 1: 28}.get(version, 12)
        (base,) = self._unpack("<Q", at)
        if base != self._begin:
            raise ValueError("its addresses count from elsewhere than its beginning, which is not read")
        self.root = int(self._unpack("<Q", at + 40 if version < 2 else at + 24)[0])

    def take(self, at: int, size: int) -> bytes:
        """Bytes of the file, all of them."""
        begin = self._begin + at
        if at < 0 or size < 0 or begin + size > len(self._data):
            raise ValueError(f"something is said to stand at byte {at}, behind its end")
        return self._data[begin : begin + size]

    def _unpack(self, form: str, at: int) -> tuple[Any, ...]:
        return struct.unpack(form, self.take(at, struct.calcsize(form)))

    def links(self, address: int) -> dict[str, int]:
        """Names and addresses in a group; links to elsewhere are left out. Of what is no group: nothing."""
        found: dict[str, int] = {}
        for kind, at, size in self._messages(address):
            if kind == _TABLE:
                tree, heap = self._unpack("<QQ", at)
                found |= self._table(tree, heap)
            elif kind == _LINK:
                found |= _link(self.take(at, size))
            elif kind == _LINKS:
                skip = 8 if self.take(at, 2)[1] & 1 else 0
                if self._unpack("<Q", at + 2 + skip)[0] != _NOWHERE:
                    raise ValueError(
                        "a group is stored in the dense way, which is not read; write it with h5py's defaults"
                    )
        return found

    def dataset(self, address: int) -> Dataset | None:
        """The dataset at an address; None of what is none."""
        found: dict[int, bytes] = {}
        for kind, at, size in self._messages(address):
            found.setdefault(kind, self.take(at, size))
        if _LAYOUT not in found:
            return None
        if _EXTERNAL in found or _SPACE not in found or _TYPE not in found:
            raise ValueError("an array has no values, shape or type of its own")
        shape, type = shape_of(found[_SPACE]), type_of(found[_TYPE])
        layout = layout_of(found[_LAYOUT], shape, type.size)
        return Dataset(shape, type, layout, filters_of(found.get(_FILTERS, b"")))

    def attributes(self, address: int) -> dict[str, bytes | int | float]:
        """Attributes of an object that are one text or one number, or several numbers of which the first is given."""
        found: dict[str, bytes | int | float] = {}
        for kind, at, size in self._messages(address):
            if kind == _ATTRIBUTE:
                found |= attribute_of(self.take(at, size))
            elif kind == _ATTRIBUTES and self._unpack("<Q", at + (4 if self.take(at, 2)[1] & 1 else 2))[0] != _NOWHERE:
                raise ValueError("attributes are stored in the dense way, which is not read")
        return found

    def read(self, dataset: Dataset, lo: int, hi: int) -> NDArray[Any]:
        """Rows lo..hi of a dataset; texts are bytes objects."""
        lo, hi = max(lo, 0), min(hi, dataset.shape[0])
        row = int(np.prod(dataset.shape[1:], dtype=np.float64)) * dataset.type.size
        layout = dataset.layout
        if layout.chunk is not None:
            raw = self._chunks(dataset, lo, max(hi, lo))
        elif layout.inline is not None:
            raw = layout.inline[lo * row : max(hi, lo) * row]
        elif layout.address == _NOWHERE:
            raise ValueError("an array has a shape, but no values")
        else:
            raw = self.take(layout.address + lo * row, max(hi - lo, 0) * row)
        shape = (max(hi - lo, 0), *dataset.shape[1:])
        if len(raw) != shape[0] * row:
            raise ValueError("an array holds fewer values than its shape says")
        return self._values(raw, dataset.type, shape)

    def _values(self, raw: bytes, type: Type, shape: tuple[int, ...]) -> NDArray[Any]:
        if type.letter in "VS":
            self.purse.count(math.prod(shape), "texts")
        if type.letter == "V":
            texts = [self._text(*struct.unpack_from("<IQI", raw, at)) for at in range(0, len(raw), 16)]
        elif type.letter == "S":
            texts = [raw[at : at + type.size].rstrip(b"\0") for at in range(0, len(raw), type.size)]
        else:
            return np.frombuffer(raw, type.dtype).reshape(shape).astype(type.dtype[1:])
        out = np.empty(len(texts), object)
        out[:] = texts
        return out.reshape(shape)

    def _text(self, length: int, heap: int, number: int) -> bytes:
        """One text of any length, in a global heap."""
        if not length:
            return b""
        if heap not in self._heaps:
            self._heaps[heap] = self._heap(heap)
        if number not in self._heaps[heap]:
            raise ValueError("a text is missing in its heap")
        at, size = self._heaps[heap][number]
        return self.take(at, min(length, size))

    def _heap(self, heap: int) -> dict[int, tuple[int, int]]:
        """Place and length of each text in a global heap."""
        signature, total = self._unpack("<4s4xQ", heap)
        if signature != b"GCOL":
            raise ValueError("a text has no heap")
        found: dict[int, tuple[int, int]] = {}
        at = heap + 16
        while at + 16 <= heap + total:
            self.purse.count(1, "texts")
            number, size = self._unpack("<H6xQ", at)
            if not number:
                break
            found[number] = (at + 16, size)
            at += 16 + size + -size % 8
        return found

    # ---- what objects and groups are made of

    def _messages(self, address: int) -> Iterator[tuple[int, int, int]]:
        """Type, place and length of each message of an object's header."""
        if self.take(address, 4) == b"OHDR":
            yield from self._messages_2(address)
            return
        version, _, count, _, size = self._unpack("<BBHII", address)
        if version != 1:
            raise ValueError(f"an object at byte {address} is of version {version}")
        blocks, left = [(address + 16, size)], count
        for at, length in blocks:
            end = at + length
            while left > 0 and at + 8 <= end:
                kind, size, flags = self._unpack("<HHB", at)
                at += 8
                left -= 1
                self.purse.count(1, "parts of objects")
                if kind == _ON:
                    blocks.append(self._unpack("<QQ", at))
                else:
                    yield _checked(kind, flags), at, size
                at += size
            if len(blocks) > _MOST_MESSAGES:
                raise ValueError("an object goes on in too many places")

    def _messages_2(self, address: int) -> Iterator[tuple[int, int, int]]:
        version, flags = self._unpack("<BB", address + 4)
        if version != 2:
            raise ValueError(f"an object at byte {address} is of version {version}")
        at = address + 6 + (16 if flags & 0x20 else 0) + (4 if flags & 0x10 else 0)
        width = 1 << (flags & 3)
        length = int.from_bytes(self.take(at, width), "little")
        head = 6 if flags & 4 else 4
        blocks, seen = [(at + width, length)], 0
        for at, length in blocks:
            end = at + length
            while at + head <= end:
                kind, size, own = self._unpack("<BHB", at)
                at += head
                seen += 1
                self.purse.count(1, "parts of objects")
                if kind == _ON:
                    place, length_ = self._unpack("<QQ", at)
                    blocks.append((place + 4, length_ - 8))
                else:
                    yield _checked(kind, own), at, size
                at += size
            if seen > _MOST_MESSAGES or len(blocks) > _MOST_MESSAGES:
                raise ValueError("an object has too many parts")

    def _table(self, tree: int, heap: int) -> dict[str, int]:
        """The entries of an old group: a tree of nodes, and a heap of names."""
        signature, size, _, names = self._unpack("<4s4xQQQ", heap)
        if signature != b"HEAP":
            raise ValueError("a group has no names")
        text = self.take(names, size)
        found: dict[str, int] = {}
        seen: set[int] = set()
        for _, node in self._keys(tree, 0, 8, set(), 0):
            signature, count = self._unpack("<4s2xH", node)
            if signature != b"SNOD" or node in seen:
                raise ValueError("a group has no entries where its tree says so")
            seen.add(node)
            self.purse.count(count, "names in groups")
            for i in range(count):
                name, address, cached = self._unpack("<QQI", node + 8 + 40 * i)
                end = text.find(b"\0", name)
                if cached != 2 and end >= 0:  # 2: a link to elsewhere
                    found[text[name:end].decode("utf-8", "replace")] = address
        return found

    def _keys(self, node: int, kind: int, key: int, seen: set[int], depth: int) -> Iterator[tuple[bytes, int]]:
        """Keys and addresses of the leaves of a tree."""
        if node == _NOWHERE:
            return
        signature, own, level, count = self._unpack("<4sBBH", node)
        if signature != b"TREE" or own != kind or node in seen or depth > _DEEPEST:
            raise ValueError("a tree is broken")
        seen.add(node)
        self.purse.count(count, "keys of trees")
        for i in range(count):
            at = node + 24 + i * (key + 8)
            (child,) = self._unpack("<Q", at + key)
            if level:
                yield from self._keys(child, kind, key, seen, depth + 1)
            else:
                yield self.take(at, key), child

    def _chunks(self, dataset: Dataset, lo: int, hi: int) -> bytes:
        """Rows of a dataset in chunks."""
        chunk, rank = dataset.layout.chunk or (), len(dataset.shape)
        self.purse.check((hi - lo) * math.prod(dataset.shape[1:]) * dataset.type.size, "an array")
        out = np.zeros((hi - lo, *dataset.shape[1:], dataset.type.size), np.uint8)
        whole = int(np.prod(chunk)) * dataset.type.size
        filled = 0
        for key, address in self._keys(dataset.layout.address, 1, 8 + 8 * (rank + 1), set(), 0):
            size, mask, *place = struct.unpack(f"<II{rank}Q8x", key)
            if place[0] >= hi or place[0] + chunk[0] <= lo:
                continue
            if any(p >= n for p, n in zip(place, dataset.shape)):
                raise ValueError("a chunk lies outside its array")
            self.purse.spend(whole, "chunks of an array")
            raw = decode(self.take(address, size), dataset.filters, mask, whole)
            values = np.frombuffer(raw, np.uint8).reshape(*chunk, dataset.type.size)
            skip = max(lo - place[0], 0)
            target = out[max(place[0] - lo, 0) :, *(slice(p, None) for p in place[1:])]
            part = values[skip:, ...][tuple(slice(0, n) for n in target.shape[:-1])]
            target[tuple(slice(0, n) for n in part.shape[:-1])] = part
            filled += part.size
        if filled != out.size:
            raise ValueError("chunks of an array are missing")
        return out.tobytes()


def _beginning(data: mmap.mmap) -> int:
    """Where the file proper begins: at 0, or behind a head of 512, 1024 ... bytes."""
    at = 0
    while data[at : at + 8] != _SIGNATURE:
        at = max(512, 2 * at)
        if at >= len(data):
            raise ValueError("it does not begin as an HDF5 file")
    return at


def _checked(kind: int, flags: int) -> int:
    if flags & 2 and kind in (_SPACE, _TYPE, _LAYOUT, _FILTERS, _ATTRIBUTE):
        raise ValueError("an array or attribute shares its description with others, which is not read")
    return kind


def _link(data: bytes) -> dict[str, int]:
    """A link in a group's header, if it leads into the file."""
    flags, at = data[1], 2
    if flags & 8:
        if data[at]:
            return {}
        at += 1
    at += (8 if flags & 4 else 0) + (1 if flags & 16 else 0)
    width = 1 << (flags & 3)
    length = int.from_bytes(data[at : at + width], "little")
    at += width
    (address,) = struct.unpack_from("<Q", data, at + length)
    return {data[at : at + length].decode("utf-8", "replace"): address}
