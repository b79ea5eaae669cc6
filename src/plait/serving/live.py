"""Sessions of a server: each message carried out once, whatever becomes of the connection or of the server."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import secrets
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from plait.core.atomic import read_text, write_text
from plait.core.errors import DataError, PlaitError
from plait.prediction.session import LiveAnswer, Session
from plait.prediction.session_file import load_session, save_session
from plait.prediction.together import Steps, alone
from plait.serving.limits import Limits
from plait.serving.messages import ANSWERS, Message, Options, Packet, carrying_out
from plait.serving.metrics import Metrics
from plait.serving.shadow import ShadowSession

if TYPE_CHECKING:
    from plait.serving.served import Served

__all__ = ["Applied", "Live", "facts_of", "files_of", "opened", "public_name", "restored"]

LOG = logging.getLogger("plait.serving")

FORMAT = "plait served session 1"

DRAWN = 8
"""Points of one packet that a page draws."""


def public_name(identity: str) -> str:
    """The name of a session that files and pages know; who has its identity may feed it.

    >>> public_name("a"), len(public_name("a"))
    ('ca978112ca1bbdcafac231b39a23dc4d', 32)
    """
    return hashlib.sha256(identity.encode()).hexdigest()[:32]


@dataclass(eq=False)
class Live:
    """A session, and what its client does not have yet.

    The event loop counts what was accepted; the model's thread carries messages out, in order, and saves.

    Attributes:
        name: public.
        served: its model.
        session: of the model.
        folder: where it is saved; None: nowhere, so that it ends with the server.
        every: seconds between two savings.
        accepted: number of the last message taken from a client.
        applied: number of the last one carried out.
        saved: number of the last one that a restart cannot lose; without a folder ``applied``.
        answers: how many were given.
        unread: answers that the client has not said to have, as JSON, each with its number.
        closed: whether no more rows come.
        broken: what ended it; "" while it goes on.
        owner: the connection that feeds it.
        touched: when its client was last heard.
        watchers: queues of pages that look on.
        shadow: a session of another model that is fed the same.
    """

    name: str
    served: Served
    session: Session
    limits: Limits
    metrics: Metrics
    folder: Path | None = None
    every: float = 5.0
    accepted: int = 0
    applied: int = 0
    saved: int = 0
    answers: int = 0
    unread: deque[tuple[int, str]] = field(default_factory=deque)
    closed: bool = False
    broken: str = ""
    owner: object = None
    touched: float = field(default_factory=time.monotonic)
    watchers: set[asyncio.Queue[str]] = field(default_factory=set)
    shadow: ShadowSession | None = None
    _saved_at: float = field(default_factory=time.monotonic)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _shown: deque[str] = field(default_factory=lambda: deque(maxlen=100))

    @property
    def streams(self) -> list[str]:
        """Names of its streams, in the order of their numbers in binary messages."""
        return list(self.session.channels)

    @property
    def done(self) -> bool:
        """Whether its client has all that it will ever say."""
        return bool(self.broken) or (self.closed and not self.unread and self.applied == self.accepted)

    def acknowledge(self, number: int) -> None:
        """The client has the answers up to a number."""
        with self._lock:
            while self.unread and self.unread[0][0] <= number:
                self.unread.popleft()

    def told_again(self, received: int) -> list[str]:
        """The answers that the client does not have."""
        self.acknowledge(received)
        with self._lock:
            return [text for _, text in self.unread]

    def apply(self, message: Message) -> Steps[str]:
        """Carry out a message, in steps that other sessions may share; in the model's thread.

        Returns:
            What the client is told, as JSON.
        """
        self.acknowledge(message.received)
        answers, error = list[LiveAnswer](), ""
        try:
            if self.broken or self.closed:
                raise DataError(self.broken or "the session is closed. Open another one.")
            answers = yield from carrying_out(message, self.session, self._show if self.watchers else None)
            self.closed = message.kind == "close"
        except PlaitError as wrong:
            error = str(wrong)
            self.metrics.refused.labels("message").inc()
        except Exception as failure:  # half a step was done: nothing that it says can be trusted any more
            LOG.exception("session %s", self.name)
            error = self.broken = f"the session has ended: {type(failure).__name__} in the model. Open another one."
        self.applied = message.seq
        told = self._numbered(answers)
        if self.shadow is not None:
            self.shadow.offer(message, answers)
        if time.monotonic() - self._saved_at >= self.every or self.closed:
            self.save()
        return self._reply(message.seq, told, error)

    def save(self) -> None:
        """Keep all that is needed to go on; in the model's thread. A disk that fails is told in the log."""
        self._saved_at = began = time.monotonic()
        if self.session.bytes > self.limits.state:
            self.broken = f"the session has ended: its state has more than {self.limits.state} bytes."
        if self.folder is None or self.broken or self.saved == self.applied > 0:
            return
        try:
            self._write(self.folder)
        except OSError as error:
            LOG.warning("session %s cannot be saved: %s", self.name, error)
            return
        self.saved = self.applied
        self.metrics.saved.observe(time.monotonic() - began)

    def forget(self) -> None:
        """Take its files away."""
        if self.folder is not None:
            for path in files_of(self.folder, self.name):
                path.unlink(missing_ok=True)

    def _write(self, folder: Path) -> None:
        """First the state, by its number; then, in one step, the file that says which number counts."""
        state = folder / f"{self.name}.{self.applied}.safetensors"
        save_session(self.session, state)
        with self._lock:
            unread = [*self.unread]
        facts = {
            "format": FORMAT, "model": self.served.name, "version": self.served.version, "applied": self.applied,
            "answers": self.answers, "closed": self.closed, "unread": unread,
        }  # fmt: skip
        write_text(folder / f"{self.name}.json", json.dumps(facts))
        for old in folder.glob(f"{self.name}.*.safetensors"):
            if old != state:
                old.unlink(missing_ok=True)

    def published(self, reply: str) -> None:
        """Let those who look on see what was shown and replied; who is too slow misses some. In the event loop."""
        for text in [*(self._shown.popleft() for _ in range(len(self._shown))), reply]:
            for queue in self.watchers:
                if not queue.full():
                    queue.put_nowait(text)

    def _show(self, packet: Packet) -> None:
        """Rows as a page draws them: the least and the largest number of up to `DRAWN` parts."""
        values = np.nan_to_num(np.asarray(packet.values, np.float64))
        parts = [p for p in np.array_split(values, DRAWN) if p.size]
        points = [[float(f"{p.min():.4g}"), float(f"{p.max():.4g}")] for p in parts]
        self._shown.append(json.dumps({"type": "rows", "stream": packet.stream, "points": points}))

    def _numbered(self, answers: list[LiveAnswer]) -> list[str]:
        found = []
        for answer in answers:
            self.answers += 1
            text = json.dumps({"number": self.answers, **answer.to_json()}, allow_nan=False)
            found.append(text)
            with self._lock:
                self.unread.append((self.answers, text))
        if answers:
            self.metrics.answers.labels(self.served.name).inc(len(answers))
        return found

    def _reply(self, seq: int, answers: list[str], error: str) -> str:
        saved = self.applied if self.folder is None else self.saved
        told = f'"seq":{seq},"saved":{saved},"answers":[{",".join(answers)}]'
        return f'{{"type":"error",{told},"error":{json.dumps(error)}}}' if error else f'{{"type":"ack",{told}}}'


@dataclass(frozen=True)
class Applied:
    """A message on its way into a session: work of the model's thread."""

    live: Live
    message: Message

    def __call__(self) -> str:
        """Alone."""
        return alone(self.steps())

    def steps(self) -> Steps[str]:
        """To be done together with messages of other sessions."""
        return self.live.apply(self.message)


def opened(
    served: Served, options: Options, limits: Limits, metrics: Metrics, folder: Path | None, every: float
) -> tuple[str, Live]:
    """A new session with its identity; in the model's thread.

    Raises:
        ConfigError, DataError: the options do not fit the model, or it cannot stream.
    """
    session = Session(served.predictor, **options.model_dump())
    if session.window is not None and session.window / session.every > ANSWERS:
        raise DataError(f"options: {session.window / session.every:.0f} windows at once; expected at most {ANSWERS}.")
    identity = secrets.token_urlsafe(24)
    live = Live(public_name(identity), served, session, limits, metrics, folder, every)
    live.shadow = ShadowSession.beside(served.shadow, options)
    live.save()
    return identity, live


def restored(name: str, served: Served, limits: Limits, metrics: Metrics, folder: Path, every: float) -> Live:
    """A session of the folder, as it was saved; in the model's thread.

    Raises:
        DataError: its files are damaged, or of another model.
    """
    facts = facts_of(folder, name)
    session = load_session(folder / f"{name}.{facts['applied']}.safetensors", served.predictor)
    live = Live(name, served, session, limits, metrics, folder, every)
    live.accepted = live.applied = live.saved = int(facts["applied"])
    live.answers, live.closed = int(facts["answers"]), bool(facts["closed"])
    live.unread = deque((int(number), str(text)) for number, text in facts["unread"])
    return live


def facts_of(folder: Path, name: str) -> dict[str, Any]:
    """What is known of a saved session.

    Raises:
        DataError: there is none, or it is damaged.
    """
    try:
        facts = json.loads(read_text(folder / f"{name}.json"))
        if facts["format"] != FORMAT or not isinstance(facts["applied"], int):
            raise ValueError(facts["format"])
    except FileNotFoundError as error:
        raise DataError("there is no such session, or no more. Open another one.") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError("the session's files are damaged. Open another one.") from error
    return dict(facts)


def files_of(folder: Path, name: str) -> Iterator[Path]:
    """The files of a session."""
    yield folder / f"{name}.json"
    yield from folder.glob(f"{name}.*.safetensors")
