"""Messages of a robot's topic as numbers, texts or pictures: decoded by schema, with the layout of the first one."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plait.core.errors import need
from plait.readers._mcap_file import Channel, Schema
from plait.readers._ros import RosDecoder
from plait.readers._still import decode_still

__all__ = ["Decoder", "chosen", "decoder_for", "numbers_of", "picture_of", "stamp_of", "texts_of"]

Decoder = Callable[[bytes], dict[str, object]]

_MOST = 20_000
"""Numbers in one message."""

_DEEPEST = 30
_STAMPS = (("sec", "nanosec"), ("secs", "nsecs"), ("sec", "nsec"), ("seconds", "nanos"))
_RAW = {"rgb8": (3, None), "bgr8": (3, [2, 1, 0]), "rgba8": (4, [0, 1, 2]), "bgra8": (4, [2, 1, 0]),
        "mono8": (1, [0, 0, 0]), "8uc1": (1, [0, 0, 0]), "8uc3": (3, [2, 1, 0])}  # fmt: skip
"""Bytes a pixel of an encoding, and which of them are red, green and blue."""


def decoder_for(channel: Channel, schema: Schema | None) -> Decoder:
    """The decoder for the messages of a channel.

    Raises:
        ValueError: there is no decoder for them; says why.
        MissingExtra: the package that decodes them is not installed.
    """
    if channel.encoding == "json":
        return _json
    if schema is None:
        raise ValueError(f"its messages are {channel.encoding!r} without a schema")
    if channel.encoding in ("cdr", "ros1") and schema.encoding in ("ros2msg", "ros1msg"):
        text = schema.data.decode("utf-8", "replace")
        return RosDecoder(schema.name, text, ros1=channel.encoding == "ros1")
    if channel.encoding == "protobuf" and schema.encoding == "protobuf":
        return _protobuf(schema)
    raise ValueError(f"its messages are {channel.encoding!r} by a schema in {schema.encoding!r}, which is not read")


def _json(data: bytes) -> dict[str, object]:
    try:
        value = json.loads(data)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    return value if isinstance(value, dict) else {"value": value}


def _protobuf(schema: Schema) -> Decoder:
    why = "reading protobuf messages in .mcap files"
    decoders, records = need("mcap_protobuf.decoder", "formats", why), need("mcap.records", "formats", why)
    told = records.Schema(id=1, name=schema.name, encoding=schema.encoding, data=schema.data)
    try:
        parse = decoders.DecoderFactory().decoder_for("protobuf", told)
    except Exception as error:  # the library raises whatever broken descriptors lead to
        raise ValueError(f"its protobuf schema cannot be understood ({str(error)[:100]})") from error

    def decode(data: bytes) -> dict[str, object]:
        try:
            return _as_dict(parse(data))
        except Exception as error:  # as above
            raise ValueError(f"it is no {schema.name[:60]} ({str(error)[:100]})") from error

    return decode


def _as_dict(message: Any, depth: int = 0) -> dict[str, object]:
    if depth > _DEEPEST:
        raise ValueError("it is nested too deeply")
    found: dict[str, object] = {}
    for field in message.DESCRIPTOR.fields:
        is_message = field.message_type is not None
        value = getattr(message, field.name)
        if _repeated(field):
            # The keys of a map differ by message, and so would the columns.
            if is_message and field.message_type.GetOptions().map_entry:
                continue
            found[field.name] = [_as_dict(v, depth + 1) for v in value] if is_message else list(value)
        elif not is_message:
            found[field.name] = value
        elif message.HasField(field.name):
            found[field.name] = _as_dict(value, depth + 1)
    return found


def _repeated(field: Any) -> bool:
    told = getattr(field, "is_repeated", None)
    # Newer versions of protobuf have is_repeated, and warn of label.
    return bool(field.label == field.LABEL_REPEATED if told is None else told)


def stamp_of(value: object) -> float | None:
    """Seconds of a pair of seconds and nanoseconds; None of anything else."""
    if not isinstance(value, dict) or len(value) != 2:
        return None
    for names in _STAMPS:
        seconds, rest = (_number(value.get(name)) for name in names)
        if not math.isnan(seconds + rest):
            return seconds + rest / 1e9
    return None


def _number(value: object) -> float:
    """A number as a float, infinite where it is too large for one; NaN of anything else."""
    if not isinstance(value, bool | int | float):
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.inf


def numbers_of(message: dict[str, object]) -> dict[str, float]:
    """All numbers of a message by place (``linear.x``, ``ranges.0``); a time stamp is one number, in seconds.

    >>> numbers_of({"header": {"stamp": {"sec": 1, "nanosec": 500000000}}, "data": [1, True], "frame": "map"})
    {'header.stamp': 1.5, 'data.0': 1.0, 'data.1': 1.0}
    """
    found: dict[str, float] = {}
    for name, value in _leaves(message, "", 0):
        if isinstance(value, bool | int | float):
            found[name] = _number(value)
    return found


def texts_of(message: dict[str, object]) -> dict[str, str]:
    """All texts of a message by place.

    >>> texts_of({"name": "go", "data": 1})
    {'name': 'go'}
    """
    return {name: value for name, value in _leaves(message, "", 0) if isinstance(value, str)}


def chosen(values: Mapping[str, object], fields: tuple[str, ...]) -> tuple[str, ...]:
    """The places within one of the fields; without fields, all but those of the header.

    >>> chosen({"header.seq": 1, "x.a": 2, "xx": 3}, ()), chosen({"header.seq": 1, "x.a": 2, "xx": 3}, ("x",))
    (('x.a', 'xx'), ('x.a',))
    """
    if not fields:
        return tuple(name for name in values if not name.startswith("header."))
    return tuple(name for name in values if any(name == f or name.startswith(f + ".") for f in fields))


def _leaves(value: object, name: str, depth: int) -> Iterator[tuple[str, object]]:
    stamp = stamp_of(value)
    if stamp is not None:
        yield name, stamp
    elif isinstance(value, dict | list | np.ndarray):
        if depth > _DEEPEST or len(value) > _MOST:
            raise ValueError(f"{name or 'it'} is nested too deeply or holds more than {_MOST} values")
        own = (
            value.items()
            if isinstance(value, dict)
            else enumerate(np.asarray(value).tolist() if isinstance(value, np.ndarray) else value)
        )
        for key, part in own:
            yield from _leaves(part, f"{name}.{key}" if name else str(key), depth + 1)
    else:
        yield name, value


def picture_of(message: dict[str, object], where: str) -> NDArray[np.uint8] | None:
    """The picture in a message of a usual type (compressed or raw image), [h, w, 3] RGB; None where it has none.

    Raises:
        DataError: it does not decode.
        ValueError: it is packed in another way, or its size and bytes differ.
    """
    data = message.get("data")
    if isinstance(data, str) and ("format" in message or "encoding" in message):
        data = base64.b64decode(data, validate=False)
    if not isinstance(data, bytes):
        return None
    kind = message.get("format")
    if isinstance(kind, str) and "encoding" not in message:
        if not any(word in kind.lower() for word in ("jpeg", "jpg", "png", "webp")):
            return None
        return decode_still(data, where)
    return _raw(message, data) if isinstance(message.get("encoding"), str) and "step" in message else None


def _raw(message: dict[str, object], data: bytes) -> NDArray[np.uint8] | None:
    known = _RAW.get(str(message["encoding"]).lower())
    if known is None:
        return None
    depth, order = known
    sizes = [_number(message.get(k)) for k in ("width", "height", "step")]
    width, height, step = (int(s) if 0 < s <= len(data) else 0 for s in sizes)
    if not width or step < width * depth or not height or height * step != len(data):
        raise ValueError(f"a picture of {width} x {height} pixels in {len(data)} bytes, {step} a row")
    rows = np.frombuffer(data, np.uint8).reshape(height, step)[:, : width * depth].reshape(height, width, depth)
    return rows if order is None else rows[..., order]
