"""Messages of a session's WebSocket: read, and checked before anything is asked of the model. See docs/serving.md."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from plait.core.errors import DataError
from plait.core.safe_yaml import brief
from plait.prediction.session import LiveAnswer, Session
from plait.prediction.together import Steps, alone
from plait.streams.stream import Values

__all__ = ["AHEAD", "ANSWERS", "HEADER", "Hello", "Message", "Options", "Packet"]
__all__ += ["carried_out", "carrying_out", "hello_of", "message_of", "numbers", "wrong"]

HEADER = struct.Struct("<QQHBBI")
"""Number of the message, last answer received, stream, type of the rows, their dimensions, number of times."""

TYPES = ("<f4", "<f8", "<i2", "|u1")
"""Rows in binary messages, by their code."""

ANSWERS = 1000
"""Most answers that one message may ask for, by its times."""

AHEAD = 3600.0
"""Seconds by which one message may be ahead of what its stream or the session knows."""

FARTHEST = 1e10
"""Seconds from 0 of any time: some 300 years."""

MOST = 2**53
"""Numbers of messages are exact in every language."""

Seconds = Annotated[float, Field(allow_inf_nan=False, ge=-FARTHEST, le=FARTHEST)]
Rate = Annotated[float, Field(ge=1e-3, le=1e6)] | Annotated[str, Field(pattern=r"^[0-9]{1,7}(/[0-9]{1,5})?$")]
Wait = Annotated[float, Field(ge=0, le=AHEAD)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class Options(_Strict):
    """Of a new session, as `plait.prediction.session.Session` takes them."""

    every: float = Field(1.0, ge=0.01, le=86_400)
    window: float | None = Field(None, ge=0.01, le=86_400)
    start: Seconds | None = None
    rates: dict[str, Rate] | None = None
    lateness: Wait | dict[str, Wait] = 0.0
    absent_after: float | None = Field(None, gt=0, le=86_400)
    late: Literal["wait", "revise", "drop"] = "wait"
    clocks: dict[str, dict[str, Any]] = Field({}, max_length=100)


class Hello(_Strict):
    """The first message of a connection: ``open`` a session, ``resume`` one, or ``watch`` one."""

    type: Literal["open", "resume", "watch"]
    model: str | None = None
    version: str | None = None
    options: Options = Options()
    session: str = ""
    received: int = Field(0, ge=0, le=MOST)
    token: str = ""
    traceparent: str | None = None


class _Envelope(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True)

    type: Literal["push", "tick", "restart", "close", "received"]
    seq: int = Field(0, ge=0, le=MOST)
    received: int = Field(0, ge=0, le=MOST)


class _Push(_Strict):
    stream: str
    values: list[Any]
    times: Seconds | list[Seconds] | None = None
    arrived: Seconds | None = None


class _Tick(_Strict):
    now: Seconds


class _Restart(_Strict):
    start: Seconds


class _Close(_Strict):
    pass


_BODIES: Mapping[str, type[_Strict]] = {"push": _Push, "tick": _Tick, "restart": _Restart, "close": _Close}


@dataclass(frozen=True)
class Message:
    """A message whose number could be read; the rest of it is read where it is carried out.

    Attributes:
        seq: its number, from 1; 0: it has none (``received``).
        received: number of the last answer that the client has.
        kind: ``push``, ``tick``, ``restart``, ``close`` or ``received``.
        body: what else it says.
    """

    seq: int
    received: int
    kind: str
    body: Mapping[str, Any] | bytes


class Packet(NamedTuple):
    """Rows of a stream, as `Session.push` takes them."""

    stream: str
    values: Values
    times: NDArray[np.float64] | None
    arrived: float | None = None


def wrong(error: ValidationError) -> str:
    """What is wrong with a message, in a line."""
    told = [f"{'.'.join(map(str, e['loc'])) or 'message'}: {e['msg']}" for e in error.errors(include_url=False)[:5]]
    return brief("; ".join(told), 500)


def hello_of(text: str | bytes | None) -> Hello:
    """The first message.

    Raises:
        DataError: it is not one.
    """
    try:
        return Hello.model_validate(_object(text))
    except ValidationError as error:
        raise DataError(f"first message: {wrong(error)}. Expected type: open, resume or watch.") from error


def message_of(data: str | bytes) -> Message:
    """A later message: JSON, or rows in binary.

    Raises:
        DataError: its type or number cannot be read.
    """
    if isinstance(data, bytes):
        if len(data) < HEADER.size:
            raise DataError(f"binary message: {len(data)} bytes; expected a header of {HEADER.size}.")
        seq, received = HEADER.unpack_from(data)[:2]
        if not 0 < seq <= MOST or received > MOST:
            raise DataError(f"binary message: its number is {seq}; expected 1 to {MOST}.")
        return Message(seq, received, "push", data)
    body = _object(data)
    try:
        head = _Envelope.model_validate(body)
    except ValidationError as error:
        raise DataError(f"message: {wrong(error)}.") from error
    if (head.seq == 0) != (head.type == "received"):
        raise DataError(f"message: {head.type} with seq {head.seq}; expected numbers from 1, and none for received.")
    rest = {name: x for name, x in body.items() if name not in ("type", "seq", "received")}
    return Message(head.seq, head.received, head.type, rest)


def carried_out(message: Message, session: Session, seen: Callable[[Packet], None] | None = None) -> list[LiveAnswer]:
    """What the session answers to a message. For arguments and errors see `carrying_out`."""
    return alone(carrying_out(message, session, seen))


def carrying_out(
    message: Message, session: Session, seen: Callable[[Packet], None] | None = None
) -> Steps[list[LiveAnswer]]:
    """What the session answers to a message, in steps that other sessions may share.

    Args:
        message: as it came.
        session: is fed.
        seen: called with rows that were taken.

    Raises:
        DataError, ConfigError: the message is wrong; the session is as before.
    """
    if isinstance(message.body, bytes):
        return (yield from _push(session, _unpacked(message.body, list(session.channels)), seen))
    try:
        body = _BODIES[message.kind].model_validate(message.body)
    except ValidationError as error:
        raise DataError(f"{message.kind}: {wrong(error)}.") from error
    if isinstance(body, _Push):
        times = None if body.times is None else np.atleast_1d(np.asarray(body.times, np.float64))
        return (
            yield from _push(session, Packet(body.stream, numbers(body.values, "values"), times, body.arrived), seen)
        )
    if isinstance(body, _Tick):
        _bounded(session, body.now, session.now)
        # before the first row there is nothing that time could change
        return [] if session.start is None else (yield from session.ticking(body.now))
    if isinstance(body, _Restart):
        _bounded(session, session.now, math.inf, body.start)
        session.restart(body.start)
        return []
    return (yield from session.closing())


def numbers(given: object, what: str) -> NDArray[Any]:
    """Nested lists of numbers as an array.

    Raises:
        DataError: they are ragged, or no numbers.
    """
    try:
        found = np.asarray(given)
    except (ValueError, OverflowError) as error:
        raise DataError(f"{what}: lists of unequal lengths; expected rows of numbers.") from error
    if found.dtype.kind not in "fiub":
        raise DataError(f"{what}: not all are numbers; expected rows of numbers.")
    return found


def _object(text: str | bytes | None) -> dict[str, Any]:
    try:
        found = json.loads(text or "", parse_constant=lambda name: math.nan)
    except (ValueError, RecursionError) as error:
        raise DataError(f"message: cannot be read as JSON ({brief(error, 100)}). Expected an object.") from error
    if not isinstance(found, dict):
        raise DataError(f"message: {type(found).__name__}; expected an object with a type.")
    return found


def _unpacked(data: bytes, streams: list[str]) -> Packet:
    _, _, stream, code, dims, count = HEADER.unpack_from(data)
    if stream >= len(streams) or code >= len(TYPES) or not 1 <= dims <= 4:
        raise DataError(
            f"binary message: stream {stream} of {len(streams)}, type {code} of {len(TYPES)}, {dims} dimensions; "
            "expected numbers from 0, and 1 to 4 dimensions."
        )
    at = HEADER.size
    need = at + 8 * count + 4 * dims
    if len(data) < need:
        raise DataError(f"binary message: {len(data)} bytes; its times and sizes need {need}.")
    times = np.frombuffer(data, "<f8", count, at)
    shape = [int(n) for n in np.frombuffer(data, "<u4", dims, at + 8 * count)]
    kind = np.dtype(TYPES[code])
    if len(data) - need != math.prod(shape) * kind.itemsize:
        raise DataError(f"binary message: {len(data) - need} bytes of rows; expected {shape} of {kind.name}.")
    return Packet(streams[stream], np.frombuffer(data, kind, -1, need).reshape(shape), times if count else None)


def _push(session: Session, packet: Packet, seen: Callable[[Packet], None] | None) -> Steps[list[LiveAnswer]]:
    own = session.channels.get(packet.stream)
    if own is not None and len(packet.values):
        inbox = own.inbox
        at = np.array([inbox.newest]) if packet.times is None else packet.times
        if len(at) and np.isfinite(at).all():
            last = float(at.max()) + inbox.period * (len(packet.values) if len(at) == 1 else 1)
            begin = float(at.min()) if session.start is None else session.start
            if own.clock is not None:
                _own_bounded(packet.stream, last, inbox.newest)
                last, begin = (begin if packet.arrived is None else packet.arrived), session.start or last
            # features of rows with times of their own go on over a gap, unless silence has ended them
            known = session.now if own.clock or inbox.silent or math.isinf(inbox.newest) else inbox.newest
            _bounded(session, last, known, begin)
    answers = yield from session.pushing(*packet)
    if seen is not None:
        seen(packet)
    return answers


def _own_bounded(stream: str, last: float, newest: float) -> None:
    """As `_bounded`, for times of a device's own clock.

    Raises:
        DataError: the clock has leapt.
    """
    if abs(last) > FARTHEST or (last - newest > AHEAD > 0 and math.isfinite(newest)):
        raise DataError(f"{stream}: its clock leaps to {last:g} s; expected at most {AHEAD:g} s after its newest row.")


def _bounded(session: Session, until: float, known: float, start: float | None = None) -> None:
    """A jump in time is work: refuse what would take for ever.

    Raises:
        DataError: the message is too far ahead, or asks for too many answers.
    """
    begin = session.start if start is None else start
    if abs(until) > FARTHEST and math.isfinite(until):
        raise DataError(f"times: {until:g} s is no time. Expected seconds of one clock for all streams.")
    if begin is None:
        return
    reach = max(until, session.now)
    ahead = until - max(known, begin)
    due = (reach - begin - (session.window or 0.0)) / session.every - (session.place if begin == session.start else 0)
    if ahead > AHEAD or due > ANSWERS:
        raise DataError(
            f"times: {until:g} s is {max(ahead, 0):g} s ahead, and {max(due, 0):.0f} answers wait for it; expected at "
            f"most {AHEAD:g} s and {ANSWERS} answers. Set absent_after for streams that fall silent, and say with tick "
            "that time passes."
        )
