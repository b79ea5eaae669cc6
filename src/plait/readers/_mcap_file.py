"""The records of an MCAP file: the place of each message, found without unpacking indexed chunks.

Written here because a `Stream` is cut at any place. Beside the package mcap 1.6, finding where messages are is 14 times
as fast, reading blocks one after another 9 times (`benchmarks/readers.py`), for chunks that were unpacked are kept. A
chunk is unpacked to the size that it claims and no further; mcap unpacks whatever lz4 or zstd hold. Messages outside of
chunks, and in chunks without an index, have places too; mcap reads such a file from its beginning each time.

Source: Foxglove, "MCAP format specification" (version 0).
"""

from __future__ import annotations

import struct
import zlib
from array import array
from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from plait.core.errors import DataError, need
from plait.readers._budget import Budget, Purse

__all__ = ["Channel", "Chunk", "Messages", "Schema", "index"]

_MAGIC = b"\x89MCAP0\r\n"
_SCHEMA, _CHANNEL, _MESSAGE, _CHUNK, _INDEX = 3, 4, 5, 6, 7
_MESSAGE_HEAD = 22
_LARGEST_RECORD = 1 << 28
_KEPT = 1 << 24
"""Bytes of unpacked chunks that a topic keeps; at least two chunks."""
_UNPACKING: tuple[type[Exception], ...] = (ValueError, RuntimeError, EOFError, MemoryError)
_BROKEN = (struct.error, ValueError, IndexError, OverflowError)


@dataclass(frozen=True)
class Schema:
    name: str
    encoding: str
    data: bytes


@dataclass(frozen=True)
class Channel:
    topic: str
    encoding: str
    schema: int


@dataclass(frozen=True)
class Chunk:
    """A packed run of records."""

    at: int
    packed: int
    size: int
    crc: int
    compression: str


@dataclass
class Index:
    """What a file holds: for each channel the time of each message (ns), its chunk (-1: none) and place."""

    path: Path
    budget: Budget
    purse: Purse
    """Budget of everything that is done on opening."""
    schemas: dict[int, Schema] = field(default_factory=dict)
    channels: dict[int, Channel] = field(default_factory=dict)
    chunks: list[Chunk] = field(default_factory=list)
    # Flat numbers of 8 bytes: a million messages as tuples take several times the memory.
    entries: dict[int, array[int]] = field(default_factory=lambda: defaultdict(lambda: array("Q")))
    """By channel: time, chunk + 1 and place of each message, one after the other."""

    def messages(self, channel: int) -> Messages:
        """The messages of a channel, by their time."""
        rows = np.array(self.entries[channel], np.uint64).reshape(-1, 3)
        rows = rows[np.argsort(rows[:, 0], kind="stable")]
        # Stored plus one, as the flat array holds no negative numbers.
        chunks = rows[:, 1].astype(np.int64) - 1
        return Messages(self.path, self.budget, self.chunks, rows[:, 0], chunks, rows[:, 2].astype(np.int64))


class Messages:
    """Contents of one channel's messages, in the order of their times; unpacks the chunks that it needs."""

    def __init__(
        self,
        path: Path,
        budget: Budget,
        chunks: list[Chunk],
        times: NDArray[np.uint64],
        where: NDArray[np.int64],
        places: NDArray[np.int64],
    ) -> None:
        self._path, self._budget, self._chunks, self.times = path, budget, chunks, times
        self._where, self._places = where, places
        self._kept: OrderedDict[int, bytes] = OrderedDict()

    def __len__(self) -> int:
        return len(self.times)

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_kept": OrderedDict()}

    def read(self, which: Iterable[int], purse: Purse | None = None) -> Iterator[tuple[int, bytes]]:
        """(publish time in ns, content) of the messages with these numbers; without ``purse`` from a full one.

        Raises:
            DataError: a chunk cannot be unpacked, or holds no message where the index says so.
        """
        purse = purse or self._budget.purse(self._path)
        with _opened(self._path) as file:
            for i in which:
                yield self._message(file, purse, i)

    def _message(self, file: BinaryIO, purse: Purse, i: int) -> tuple[int, bytes]:
        chunk, place = int(self._where[i]), int(self._places[i])
        try:
            if chunk < 0:
                file.seek(place)
                kind, size = struct.unpack("<BQ", file.read(9))
                content = file.read(min(size, _LARGEST_RECORD))
            else:
                data = self._unpacked(file, purse, chunk)
                kind, size = struct.unpack_from("<BQ", data, place)
                content = data[place + 9 : place + 9 + size]
            _, _, _, published = struct.unpack_from("<HIQQ", content)
            if kind != _MESSAGE or len(content) != size:
                raise ValueError("no whole message stands there")
        except _BROKEN as error:
            raise DataError(f"{self._path}: message {i} cannot be read ({error}). {_REMEDY}") from error
        return published, content[_MESSAGE_HEAD:]

    def _unpacked(self, file: BinaryIO, purse: Purse, number: int) -> bytes:
        if number not in self._kept:
            data = unpack(self._path, file, self._chunks[number], purse)
            while len(self._kept) > 1 and sum(map(len, self._kept.values())) + len(data) > _KEPT:
                self._kept.popitem(last=False)
            self._kept[number] = data
        self._kept.move_to_end(number)
        return self._kept[number]


_REMEDY = "Get a whole copy, or salvage it with: mcap recover"


def _opened(path: Path) -> BinaryIO:
    try:
        return open(path, "rb")
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error}). Correct the path or the file.") from error


def unpack(path: Path, file: BinaryIO, chunk: Chunk, purse: Purse) -> bytes:
    """The records of a chunk.

    Raises:
        DataError: it is larger than what is left, packed in another way, or not what its length and checksum say.
    """
    purse.spend(chunk.size, "a chunk")
    file.seek(chunk.at)
    data = file.read(chunk.packed)
    try:
        if chunk.compression == "zstd":
            zstd = need("zstandard", "formats", "reading .mcap files packed with zstd")
            # One byte more than is promised, which tells a longer content.
            data = zstd.ZstdDecompressor().stream_reader(data).read(chunk.size + 1)
        elif chunk.compression == "lz4":
            lz4 = need("lz4.frame", "formats", "reading .mcap files packed with lz4")
            data = lz4.LZ4FrameDecompressor().decompress(data, chunk.size + 1)
        elif chunk.compression:
            raise ValueError(f"it is packed with {chunk.compression[:20]!r}; known are zstd and lz4")
        # A checksum of 0 means that the writer made none.
        if len(data) != chunk.size or (chunk.crc and zlib.crc32(data) != chunk.crc):
            raise ValueError("its length or checksum is another than it says")
    except _UNPACKING + _zstd_errors() as error:
        raise DataError(f"{path}: a chunk cannot be unpacked ({error}). {_REMEDY}") from error
    return data


def _zstd_errors() -> tuple[type[Exception], ...]:
    try:
        import zstandard
    except ImportError:
        return ()
    return (zstandard.ZstdError,)


def index(path: Path, budget: Budget) -> Index:
    """Find the messages of a file; chunks with an index are not unpacked.

    Raises:
        DataError: no MCAP file, cut short, records that make no sense, or more of them than the budget has.
    """
    found = Index(path, budget, budget.purse(path))
    with _opened(path) as file:
        if file.read(8) != _MAGIC:
            raise DataError(f"{path}: is no MCAP file: it does not begin as one. {_REMEDY}")
        end = file.seek(0, 2)
        file.seek(max(end - 8, 0))
        if end < 16 or file.read(8) != _MAGIC:
            raise DataError(f"{path}: does not end as an MCAP file does: it is cut short. {_REMEDY} {path.name}")
        try:
            _records(file, end - 8, found)
            _name_channels(file, found)
        except _BROKEN as error:
            raise DataError(f"{path}: a record makes no sense ({error}). {_REMEDY} {path.name}") from error
    return found


def _records(file: BinaryIO, end: int, found: Index) -> None:
    at, bare = 8, False  # bare: the last chunk has no index so far
    while at + 9 <= end:
        file.seek(at)
        kind, size = struct.unpack("<BQ", file.read(9))
        if at + 9 + size > end:
            raise ValueError(f"record at byte {at} is longer than the file")
        if bare and kind != _INDEX:
            _look_into(file, found, len(found.chunks), True)
        bare = kind == _CHUNK
        file.seek(at + 9)
        if kind == _CHUNK:
            found.chunks.append(_chunk(file, at + 9, size))
        elif kind == _MESSAGE:
            channel, _, time = struct.unpack("<HIQ", file.read(14))
            found.entries[channel].extend((time, 0, at))
        elif kind == _INDEX:
            _add_index(file.read(size), found)
        elif kind in (_SCHEMA, _CHANNEL):
            _define(kind, file.read(size), found)
        at += 9 + size
    if bare:
        _look_into(file, found, len(found.chunks), True)


def _chunk(file: BinaryIO, at: int, size: int) -> Chunk:
    head = file.read(min(size, 200))
    _, _, whole, crc, length = struct.unpack_from("<QQQII", head)
    compression = head[32 : 32 + length].decode()
    (packed,) = struct.unpack_from("<Q", head, 32 + length)
    if 40 + length + packed > size:
        raise ValueError("a chunk is longer than its record")
    return Chunk(at + 40 + length, packed, whole, crc, compression)


def _add_index(data: bytes, found: Index) -> None:
    channel, length = struct.unpack_from("<HI", data)
    pairs = np.frombuffer(data, "<u8", length // 8, 6).reshape(-1, 2).astype(np.uint64)
    rows = np.stack([pairs[:, 0], np.full(len(pairs), len(found.chunks), np.uint64), pairs[:, 1]], 1)
    if len(rows):
        found.entries[channel].frombytes(rows.tobytes())


def _define(kind: int, data: bytes, found: Index) -> None:
    take = _Fields(data)
    if kind == _SCHEMA:
        number = take.number("<H")
        found.schemas[number] = Schema(take.text(), take.text(), take.bytes())
    else:
        number, schema = take.number("<H"), take.number("<H")
        found.channels[number] = Channel(take.text(), take.text(), schema)


def _look_into(file: BinaryIO, found: Index, number: int, messages: bool) -> None:
    """Read the records of a chunk, counted from 1, one by one."""
    data = unpack(found.path, file, found.chunks[number - 1], found.purse)
    at = 0
    while at + 9 <= len(data):
        found.purse.count(1, "records")
        kind, size = struct.unpack_from("<BQ", data, at)
        content = data[at + 9 : at + 9 + min(size, len(data))]
        if len(content) < size:
            raise ValueError("a record is longer than its chunk")
        if kind in (_SCHEMA, _CHANNEL):
            _define(kind, content, found)
        elif kind == _MESSAGE and messages:
            channel, _, time = struct.unpack_from("<HIQ", content)
            found.entries[channel].extend((time, number, at))
        at += 9 + size


def _name_channels(file: BinaryIO, found: Index) -> None:
    """Channels and schemas may be in chunks only: look into the first chunk of each unknown one."""
    for channel, rows in found.entries.items():
        known = found.channels.get(channel)
        number = rows[1]
        if number and (known is None or (known.schema and known.schema not in found.schemas)):
            _look_into(file, found, number, False)


class _Fields:
    """The fields of a record, one after the other."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def number(self, form: str) -> int:
        (value,) = struct.unpack_from(form, self._data, self._at)
        self._at += struct.calcsize(form)
        return int(value)

    def bytes(self) -> bytes:
        length = self.number("<I")
        value = self._data[self._at : self._at + length]
        if len(value) < length:
            raise ValueError("a field is longer than its record")
        self._at += length
        return value

    def text(self) -> str:
        return self.bytes().decode("utf-8", "replace")
