"""What a server takes on, and how it refuses the rest."""

from __future__ import annotations

from dataclasses import dataclass, fields

from plait.core.errors import ConfigError, PlaitError, raise_all

__all__ = ["Limits", "Overloaded"]


class Overloaded(PlaitError):
    """There is more work than the limits allow. Nothing of the request was done.

    Attributes:
        retry_after: seconds after which it is worth trying again.
    """

    def __init__(self, problem: str, retry_after: float) -> None:
        self.retry_after = round(min(max(retry_after, 0.1), 60.0), 2)
        super().__init__(f"{problem} Try again in {self.retry_after:g} s.")


@dataclass(frozen=True)
class Limits:
    """Stated limits; all count for the whole server unless they say otherwise.

    Attributes:
        sessions: sessions in memory, connected or not.
        message: bytes of a WebSocket message.
        upload: bytes of the files of one recording.
        tensors: bytes of any other body.
        requests: HTTP requests at once.
        waiting: steps that wait, per model.
        window: messages of a connection that are not answered yet; more are not read from its socket.
        unread: answers of a session that its client has not said to have received.
        state: bytes of a session's state.
        idle: seconds without a message, after which a connection is closed; and seconds without a connection, after
            which a session leaves the memory.
        kept: seconds that a saved session without a connection is kept on disk.
        body: seconds for a body to arrive, and for the first message of a connection.

    Raises:
        ConfigError: a limit that is not above 0.
    """

    sessions: int = 100
    message: int = 1 << 20
    upload: int = 256 << 20
    tensors: int = 16 << 20
    requests: int = 64
    waiting: int = 256
    window: int = 32
    unread: int = 10_000
    state: int = 64 << 20
    idle: float = 300.0
    kept: float = 86_400.0
    body: float = 60.0

    def __post_init__(self) -> None:
        named = [(f.name, getattr(self, f.name)) for f in fields(self)]
        raise_all(ConfigError, [f"limit {n}: got {x}; expected a number above 0." for n, x in named if not x > 0])
