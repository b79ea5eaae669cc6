"""A model that is fed as time passes: answers now, and again when late streams have come."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from plait.clocks.online import ClockFacts, OnlineClock
from plait.core.errors import ConfigError, DataError, raise_all
from plait.core.parts import check_options, suggest
from plait.examples.items import Item
from plait.prediction.channel import Channel, after, before, channels_of
from plait.prediction.feature_ring import Piece
from plait.prediction.inbox import SAME, Counts, rate_of
from plait.prediction.lane import Lane, bounded, opened
from plait.prediction.predict import Prediction, Predictor, prediction_of
from plait.prediction.together import Ask, Feed, Steps, alone
from plait.streams.stream import Values
from plait.training.run import Run

__all__ = ["Facts", "LiveAnswer", "Session", "stream"]

TOGETHER = 0.5
"""Seconds of rows that become features and tokens at once where no answer is due: each step costs much alike, whatever
the number of its rows."""

LATE = ("wait", "revise", "drop")


@dataclass(frozen=True)
class LiveAnswer:
    """An answer of a session.

    Attributes:
        time: the instant that it is given for, seconds: the end of what it is about.
        prediction: what `plait.prediction.predict.Predictor` would say of the interval.
        final: whether nothing can change it any more.
        waiting: streams of which rows before ``time`` may still come.
    """

    time: float
    prediction: Prediction
    final: bool
    waiting: tuple[str, ...] = ()

    def __str__(self) -> str:
        rest = "" if self.final else f" (so far; waiting for {', '.join(self.waiting)})"
        return f"{self.time:.2f} s: {self.prediction}{rest}"

    def to_json(self) -> dict[str, object]:
        """The prediction's entries, and ``time``, ``final``, ``waiting``."""
        own = {"time": self.time, "final": self.final, "waiting": list(self.waiting)}
        return {**own, **self.prediction.to_json()}


@dataclass(frozen=True)
class Facts:
    """What a session will do, told before anything runs.

    Attributes:
        latency: by stream, seconds from an instant until a final answer for it can be given: how late rows may come,
            how far ahead the stream's features look, and the model's look-ahead.
        recomputed: modalities whose encoder looks ahead or has no known reach: the rows of an item are kept, and
            encoded anew with every answer.
        window: seconds of an item; None: an item begins with the session and grows.
        every: seconds between answers.
    """

    latency: Mapping[str, float]
    recomputed: tuple[str, ...]
    window: float | None
    every: float

    def __str__(self) -> str:
        slowest = max(self.latency, key=lambda name: self.latency[name])
        said = [f"answers every {self.every:g} s, final {self.latency[slowest]:.3g} s later (set by {slowest})"]
        said += [f"of the last {self.window:g} s" if self.window else "of all since the start"]
        if self.recomputed:
            said.append(f"encoded anew with every answer: {', '.join(self.recomputed)}")
        return "; ".join(said)


def stream(
    source: Run | Predictor | str | Path,
    *,
    every: float,
    window: float | None = None,
    start: float | None = None,
    rates: Mapping[str, float | str] | None = None,
    lateness: float | Mapping[str, float] = 0.0,
    absent_after: float | None = None,
    late: str = "wait",
    clocks: Mapping[str, Mapping[str, Any]] | None = None,
) -> Session:
    """A session of a trained model. For arguments and errors see `Session`."""
    own = source if isinstance(source, Predictor) else Predictor(source)
    return Session(
        own, every=every, window=window, start=start, rates=rates, lateness=lateness,
        absent_after=absent_after, late=late, clocks=clocks,
    )  # fmt: skip


class Session:
    """A model that is fed a little at a time, and answers as `Predictor` would of the same seconds.

    Each answer is about an item: the last ``window`` seconds, or all since ``start``. Streams may come in any order and
    cut in any way: a final answer depends on the rows and their times alone. A stream is waited for until its watermark
    (the end of its newest row, less its ``lateness``) has passed the instant and what its features see after it. One
    that is silent for ``absent_after`` seconds, by the other streams or by `tick`, is absent from there on, as in a
    recording that lacks it.

    Args:
        predictor: answers.
        every: seconds between answers.
        window: seconds of an item; a whole number of ``every``. None: the window of the model's unit; if it has none,
            an item begins at ``start`` and grows, until `restart`. A window is seen with the context before it that the
            model was trained with (``task.pad``), as far as the session has it.
        start: seconds, of the first item; None: the time of the first row that comes.
        rates: observations per second of streams with a regular clock; by default those that the run knows. A stream
            without a rate needs a time for each row.
        lateness: seconds by which rows may come after later ones of their stream, for all streams or by name.
        absent_after: seconds of silence after which a stream is taken to be absent; None: never.
        late: for streams that lag behind the others: ``wait`` (answers are final), ``revise`` (an answer is given at
            once of what is there, and again whenever a stream that was waited for has come), or ``drop`` (no stream is
            waited for once the quickest has passed; what comes later is not used).
        clocks: streams whose times are those of a device's own clock, each with options of
            `plait.clocks.online.OnlineClock`, or none: offset and drift are estimated from when packets ``arrived``,
            and corrected for the future only. Such a stream is waited for until its clock is trusted once.

    Attributes:
        channels: what waits of each stream.
        lanes: items in progress, by their number from 1; without a window one, 0.
        place: number of the next item to answer finally.
        now: the latest time that is known, seconds.
        read: until when rows have become features, seconds.
        told: by number, what a tentative answer waited for when it was given.

    Raises:
        ConfigError: an option out of range, a stream that the model does not have, or a model that cannot stream: a
            feature or normalization of the whole recording, resampling, regions of objects, texts, or context after an
            item.

    >>> session = plait.stream("runs/mood", every=1.0, late="revise")  # doctest: +SKIP
    >>> session.push("imu", rows, times=12.0)  # doctest: +SKIP
    """

    def __init__(
        self,
        predictor: Predictor,
        *,
        every: float,
        window: float | None = None,
        start: float | None = None,
        rates: Mapping[str, float | str] | None = None,
        lateness: float | Mapping[str, float] = 0.0,
        absent_after: float | None = None,
        late: str = "wait",
        clocks: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        self.predictor, self.model = predictor, predictor.model.eval()
        self.every, self.start, self.late = every, start, late
        self.absent_after = math.inf if absent_after is None else absent_after
        self.window = _window(predictor) if window is None else window
        self.context = 0.0 if self.window is None else _context(predictor)
        waits = dict(lateness) if isinstance(lateness, Mapping) else lateness
        self._check(waits, dict(rates or {}), dict(clocks or {}))
        given = {name: str(rate_of(rate)) for name, rate in (rates or {}).items()}
        self.options = {"every": every, "window": window, "start": start, "rates": given, "lateness": waits,
                        "absent_after": absent_after, "late": late,
                        "clocks": {name: dict(own) for name, own in (clocks or {}).items()}}  # fmt: skip
        self.channels = channels_of(predictor.prepared, self.model.dims, waits, {**predictor.prepared.rates, **given})
        for name, own in (clocks or {}).items():
            check_options(OnlineClock, own, f"clocks.{name}", "a clock")
            self.channels[name].clock = OnlineClock(**own)
        self.lanes: dict[int, Lane] = {}
        self.told: dict[int, tuple[str, ...]] = {}
        self.place, self.now, self.read = 1, -math.inf, -math.inf

    @property
    def bytes(self) -> int:
        """Of the states of encoders and features, and of all rows that wait."""
        return sum(lane.bytes for lane in self.lanes.values()) + sum(own.bytes for own in self.channels.values())

    @property
    def facts(self) -> Facts:
        """Latency and kind of work, from the recipe alone."""
        after = self.predictor.prepared.look_ahead
        latency = {name: own.inbox.lateness + own.ahead + after for name, own in self.channels.items()}
        again = tuple(m for m, fixed in bounded(self.model).items() if not fixed)
        return Facts(latency, again, self.window, self.every)

    @property
    def counts(self) -> dict[str, Counts]:
        """What became of the rows of each stream."""
        return {name: own.inbox.counts for name, own in self.channels.items()}

    @property
    def clocks(self) -> dict[str, ClockFacts]:
        """Offset, drift, how certain they are, and whether they are trusted, of each stream with a clock of its own."""
        return {name: own.clock.facts for name, own in self.channels.items() if own.clock is not None}

    def push(
        self, stream: str, values: ArrayLike, times: ArrayLike | None = None, arrived: float | None = None
    ) -> list[LiveAnswer]:
        """Rows of a stream, [n, ...] as its files hold them, and their times.

        Args:
            stream: its name.
            values: rows, time first.
            times: seconds, of each row, or of the first one of a stream with a rate; None: they follow the newest.
            arrived: seconds on the session's clock at which the packet came; needed for streams of ``clocks``.

        Returns:
            The answers that these rows make possible, in order of time.

        Raises:
            DataError: a stream that the model does not have, or rows or times that do not fit it. Nothing of them is
                used then, and the session goes on.
        """
        return alone(self.pushing(stream, values, times, arrived))

    def pushing(
        self, stream: str, values: ArrayLike, times: ArrayLike | None = None, arrived: float | None = None
    ) -> Steps[list[LiveAnswer]]:
        """As `push`, for `plait.prediction.together.together`: sessions of one model run as a batch."""
        if stream not in self.channels:
            raise DataError(f"{stream!r}: the model has no such stream. {suggest(stream, self.channels)}")
        channel = self.channels[stream]
        rows = self._fitting(channel, np.asarray(values))
        came = math.nan if arrived is None else arrived
        if channel.clock is not None and not math.isfinite(came):
            raise DataError(f"{stream}: arrived={arrived}; expected seconds, since the stream has a clock of its own.")
        channel.push(rows, times, came, self.start)
        # only now: a packet that is refused leaves nothing behind
        channel.shape = rows.shape[1:]
        if self.start is None and times is not None and len(rows):
            self.start = float(np.min(np.asarray(times, np.float64))) if channel.clock is None else came
        return (yield from self.ticking(-math.inf))

    def tick(self, now: float) -> list[LiveAnswer]:
        """Time has passed, although no row came; ``now`` in seconds of the session."""
        return alone(self.ticking(now))

    def ticking(self, now: float) -> Steps[list[LiveAnswer]]:
        """As `tick`, for `plait.prediction.together.together`."""
        newest = max(own.newest for own in self.channels.values())
        self.now = max(self.now, newest, now)
        if self.start is None:
            return []
        bounds = {n: max(own.passed, self.now - self.absent_after, own.watermark) for n, own in self.channels.items()}
        if self.late == "drop":
            most = max(mark - own.ahead for own, mark in zip(self.channels.values(), bounds.values()))
            bounds = {name: max(mark, most + self.channels[name].ahead) for name, mark in bounds.items()}
        final = yield from self._final(bounds)
        return final + (yield from self._tentative())

    def restart(self, start: float) -> None:
        """Begin a new item at ``start``, for sessions without a window: all before is forgotten by the next answer.

        Raises:
            ConfigError: the session has windows.
        """
        if self.window is not None:
            raise ConfigError("restart: the session's items are windows. Make a session without window=.")
        self.start, self.place, self.lanes, self.told = start, 1, {}, {}

    def close(self) -> list[LiveAnswer]:
        """No more rows come: the answers that are left."""
        return alone(self.closing())

    def closing(self) -> Steps[list[LiveAnswer]]:
        """As `close`, for `plait.prediction.together.together`."""
        if self.start is None:
            return []
        end = max(own.newest for own in self.channels.values())
        return (yield from self._final(dict.fromkeys(self.channels, math.inf), end))

    def _fitting(self, own: Channel, values: Values) -> Values:
        """The rows, if the stream's features take them: a session must not stop half way through a packet."""
        name = own.inbox.name
        if values.dtype.kind not in "fiub" or (values.dtype.kind == "f" and np.isinf(values).any()):
            raise DataError(f"{name}: rows of {values.dtype}, or infinite; expected finite numbers, NaN where lost.")
        values = values[:, None] if values.ndim == 1 else values
        for m, ring in own.rings.items():
            width = ring.feature.dim(values.shape[1:]) if values.ndim > 1 and 0 not in values.shape[1:] else 0
            if width != self.model.dims[m] or (own.shape or values.shape[1:]) != values.shape[1:]:
                raise DataError(
                    f"{name}: rows of shape {list(values.shape[1:])}, which give {width} features; the model was "
                    f"trained with {self.model.dims[m]}, and all packets must have one shape."
                )
        return values

    def _final(self, bounds: Mapping[str, float], end: float = math.inf) -> Steps[list[LiveAnswer]]:
        found = list[LiveAnswer]()
        for name, own in self.channels.items():
            own.seal(bounds[name])
        sure = min(own.watermark - own.ahead for own in self.channels.values())
        ended = any(own.inbox.silent and own.unread for own in self.channels.values())
        if self._until(end) > sure + 1e-9 and sure < self.read + TOGETHER and not ended:
            return found
        self.read = sure
        for own in self.channels.values():
            own.take()
        while (until := self._until(end)) <= min(sure, end) + 1e-9:
            yield from self._feed(until)
            found.append((yield from self._answer(self.place, self.lanes, until, final=True)))
            self.lanes = {k: lane for k, lane in self.lanes.items() if k > self.place or self.window is None}
            self.told.pop(self.place, None)
            self.place += 1
        yield from self._feed(min(sure, end))
        return found

    def _tentative(self) -> Steps[list[LiveAnswer]]:
        """Answers of what is there, where rows may still come."""
        found, k = list[LiveAnswer](), self.place
        while self.late == "revise" and (due := self._seen(k)) <= self.now + 1e-9:
            waiting = self._waiting(due)
            if self.told.get(k) != waiting:
                self.told[k] = waiting
                rows = dict[str, Piece]()
                for own in self.channels.values():
                    rows |= own.read(own.inbox.pending, closed=True)[1]
                lanes = yield from self._put(self.lanes, rows, due)
                found.append((yield from self._answer(k, lanes, due, final=False)))
            k += 1
        return found

    def _waiting(self, due: float) -> tuple[str, ...]:
        return tuple(n for n, own in self.channels.items() if own.watermark - own.ahead < due - 1e-9)

    def _due(self, k: int) -> float:
        """When item k ends, seconds: the first window when it is full, else after ``every``."""
        first = self.every if self.window is None else self.window
        return (self.start or 0.0) + first + (k - 1) * self.every

    def _seen(self, k: int) -> float:
        """Until when item k sees, seconds."""
        return self._due(k) + self.predictor.prepared.look_ahead

    def _until(self, end: float) -> float:
        """Until when the next final answer sees; what is recorded ends at ``end``. inf: it is not due by then."""
        return min(self._seen(self.place), end) if self._due(self.place) <= end + 1e-9 else math.inf

    def _begin(self, k: int) -> float:
        """When item k begins, with its context, which the session's start cuts off."""
        start = self.start or 0.0
        return start if self.window is None else max(start, start + (k - 1) * self.every - self.context)

    def _feed(self, until: float) -> Steps[None]:
        """Lanes read the features before ``until``."""
        ready = {m: rows for own in self.channels.values() for m, rows in own.ready.items()}
        self.lanes = yield from self._put(self.lanes, ready, until)
        for own in self.channels.values():
            own.ready = {m: after(rows, until) for m, rows in own.ready.items()}

    def _put(self, lanes: Mapping[int, Lane], ready: Mapping[str, Piece], until: float) -> Steps[dict[int, Lane]]:
        """The lanes after the rows before ``until``, those that begin by then among them."""
        given, found = dict[int, dict[str, Piece]](), dict(lanes)
        for m, every in ready.items():
            rows = before(every, until)
            for k in self._open(found, float(rows.times[-1])) if len(rows.times) else ():
                end = math.inf if self.window is None else self._seen(k)
                given.setdefault(k, {})[m] = before(after(rows, self._begin(k)), end)
        if given:
            now = yield Feed(self.model, [found[k] for k in given], [*given.values()])
            found |= zip(given, now)
        return found

    def _open(self, lanes: dict[int, Lane], newest: float) -> list[int]:
        """The items that have begun by ``newest`` and were not answered yet."""
        if self.window is None:
            if 0 not in lanes:
                lanes[0] = opened(self.model, self.start or 0.0)
            return [0]
        k = self.place
        while self._begin(k) <= newest + SAME:
            if k not in lanes:
                lanes[k] = opened(self.model, self._begin(k))
            k += 1
        return [*range(self.place, k)]

    def _answer(self, k: int, lanes: Mapping[int, Lane], until: float, *, final: bool) -> Steps[LiveAnswer]:
        due, begin = self._due(k), self._begin(k)
        lane = lanes.get(0 if self.window is None else k) or opened(self.model, begin)
        before = 0.0 if self.window is None else due - self.window - begin
        item = Item("live", begin, until, "", "live", context=(before, until - due))
        answer = yield Ask(self.model, lane, item)
        used = tuple(m for m in self.model.modalities if bool(lane.tracks[m][0].seen))
        told = self.predictor.within(prediction_of(item, answer, used, self.model.modalities))
        return LiveAnswer(due, told, final, () if final else self._waiting(until))

    def _check(
        self, lateness: float | Mapping[str, float], rates: Mapping[str, object], clocks: Mapping[str, object]
    ) -> None:
        given = lateness if isinstance(lateness, Mapping) else {"lateness": lateness}
        known = self.predictor.prepared.modalities.values()
        named = (("lateness", given if isinstance(lateness, Mapping) else ()), ("rate", rates), ("clock", clocks))
        problems = [
            f"{what} of {name!r}: the model has no such stream. {suggest(name, known)}"
            for what, names in named
            for name in names
            if name not in known
        ]
        if not 0 < self.every < math.inf:
            problems.append(f"every: got {self.every}; expected seconds above 0.")
        elif self.window is not None and not _whole(self.window / self.every):
            problems.append(f"window: got {self.window} s; expected a whole number of every ({self.every} s), above 0.")
        if not all(0 <= x < math.inf for x in given.values()):
            problems.append(f"lateness: got {lateness}; expected 0 or more seconds.")
        if not self.absent_after > 0:
            problems.append(f"absent_after: got {self.absent_after}; expected seconds above 0.")
        if self.late not in LATE:
            problems.append(f"late: got {self.late!r}; expected one of {', '.join(LATE)}.")
        raise_all(ConfigError, problems)


def _window(predictor: Predictor) -> float | None:
    """The length of the model's windows; None: its items have another unit."""
    task = predictor.prepared.task
    length = task.get("length") if isinstance(task, Mapping) and task.get("unit") == "window" else None
    return float(length) if isinstance(length, int | float) else None


def _context(predictor: Predictor) -> float:
    """Seconds before an item that the model sees too.

    Raises:
        ConfigError: it sees seconds after the item as well.
    """
    task = predictor.prepared.task
    pad = task.get("pad") if isinstance(task, Mapping) else None
    seconds = float(pad) if isinstance(pad, int | float) else 0.0
    if seconds and not predictor.prepared.causal:
        raise ConfigError(
            f"task.pad: {seconds:g} s after an item are context too, so its answer cannot be given at its end. "
            "Train with causal: true: the context is then before the item alone."
        )
    return seconds


def _whole(number: float) -> bool:
    return number > 0.5 and math.isfinite(number) and abs(number - round(number)) < 1e-6
