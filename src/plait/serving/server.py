"""The server as a process: it listens, and stops when asked to."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from socket import AF_INET, AF_INET6, create_server
from socket import socket as Socket
from types import FrameType

import torch
import uvicorn

from plait.core.errors import ConfigError
from plait.serving.app import Server, application
from plait.serving.limits import Limits
from plait.serving.metrics import Metrics
from plait.serving.served import Source, load_models
from plait.serving.sessions import Sessions

__all__ = ["serve"]


class _Process(uvicorn.Server):
    """A server that a signal stops in good order: that is no failure, so the signal is not raised again."""

    def __init__(self, config: uvicorn.Config, sessions: Sessions, told: Callable[[str], None]) -> None:
        super().__init__(config)
        self._sessions, self._told = sessions, told

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        before = {sig: signal.signal(sig, self.handle_exit) for sig in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for sig, handler in before.items():
                signal.signal(sig, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._sessions.draining = True
        super().handle_exit(sig, frame)

    async def startup(self, sockets: list[Socket] | None = None) -> None:
        await super().startup(sockets)
        host, port = (sockets or [])[0].getsockname()[:2]
        self._told(f"http://{f'[{host}]' if ':' in host else host}:{port}")


def serve(
    sources: Sequence[Source],
    *,
    shadows: Sequence[Source] = (),
    host: str = "127.0.0.1",
    port: int = 8000,
    token: str = "",
    sessions: str | Path | None = None,
    save_every: float = 5.0,
    limits: Limits | None = None,
    page: str | Path | None = None,
    threads: int = 1,
    allow_code: bool = False,
    told: Callable[[str], None] = print,
) -> None:
    """Serve runs until SIGTERM or SIGINT: what was accepted is finished then, and sessions are saved.

    Args:
        sources: runs, by name and version.
        shadows: runs that get the requests of the model of their name, and whose answers are only compared.
        host, port: where it listens; port 0: any that is free.
        token: that clients must know; "" for none.
        sessions: folder in which sessions outlive the server.
        save_every: seconds between two savings of a session.
        limits: what it takes on.
        page: an HTML file to serve at ``/app``.
        threads: of torch, for each step.
        allow_code: whether runs may name classes from outside plait.
        told: called with the address once it listens.

    Raises:
        ConfigError, DataError: as `plait.serving.served.load_models`, or the page is not there.
        OSError: the address is taken, or is not of this machine.
    """
    own = limits or Limits()
    if page is not None and not Path(page).is_file():
        raise ConfigError(f"{page}: no such file. Name a page of HTML.")
    # before anything is loaded: an address that is taken is told at once
    listening = create_server((host, port), family=AF_INET6 if ":" in host else AF_INET)
    torch.set_num_threads(threads)
    metrics = Metrics()
    models = load_models(sources, shadows, own, metrics, allow_code=allow_code)
    hall = Sessions(models, own, metrics, None if sessions is None else Path(sessions), save_every)
    app = application(Server(models, own, metrics, hall, token), host=host, page=None if page is None else Path(page))
    config = uvicorn.Config(
        app, host=host, port=port, log_level="warning", access_log=False, ws="websockets-sansio",
        ws_max_size=own.message, ws_per_message_deflate=False, timeout_graceful_shutdown=30, server_header=False,
    )  # fmt: skip
    _Process(config, hall, told).run([listening])
