"""All sessions of a server: opened, resumed, left, forgotten, and saved when it stops."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from pathlib import Path

from plait.core.atomic import sweep
from plait.core.errors import DataError
from plait.serving.limits import Limits, Overloaded
from plait.serving.live import Live, facts_of, files_of, opened, public_name, restored
from plait.serving.messages import Hello
from plait.serving.metrics import Metrics
from plait.serving.served import Models

__all__ = ["Sessions"]


class Sessions:
    """Sessions by their public names; everything here runs in the event loop.

    Args:
        models: answer.
        limits, metrics: of the server.
        folder: where sessions are saved; None: they end with the server.
        every: seconds between two savings of a session.
    """

    def __init__(self, models: Models, limits: Limits, metrics: Metrics, folder: Path | None, every: float) -> None:
        self.models, self.limits, self.metrics, self.folder, self.every = models, limits, metrics, folder, every
        self.all: dict[str, Live] = {}
        self.draining = False
        self._opening, self._loading = 0, asyncio.Lock()
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            sweep(folder)
        for state, connected in (("connected", True), ("waiting", False)):
            metrics.sessions.labels(state).set_function(partial(self._count, connected))

    async def open(self, hello: Hello) -> tuple[str, Live]:
        """A new session, and the identity by which its client resumes it.

        Raises:
            NotServed, ConfigError, DataError: it is asked for wrongly.
            Overloaded: there are as many as may be, or the server stops.
        """
        served = self.models.get(hello.model, hello.version)
        self._room()
        self._opening += 1
        try:
            own = (self.limits, self.metrics, self.folder, self.every)
            identity, live = await served.worker.submit("open", partial(opened, served, hello.options, *own))
        finally:
            self._opening -= 1
        self.all[live.name] = live
        return identity, live

    async def resume(self, hello: Hello, owner: object) -> Live:
        """A session that was there before; it belongs to ``owner`` from now on, and nothing of it is on the way.

        Raises:
            DataError: there is none, or no more.
            Overloaded: as `open`.
        """
        name = public_name(hello.session)
        async with self._loading:
            live = self.all.get(name) or await self._restored(name)
        live.owner, live.touched = owner, time.monotonic()
        await live.served.worker.submit("settle", lambda: None, always=True)
        return live

    def owner(self, identity: str) -> object:
        """The connection that feeds a session now."""
        live = self.all.get(public_name(identity))
        return live and live.owner

    def leave(self, live: Live, owner: object) -> None:
        """A connection has ended; its session waits for the next one."""
        if live.done:
            self.all.pop(live.name, None)
            live.forget()
        elif live.owner is owner:
            live.owner, live.touched = None, time.monotonic()
            live.served.worker.post("save", live.save)

    def idle(self) -> list[Live]:
        """Sessions whose connection has said nothing for long. Those without one leave the memory, and old files go."""
        now = time.monotonic()
        old = [live for live in self.all.values() if now - live.touched > self.limits.idle]
        for live in old:
            if live.owner is None and live.saved in (live.applied, 0):
                self.all.pop(live.name, None)
        if self.folder is not None:
            for path in self.folder.glob("*.json"):
                if time.time() - path.stat().st_mtime > self.limits.kept and path.stem not in self.all:
                    for own in files_of(self.folder, path.stem):
                        own.unlink(missing_ok=True)
        return [live for live in old if live.owner is not None]

    async def drain(self) -> None:
        """Save all, after what waits for them is done."""
        self.draining = True
        saved = [live.served.worker.submit("save", live.save, always=True) for live in self.all.values()]
        await asyncio.gather(*saved, return_exceptions=True)

    async def _restored(self, name: str) -> Live:
        folder = self.folder
        if folder is None:
            raise DataError("there is no such session, or no more. Open another one.")
        facts = facts_of(folder, name)
        served = self.models.get(str(facts["model"]), str(facts["version"]))
        self._room()
        work = partial(restored, name, served, self.limits, self.metrics, folder, self.every)
        live: Live = await served.worker.submit("resume", work)
        self.all[name] = live
        return live

    def _room(self) -> None:
        if self.draining:
            raise Overloaded("The server stops.", 5.0)
        if len(self.all) + self._opening < self.limits.sessions:
            return
        left = [x for x in self.all.values() if x.owner is None and self.folder is not None and x.saved == x.applied]
        if not left:
            raise Overloaded(f"There are {self.limits.sessions} sessions, as many as may be.", 5.0)
        self.all.pop(min(left, key=lambda x: x.touched).name)

    def _count(self, connected: bool) -> int:
        return sum((live.owner is not None) == connected for live in self.all.values())
