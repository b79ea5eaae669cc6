"""The WebSocket of sessions; its messages stand in docs/serving.md."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from plait.core.errors import DataError, PlaitError
from plait.serving.guard import token_fits
from plait.serving.limits import Overloaded
from plait.serving.live import Applied, Live
from plait.serving.messages import Hello, hello_of, message_of
from plait.serving.sessions import Sessions
from plait.serving.trace import passed_on

__all__ = ["CLOSED", "Connection"]

CLOSED = {
    "done": 1000,
    "refused": 1008,
    "failed": 1011,
    "stops": 1012,
    "overload": 1013,
    "idle": 4408,
    "taken over": 4409,
}
"""Codes of closing, by reason."""

WATCHERS = 8
"""Pages that may look on one session."""


class Connection:
    """A client's WebSocket: it opens or resumes a session and feeds it, or looks on.

    Args:
        ws: the socket.
        sessions: of the server.
        token: that clients must know; "" for none.
    """

    def __init__(self, ws: WebSocket, sessions: Sessions, token: str) -> None:
        self.ws, self.sessions, self.token = ws, sessions, token
        self.limits = sessions.limits

    async def serve(self) -> None:
        """Until one of both ends it. Whatever is wrong is said first."""
        await self.ws.accept()
        try:
            hello = hello_of(await asyncio.wait_for(self._received(), self.limits.body))
            if not (self.ws.scope["state"]["authorised"] or token_fits(hello.token, self.token)):
                raise DataError("the token is missing or wrong. Give it as token in the first message.")
            await (self._watch(hello) if hello.type == "watch" else self._feed(hello))
        except WebSocketDisconnect:
            pass
        except TimeoutError:
            await self.refuse("nothing was said. Expected a first message: open, resume or watch.", "idle")
        except Overloaded as error:
            self.sessions.metrics.shed.labels("session").inc()
            await self.refuse(str(error), "overload", retry_after=error.retry_after)
        except PlaitError as error:
            self.sessions.metrics.refused.labels("connection").inc()
            await self.refuse(str(error), "refused")

    async def refuse(self, problem: str, reason: str, **more: object) -> None:
        """Say what is wrong, and close."""
        try:
            await self.ws.send_text(json.dumps({"type": "error", "error": problem, **more}))
            await self.ws.close(CLOSED[reason], reason)
        except (RuntimeError, WebSocketDisconnect):  # it has gone already
            pass

    async def _received(self) -> str | bytes:
        message = await self.ws.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect
        text: str | None = message.get("text")
        return message.get("bytes") or b"" if text is None else text

    async def _feed(self, hello: Hello) -> None:
        live, again = await self._begun(hello)
        outgoing = asyncio.Queue[Any](self.limits.window)
        sender = asyncio.create_task(self._send(live, outgoing))
        for text in again:
            await outgoing.put(text)
        try:
            await self._read(live, outgoing)
        finally:
            # what was accepted is carried out, and kept for the next connection
            await asyncio.shield(_finished(outgoing, sender))
            self.sessions.leave(live, self)
        if live.broken:
            await self.refuse(live.broken, "failed")
        elif live.done:
            await self.ws.close(CLOSED["done"], "done")

    async def _begun(self, hello: Hello) -> tuple[Live, list[str]]:
        """The session, and what to say first."""
        known = hello.traceparent or self.ws.headers.get("traceparent")
        said: dict[str, object] = {"traceparent": passed_on(known)} if passed_on(known) else {}
        if hello.type == "open":
            identity, live = await self.sessions.open(hello)
            live.owner, said["session"] = self, identity
        else:
            before = self.sessions.owner(hello.session)
            live = await self.sessions.resume(hello, self)
            if isinstance(before, Connection):
                asyncio.get_running_loop().create_task(
                    before.refuse("another connection has resumed the session.", "taken over")
                )
        facts = {
            "type": "opened", **said, "name": live.name, "model": live.served.name, "version": live.served.version,
            "seq": live.accepted, "streams": live.streams, "facts": str(live.session.facts),
            "rates": {name: own.inbox.period and 1 / own.inbox.period for name, own in live.session.channels.items()},
        }  # fmt: skip
        unread = live.told_again(hello.received) if hello.type == "resume" else []
        again = [f'{{"type":"ack","seq":{live.accepted},"saved":{_saved(live)},"answers":[{",".join(unread)}]}}']
        return live, [json.dumps(facts), *(again if hello.type == "resume" else [])]

    async def _read(self, live: Live, outgoing: asyncio.Queue[Any]) -> None:
        while live.owner is self and not live.done:
            data = await self._received()
            live.touched = time.monotonic()
            if live.owner is self and (reply := self._taken(live, data)):
                # a full queue is not read from: the client waits
                await outgoing.put(reply)

    def _taken(self, live: Live, data: str | bytes) -> Any:
        """A text to send, or the future of one; a message that is not accepted is not counted.

        Raises:
            Overloaded: too many steps wait.
            DataError: the client takes no answers.
        """
        try:
            message = message_of(data)
        except DataError as error:
            self.sessions.metrics.refused.labels("message").inc()
            return json.dumps({"type": "error", "error": str(error)})
        if message.kind == "received":
            live.acknowledge(message.received)
            return ""
        if message.seq <= live.accepted:  # it was sent again, and carried out once
            return f'{{"type":"ack","seq":{message.seq},"saved":{_saved(live)},"answers":[]}}'
        if message.seq > live.accepted + 1:
            told = f"message {message.seq}: expected {live.accepted + 1}. Send all in order, from there."
            return json.dumps({"type": "error", "error": told, "expected": live.accepted + 1})
        if len(live.unread) > self.limits.unread:
            raise DataError(f"{len(live.unread)} answers are not acknowledged. Say which were received, and resume.")
        reply = live.served.worker.submit(message.kind, Applied(live, message))
        live.accepted = message.seq
        return reply

    async def _send(self, live: Live, outgoing: asyncio.Queue[Any]) -> None:
        """Send in order; once nobody listens any more, still take what comes, so that nobody waits for room."""
        listening = True
        while (item := await outgoing.get()) is not None:
            text = item if isinstance(item, str) else await item
            if live.watchers:
                live.published(text)
            try:
                if listening:
                    await self.ws.send_text(text)
            except (RuntimeError, WebSocketDisconnect):
                listening = False

    async def _watch(self, hello: Hello) -> None:
        live = self.sessions.all.get(hello.session)
        if live is None or len(live.watchers) >= WATCHERS:
            raise DataError("there is no such session, or too many look on. Expected a name of GET /sessions.")
        queue = asyncio.Queue[str](100)
        queue.put_nowait(json.dumps({"type": "watching", "name": live.name, "streams": live.streams}))
        live.watchers.add(queue)
        sender = asyncio.create_task(self._show(queue))
        try:
            while True:
                await self._received()
        finally:
            live.watchers.discard(queue)
            sender.cancel()

    async def _show(self, queue: asyncio.Queue[str]) -> None:
        try:
            while True:
                await self.ws.send_text(await queue.get())
        except (RuntimeError, WebSocketDisconnect):
            pass


async def _finished(outgoing: asyncio.Queue[Any], sender: asyncio.Task[None]) -> None:
    await outgoing.put(None)
    await sender


def _saved(live: Live) -> int:
    return live.applied if live.folder is None else live.saved
