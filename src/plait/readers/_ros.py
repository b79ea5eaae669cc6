"""ROS messages decoded by the definition that their file carries: ROS 2 (CDR) and ROS 1.

Written here because one decoder serves both and runs no generated code: mcap-ros1-support 0.9 writes a Python module
from the file's definition, and imports it. Compared with mcap-ros2-support 0.6, messages of a thousand numbers decode
67 times as fast, those of 15 numbers half as fast (`benchmarks/readers.py`). Here chars are unsigned, CDR2 is read, and
a message shorter than its definition is refused; there chars are signed, CDR2 is misread, and 8 bytes may hold four
billion messages.

Sources: ROS 2, "About ROS 2 interfaces" (.msg); OMG, "DDS-XTypes 1.3", 7.4 (CDR, plain CDR2); ROS wiki, "msg" and
"Technical overview: message serialization" (ROS 1).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["RosDecoder"]

_SIZES = {
    "bool": "?", "byte": "B", "char": "B", "int8": "b", "uint8": "B", "int16": "h", "uint16": "H",
    "int32": "i", "uint32": "I", "int64": "q", "uint64": "Q", "float32": "f", "float64": "d",
}  # fmt: skip
_OTHERS = ("string", "time", "duration")
_FIELD = re.compile(r"^\s*(?P<type>[\w/]+(?:<=\d+)?)(?P<array>\[(?:<=)?\d*\])?\s+(?P<name>\w+)(?P<rest>.*)$")
_DEEPEST = 20
_SPARE = 10_000
"""Parts that a message may have beyond one per byte: empty messages take no bytes."""


@dataclass(frozen=True)
class _Field:
    name: str
    kind: str
    """A key of `_SIZES`, one of `_OTHERS`, or the full name of another definition."""
    array: int | None
    """None: a single value; -1: as many as the message says; else this number."""


class RosDecoder:
    """Bytes of a message -> nested dicts of numbers, texts, arrays and bytes (of uint8 arrays).

    Args:
        name: of the type, as ``sensor_msgs/msg/Imu``.
        definition: the text of its definition, followed by those of the types in it (``MSG: ...``).
        ros1: whether it is of ROS 1: no alignment, no header.

    Raises:
        ValueError: the definition cannot be understood.

    >>> import struct
    >>> decoder = RosDecoder("a/msg/Point", "float64 x\\nint16[] n  # counts\\n", ros1=True)
    >>> decoder(struct.pack("<dI2h", 0.5, 2, 7, 8))["n"].tolist()
    [7, 8]
    """

    def __init__(self, name: str, definition: str, *, ros1: bool) -> None:
        self._name, self._ros1 = _short(name), ros1
        main, *others = re.split(r"^=+\s*$", definition, flags=re.M)
        self._types = {self._name: _fields(main, ros1)}
        for text in others:
            head, _, body = text.lstrip().partition("\n")
            if head.startswith("MSG:"):
                self._types[_short(head[4:].strip())] = _fields(body, ros1)
        self._check(self._name, (), {})

    def __call__(self, data: bytes) -> dict[str, object]:
        """Decode one message.

        Raises:
            ValueError: it is shorter than its definition, or of another representation.
        """
        order, start, widest = "<", 0, 1
        if not self._ros1:
            if len(data) < 4 or data[0] != 0 or data[1] not in (0, 1, 6, 7):
                raise ValueError(f"its representation {data[:2].hex()} is not plain CDR")
            # Four bytes of head; then CDR aligns up to 8 bytes, CDR2 up to 4.
            order, start, widest = "<" if data[1] % 2 else ">", 4, 4 if data[1] > 1 else 8
        return _Cursor(self._types, data[start:], order, widest, self._ros1).message(self._name)

    def _check(self, name: str, above: tuple[str, ...], heights: dict[str, int]) -> int:
        """How deep a type is nested; checks that every type in it is known and that none contains itself."""
        if name in above or len(above) > _DEEPEST:
            raise ValueError(f"type {name} holds itself, or is nested too deeply")
        if name not in heights:
            inner = [0]
            for field in self._types[name]:
                if field.kind in _SIZES or field.kind in _OTHERS:
                    continue
                full = _resolve(field.kind, name, self._types)
                if full is None:
                    raise ValueError(f"the definition of {field.kind} is missing")
                inner.append(1 + self._check(full, (*above, name), heights))
            heights[name] = max(inner)
        if len(above) + heights[name] > _DEEPEST:
            raise ValueError(f"type {name} is nested too deeply")
        return heights[name]


def _short(name: str) -> str:
    return name.replace("/msg/", "/")


def _resolve(kind: str, within: str, types: dict[str, list[_Field]]) -> str | None:
    package = within.rpartition("/")[0]
    for full in (_short(kind), f"{package}/{kind}", f"std_msgs/{kind}"):
        if full in types:
            return full
    return None


def _fields(text: str, ros1: bool) -> list[_Field]:
    found = []
    for line in text.splitlines():
        bare = line.partition("#")[0].strip()
        match = _FIELD.match(bare)
        if not bare or (match and match["rest"].lstrip().startswith("=")):
            continue  # nothing, or a constant
        if match is None:
            raise ValueError(f"a line of its definition is {bare[:60]!r}")
        kind = match["type"].partition("<=")[0]
        if kind == "wstring":
            raise ValueError("it holds a wstring, whose letters take 2 or 4 bytes, as the middleware likes")
        if kind == "byte" and ros1:
            kind = "int8"  # in ROS 2 it is unsigned
        size = (match["array"] or "").strip("[]")
        array = None if match["array"] is None else -1 if not size or size.startswith("<=") else int(size)
        found.append(_Field(match["name"], kind, array))
    return found


class _Cursor:
    """The position of decoding in one message."""

    def __init__(self, types: dict[str, list[_Field]], data: bytes, order: str, widest: int, ros1: bool) -> None:
        self._types, self._data, self._order = types, data, order
        self._widest, self._ros1 = widest, ros1
        self._at, self._left = 0, len(data) + _SPARE

    def message(self, name: str) -> dict[str, object]:
        if not self._types[name] and not self._ros1:
            self._numbers("B", 1)  # ROS 2 gives an empty message a member, since a C structure needs one
        return {field.name: self._field(field, name) for field in self._types[name]}

    def _field(self, field: _Field, within: str) -> Any:
        if field.array is None:
            return self._one(field.kind, within)
        count = int(self._numbers("I", 1)[0]) if field.array < 0 else field.array
        if field.kind in _SIZES:
            values = self._numbers(_SIZES[field.kind], count)
            return values.tobytes() if field.kind in ("uint8", "byte", "char") else values
        self._spend(count)
        return [self._one(field.kind, within) for _ in range(count)]

    def _one(self, kind: str, within: str) -> Any:
        if kind in _SIZES:
            return self._numbers(_SIZES[kind], 1)[0].item()
        if kind == "string":
            return self._string()
        if kind in _OTHERS:
            seconds, rest = self._numbers("I" if kind == "time" else "i", 2).tolist()
            return {"sec": seconds, "nanosec": rest}
        self._spend(1)
        full = _resolve(kind, within, self._types)
        return self.message(full or kind)

    def _numbers(self, letter: str, count: int) -> Any:
        dtype = np.dtype(self._order + letter)
        if not count:
            return np.empty(0, dtype)
        if not self._ros1:
            step = min(dtype.itemsize, self._widest)
            self._at += -self._at % step
        if count * dtype.itemsize > len(self._data) - self._at:
            raise ValueError("it is shorter than its definition says")
        values = np.frombuffer(self._data, dtype, count, self._at)
        self._at += values.nbytes
        return values

    def _string(self) -> str:
        length = int(self._numbers("I", 1)[0])
        text: bytes = self._numbers("B", length).tobytes()
        # CDR counts the final zero in, ROS 1 writes none.
        return text.rstrip(b"\0").decode("utf-8", "replace")

    def _spend(self, count: int) -> None:
        self._left -= count
        if self._left < 0:
            raise ValueError("it has more parts than bytes")
