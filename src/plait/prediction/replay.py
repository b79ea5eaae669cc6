"""A session's log: all that it was told, so that the same answers can be had again, or those of a worse line."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

from plait.core.errors import ConfigError, DataError, raise_all
from plait.prediction.predict import Predictor
from plait.prediction.session import LiveAnswer, Session
from plait.streams.stream import Values

__all__ = ["Call", "Log", "Recorder", "faulty", "read_log", "replayed"]

FORMAT = "plait session log 1"

SCHEMA = pa.schema(
    [
        ("kind", pa.string()),
        ("stream", pa.string()),
        ("values", pa.binary()),
        ("dtype", pa.string()),
        ("shape", pa.list_(pa.int64())),
        ("times", pa.list_(pa.float64())),
        ("arrived", pa.float64()),
        ("now", pa.float64()),
    ]
)


@dataclass(frozen=True)
class Call:
    """Something that a session was told.

    Attributes:
        kind: ``push``, ``tick``, ``restart`` or ``close``.
        stream, values, times, arrived: of `Session.push`.
        now: of `Session.tick`, or the start of `Session.restart`.
    """

    kind: str
    stream: str = ""
    values: Values | None = None
    times: NDArray[np.float64] | None = None
    arrived: float | None = None
    now: float | None = None

    def into(self, session: Session) -> list[LiveAnswer]:
        """Tell a session; its answers."""
        if self.kind == "push":
            return session.push(self.stream, self.values, self.times, self.arrived)  # type: ignore[arg-type]
        if self.kind == "close":
            return session.close()
        if self.kind == "tick":
            return session.tick(self.now or 0.0)
        session.restart(self.now or 0.0)
        return []


@dataclass(frozen=True)
class Log:
    """A session's log.

    Attributes:
        options: of the session.
        model: digest of its model (`Predictor.digest`).
        calls: in order.
        cut_off: whether the file ends in the middle of a call, as after a process that was killed.
    """

    options: dict[str, Any]
    model: str
    calls: list[Call]
    cut_off: bool


class Recorder:
    """A session whose calls are written to a file, each before it is carried out.

    The file is an Arrow stream; it grows with what is pushed, and can be read at any time.

    Args:
        session: a new one.
        path: of the file; an old one is not written over.

    Raises:
        ConfigError: the file is there already.

    >>> with Recorder(plait.stream("runs/mood", every=1.0), "live.arrows") as live:  # doctest: +SKIP
    ...     live.push("imu", rows, times=0.0)
    """

    def __init__(self, session: Session, path: str | Path) -> None:
        self.session, self.path = session, Path(path)
        told = {"format": FORMAT, "options": session.options, "model": session.predictor.digest}
        try:
            self._file = self.path.open("xb")
        except FileExistsError as error:
            raise ConfigError(f"{path}: is there already. Name another file for the session's log.") from error
        schema = SCHEMA.with_metadata({"session": json.dumps(told, allow_nan=False)})
        self._writer = pa.ipc.new_stream(self._file, schema)

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._writer.close()
        self._file.close()

    def push(
        self, stream: str, values: ArrayLike, times: ArrayLike | None = None, arrived: float | None = None
    ) -> list[LiveAnswer]:
        """See `Session.push`."""
        at = None if times is None else np.atleast_1d(np.asarray(times, np.float64))
        return self._told(Call("push", stream, np.asarray(values), at, arrived))

    def tick(self, now: float) -> list[LiveAnswer]:
        """See `Session.tick`."""
        return self._told(Call("tick", now=now))

    def restart(self, start: float) -> None:
        """See `Session.restart`."""
        self._told(Call("restart", now=start))

    def close(self) -> list[LiveAnswer]:
        """See `Session.close`."""
        return self._told(Call("close"))

    def _told(self, call: Call) -> list[LiveAnswer]:
        values = np.zeros(0) if call.values is None else call.values
        if values.dtype.kind not in "fiub":
            return call.into(self.session)  # it says what is wrong
        row = {
            "kind": call.kind, "stream": call.stream, "values": values.tobytes(), "dtype": values.dtype.str,
            "shape": values.shape, "times": call.times, "arrived": call.arrived, "now": call.now,
        }  # fmt: skip
        self._writer.write_batch(pa.RecordBatch.from_pylist([row], SCHEMA))
        self._file.flush()
        return call.into(self.session)


def read_log(path: str | Path) -> Log:
    """A log that a `Recorder` wrote.

    Raises:
        DataError: it cannot be read, or is none.
    """
    calls, cut_off = list[Call](), False
    try:
        with pa.OSFile(str(path)) as file, pa.ipc.open_stream(file) as reader:
            told = json.loads((reader.schema.metadata or {})[b"session"])
            if told["format"] != FORMAT:
                raise ValueError(f"format {told['format']!r}")
            try:
                for batch in reader:
                    calls += map(_call, batch.to_pylist())
            except (pa.ArrowInvalid, OSError):
                cut_off = True
            return Log(dict(told["options"]), str(told["model"]), calls, cut_off)
    except (OSError, pa.ArrowInvalid, KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path}: not the log of a session, or a damaged one ({error}).") from error


def _call(row: dict[str, Any]) -> Call:
    push = row["kind"] == "push"
    values = np.frombuffer(row["values"], np.dtype(row["dtype"])).reshape(row["shape"]) if push else None
    times = None if row["times"] is None else np.asarray(row["times"], np.float64)
    return Call(row["kind"], row["stream"], values, times, row["arrived"], row["now"])


def replayed(
    log: Log, predictor: Predictor, calls: Sequence[Call] | None = None, **options: object
) -> tuple[list[LiveAnswer], Session]:
    """The answers of a new session that is told the same; and the session, with its counts.

    With the same model on the same machine they are equal to the bit. What the session refused it refuses again.

    Args:
        log: of the session.
        predictor: of its model, or of another one with the same streams.
        calls: others than those of the log (`faulty`).
        options: of the session, in place of those of the log: another ``lateness``, say.

    Raises:
        ConfigError: options that do not fit the model.
    """
    session, answers = Session(predictor, **{**log.options, **options}), list[LiveAnswer]()
    for call in log.calls if calls is None else calls:
        try:
            answers += call.into(session)
        except (ConfigError, DataError):
            continue
    return answers, session


def faulty(
    calls: Sequence[Call],
    rng: np.random.Generator,
    *,
    lost: float = 0.0,
    repeated: float = 0.0,
    late: float = 0.0,
    shuffled: int = 0,
) -> list[Call]:
    """The calls as a worse line would bring them.

    Args:
        calls: of a log. Those that are no ``push`` stay at their places, ``close`` at the end.
        rng: of the faults.
        lost: share of packets that never come.
        repeated: share that comes again, right after itself.
        late: share that comes at the end of all.
        shuffled: packets come out of order, up to so many places away.

    Raises:
        ConfigError: a share outside 0 to 1, or places below 0.

    >>> calls = [Call("push", "imu", np.zeros(1), np.array([float(t)])) for t in range(100)]
    >>> len(faulty(calls, np.random.default_rng(0), lost=0.5)), len(faulty(calls, np.random.default_rng(0), repeated=1))
    (58, 200)
    """
    shares = {"lost": lost, "repeated": repeated, "late": late}
    problems = [f"{name}: got {x}; expected a share from 0 to 1." for name, x in shares.items() if not 0 <= x <= 1]
    problems += [f"shuffled: got {shuffled}; expected 0 or more places."] if shuffled < 0 else []
    raise_all(ConfigError, problems)
    sent, behind, told = list[tuple[float, Call]](), list[Call](), dict[int, Call]()
    for place, call in enumerate(calls):
        if call.kind != "push":
            told[place] = call
        elif rng.random() >= lost:
            many = 1 + (rng.random() < repeated)
            if rng.random() < late:
                behind += [call] * many
            else:
                sent += [(place + (rng.uniform(0, shuffled) if shuffled else 0.0), call)] * many
    sent += [(place - 0.5, call) for place, call in told.items() if call.kind != "close"]
    ends = [call for call in told.values() if call.kind == "close"]
    return [*(call for _, call in sorted(sent, key=lambda one: one[0])), *behind, *ends]
