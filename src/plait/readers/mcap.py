"""Recordings of robots: MCAP files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from plait.core.errors import ConfigError, DataError, raise_all
from plait.core.parts import suggest
from plait.readers import Reader
from plait.readers._budget import Budget, Purse
from plait.readers._mcap_file import Channel, Index, Messages, Schema, index
from plait.readers._messages import Decoder, chosen, decoder_for, numbers_of, picture_of, stamp_of, texts_of
from plait.readers._names import Names
from plait.readers._told import tell
from plait.readers._words import refuse_infinite
from plait.streams.clock import Ticks
from plait.streams.stream import Stream, Values

__all__ = ["Mcap"]

_MOST_TOPICS = 20
_TIMES = ("log", "publish", "stamp")


class Mcap(Reader):
    """One stream per topic, by its name with ``_`` for ``/`` (``/imu/data`` -> ``imu_data``), each on its own `Ticks`.

    Messages are JSON, ROS 2 (CDR), ROS 1 or protobuf, decoded by the schema in the file. Pictures (compressed as JPEG,
    PNG or WebP, or raw 8 bit) become frames; messages with numbers a series, its channels named by their place
    (``linear_acceleration.x``, ``ranges.0``), laid out as in the first message: what a later one lacks is NaN, what it
    has more is counted and logged. Messages with texts only become words. Other topics are left out and logged. Indexed
    chunks are unpacked when their messages are read, not on opening.

    Chunks packed with zstd or lz4, and protobuf, need the extra ``formats``.

    Source: Foxglove, "MCAP format specification".

    Args:
        topics: which to take (``/imu/data``); default: all.
        time: whose clock: ``log`` (when the recorder got the message), ``publish``, or ``stamp`` (the message's own
            ``header.stamp``, ``stamp`` or ``timestamp``); the last two read every message on opening.
        fields: beginnings of the places to take (``[linear_acceleration, angular_velocity]``); without it all but
            those of the header.

    Raises:
        ConfigError: another word for ``time``.
        MissingExtra: a package that unpacks or decodes it is not installed.
        DataError: on opening or reading: no MCAP file, cut short, no such topic, messages that do not decode.

    >>> Mcap().suffixes
    ('.mcap',)
    """

    version = 2
    suffixes: ClassVar[tuple[str, ...]] = (".mcap",)

    def __init__(self, *, topics: list[str] | None = None, time: str = "log", fields: list[str] | None = None) -> None:
        if time not in _TIMES:
            raise ConfigError(f"mcap.time: {time!r} is unknown. {suggest(time, _TIMES)}")
        self.topics, self.time, self.fields = topics, time, tuple(fields or ())

    def open(self, path: Path) -> dict[str, Stream]:
        found = index(path, self.budget)
        known = [c.topic for k, c in found.channels.items() if k in found.entries]
        absent = [t for t in self.topics or () if t not in known]
        raise_all(DataError, [f"{path}: has no topic {t!r} with messages. {suggest(t, known)}" for t in absent])
        streams: dict[str, Stream] = {}
        names = Names()
        many = min(len(found.channels), _MOST_TOPICS)  # each topic unpacks the file anew for its stamps
        purse = Budget(self.budget.times * max(many, 1)).purse(path)
        left: list[str] = []
        for number, channel in found.channels.items():
            if number in found.entries and (self.topics is None or channel.topic in self.topics):
                try:
                    stream = self._stream(found, number, channel, purse)
                    streams[names.free(channel.topic.strip("/").replace("/", "_") or "topic")] = stream
                except ValueError as error:
                    left.append(f"{channel.topic} ({error})")
        if left and streams and self.topics is None:
            tell(path, f"topics left out: {'; '.join(left)}")
        elif left:
            raise DataError([f"{path}: topic {text} cannot be read. Leave it out with topics: [...]." for text in left])
        if not streams:
            raise DataError(f"{path}: has no messages. Leave it out.")
        return streams

    def _stream(self, found: Index, number: int, channel: Channel, purse: Purse) -> Stream:
        where = f"{found.path}:{channel.topic}"
        schema = found.schemas.get(channel.schema)
        decode, messages = decoder_for(channel, schema), found.messages(number)
        first = decode(next(messages.read([0], found.purse))[1])
        kind, shape, names = self._layout(first, where)
        order, clock = self._clock(messages, decode, where, purse)
        source = _Topic(messages, channel, schema, where, kind, shape, names, self.fields, order, _decode=decode)
        channels = ("red", "green", "blue") if kind == "frames" else names if kind == "series" else ()
        return Stream(clock, source, kind, channels, where)

    def _layout(self, first: dict[str, object], where: str) -> tuple[str, tuple[int, ...], tuple[str, ...]]:
        """Kind, shape of an observation and names, by the first message."""
        picture = picture_of(first, where)
        if picture is not None:
            return "frames", picture.shape, ()
        numbers = chosen(numbers_of(first), self.fields)
        if numbers:
            return "series", (len(numbers),), numbers
        texts = chosen(texts_of(first), self.fields)
        if texts:
            return "words", (), texts
        raise ValueError("its messages hold neither numbers nor texts nor pictures that are read")

    def _clock(
        self, messages: Messages, decode: Decoder, where: str, purse: Purse
    ) -> tuple[NDArray[np.int64] | None, Ticks]:
        """The clock, and the order of messages on it, if it is not the order of their log times."""
        nanos = messages.times
        if self.time != "log":
            take = _published if self.time == "publish" else _stamped
            read = enumerate(messages.read(range(len(messages)), purse))
            times = np.array([take(at, decode, data, where, i) for i, (at, data) in read])
        else:
            # Whole seconds apart: nanoseconds since 1970 do not fit a float.
            times = np.asarray(nanos // 10**9 + nanos % 10**9 / 1e9, np.float64)
        order = np.argsort(times, kind="stable")
        moved = int((order != np.arange(len(order))).sum())
        if moved:
            tell(where, f"{moved} messages were sorted by their {self.time} time")
        try:
            return order if moved else None, Ticks(times[order])
        except DataError as error:
            raise DataError(f"{where}: {error}") from error


def _published(at: int, decode: Decoder, data: bytes, where: str, i: int) -> float:
    return at // 10**9 + at % 10**9 / 1e9


def _stamped(at: int, decode: Decoder, data: bytes, where: str, i: int) -> float:
    try:
        message = decode(data)
    except ValueError as error:
        raise _undecoded(where, i, error) from error
    header = message.get("header")
    inner = header.get("stamp") if isinstance(header, dict) else None
    for candidate in (inner, message.get("stamp"), message.get("timestamp")):
        seconds = stamp_of(candidate)
        if seconds is not None:
            return seconds
    raise DataError(f"{where}: message {i} has no stamp. Take time: log or publish.")


def _undecoded(where: str, i: int, error: Exception) -> DataError:
    return DataError(f"{where}: message {i} does not decode ({error}). Record it anew, or leave the topic out.")


@dataclass(eq=False)
class _Topic:
    """Decoded messages of a topic; `plait.streams.stream.Source`."""

    messages: Messages
    channel: Channel
    schema: Schema | None
    where: str
    kind: str
    shape: tuple[int, ...]
    names: tuple[str, ...]
    fields: tuple[str, ...]
    order: NDArray[np.int64] | None
    _decode: Decoder | None = field(default=None, repr=False)
    _told: bool = False

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_decode": None}  # a generated protobuf class cannot be pickled

    def read(self, lo: int, hi: int) -> Values:
        lo, hi = max(lo, 0), min(hi, len(self.messages))
        put: dict[str, Callable[[dict[str, object], int], object]] = {
            "frames": self._picture, "series": self._numbers, "words": self._text,
        }  # fmt: skip
        letters = {"frames": "u1", "series": "f8", "words": "O"}
        out = np.empty((max(hi - lo, 0), *self.shape), letters[self.kind])
        which = list(range(lo, hi)) if self.order is None else self.order[lo:hi].tolist()
        for k, (i, (_, data)) in enumerate(zip(which, self.messages.read(which))):
            try:
                out[k] = put[self.kind](self._decoder(data), i)
            except ValueError as error:
                raise _undecoded(self.where, i, error) from error
        return refuse_infinite(out, self.where, lo) if self.kind == "series" else out

    def _decoder(self, data: bytes) -> dict[str, object]:
        if self._decode is None:
            self._decode = decoder_for(self.channel, self.schema)
        return self._decode(data)

    def _picture(self, message: dict[str, object], i: int) -> NDArray[np.generic]:
        picture = picture_of(message, f"{self.where}: message {i}")
        if picture is None or picture.shape != self.shape:
            raise ValueError(f"a picture of {None if picture is None else picture.shape}; the first was {self.shape}")
        return picture

    def _numbers(self, message: dict[str, object], i: int) -> list[float]:
        found = numbers_of(message)
        values = [found.pop(name, np.nan) for name in self.names]
        more = chosen(found, self.fields)
        if more and not self._told:
            self._told = True
            lacks = f"message {i} holds {len(more)} numbers that the first one lacks ({more[0]} ...)"
            tell(self.where, f"{lacks}; they are left out, here and later")
        return values

    def _text(self, message: dict[str, object], i: int) -> str:
        found = texts_of(message)
        return " ".join(found.get(name, "") for name in self.names)
