"""What is asked of every request before anything of it is read: who asks, from where, and how much it is."""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import Collection
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from plait.serving.limits import Limits
from plait.serving.metrics import Metrics

__all__ = ["Guard", "token_fits"]

OPEN = ("/", "/app", "/v2/health/live", "/v2/health/ready")
"""Paths without a token: pages without data, and what tells a supervisor whether the server lives."""

LOCAL = ("localhost", "127.0.0.1", "::1")


def token_fits(given: str, token: str) -> bool:
    """Whether a client knows the token; the time that it takes tells nothing.

    >>> token_fits("secret", "secret"), token_fits("", "secret"), token_fits("", "")
    (True, False, True)
    """
    return hmac.compare_digest(given.encode("utf-8", "replace"), token.encode())


class Guard:
    """ASGI middleware.

    Args:
        app: what is guarded.
        token: that clients must know; "" for none: then pages of other sites may not ask, and only names of this
            machine, or of ``host``, may be asked for, since any page in a browser can reach this machine.
        host: that the server listens on.
        limits, metrics: of the server.
    """

    def __init__(self, app: ASGIApp, *, token: str, host: str, limits: Limits, metrics: Metrics) -> None:
        self.app, self.token, self.limits, self.metrics = app, token, limits, metrics
        self.hosts: Collection[str] = (*LOCAL, host) if host in LOCAL else ()
        self._now = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            return await self.app(scope, receive, send)
        scope.setdefault("state", {})["authorised"] = self._knows(scope)
        status, problem = self._refusal(scope)
        if status:
            self.metrics.refused.labels("request").inc()
            return await _refuse(scope, send, status, problem)
        if scope["type"] == "websocket":
            return await self.app(scope, receive, send)
        if self._now >= self.limits.requests:
            self.metrics.shed.labels("request").inc()
            return await _refuse(scope, send, 503, f"there are {self._now} requests, as many as may be.")
        self._now += 1
        try:
            await self.app(scope, self._limited(scope, receive), send)
        finally:
            self._now -= 1

    def _refusal(self, scope: Scope) -> tuple[int, str]:
        """Status and reason; 0 for none."""
        headers = Headers(scope=scope)
        host, origin = headers.get("host", ""), headers.get("origin")
        if not self.token:
            if self.hosts and _name(host) not in self.hosts:
                return 421, "this server answers on this machine only. Ask for 127.0.0.1."
            if origin is not None and urlsplit(origin).netloc != host:
                return 403, "pages of other sites may ask only with a token. Start the server with one."
        elif scope["type"] == "http" and scope["path"] not in OPEN and not scope["state"]["authorised"]:
            return 401, "the token is missing or wrong. Send the header Authorization: Bearer TOKEN."
        length = headers.get("content-length", "0")
        if length.isdigit() and int(length[:20]) > self._most(scope):
            return 413, f"the body has {length[:20]} bytes; expected at most {self._most(scope)}."
        return 0, ""

    def _knows(self, scope: Scope) -> bool:
        kind, _, given = Headers(scope=scope).get("authorization", "").partition(" ")
        if kind.lower() != "bearer" and scope["type"] == "websocket":  # browsers set no headers there
            given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        return token_fits(given.strip(), self.token)

    def _most(self, scope: Scope) -> int:
        return self.limits.upload if scope["path"] == "/predict" else self.limits.tensors

    def _limited(self, scope: Scope, receive: Receive) -> Receive:
        """Bodies without a stated length, or that never end."""
        seen, most, more = 0, self._most(scope), True

        async def limited() -> Message:
            nonlocal seen, more
            try:
                message = await asyncio.wait_for(receive(), self.limits.body if more else None)
            except TimeoutError:
                raise HTTPException(408, f"nothing came for {self.limits.body:g} s.") from None
            seen, more = seen + len(message.get("body", b"")), message.get("more_body", False)
            if seen > most:
                raise HTTPException(413, f"the body has more than {most} bytes.")
            return message

        return limited


def _name(host: str) -> str:
    """Of a Host header, without the port."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


async def _refuse(scope: Scope, send: Send, status: int, problem: str) -> None:
    if scope["type"] == "websocket":
        return await send({"type": "websocket.close", "code": 1008, "reason": problem[:120]})
    body = json.dumps({"error": problem}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    headers += {401: [(b"www-authenticate", b"Bearer")], 503: [(b"retry-after", b"1")]}.get(status, [])
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
    return None
