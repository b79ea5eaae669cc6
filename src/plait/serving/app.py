"""The server as an ASGI application: files, tensors, sessions, metrics, and a page."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request, WebSocket
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, JSONResponse, Response

from plait.core.errors import PlaitError
from plait.core.safe_yaml import brief
from plait.core.version import __version__
from plait.serving.files import BODIES, predicted, segments_of
from plait.serving.guard import Guard
from plait.serving.limits import Limits, Overloaded
from plait.serving.metrics import Metrics
from plait.serving.served import Models, NotServed, Served
from plait.serving.sessions import Sessions
from plait.serving.socket import CLOSED, Connection
from plait.serving.tensors import Infer, outputs_of
from plait.serving.trace import span

__all__ = ["Server", "application"]

PAGE = Path(__file__).with_name("page.html")

LOG = logging.getLogger("plait.serving")

WRONG: dict[int | str, dict[str, Any]] = {status: {"description": what} for status, what in (
    (400, "Cannot be read."), (401, "No token."), (403, "From another site."), (404, "No such model."),
    (408, "The body did not come."), (413, "Too large."), (422, "Does not fit the model."), (503, "Overloaded."),
)}  # fmt: skip
"""For the schema."""


class Server:
    """What the routes share.

    Args:
        models: answer.
        limits, metrics: of the server.
        sessions: of all models.
        token: that clients must know; "" for none.
    """

    def __init__(self, models: Models, limits: Limits, metrics: Metrics, sessions: Sessions, token: str = "") -> None:
        self.models, self.limits, self.metrics, self.sessions, self.token = models, limits, metrics, sessions, token

    @property
    def ready(self) -> bool:
        """Whether every model has answered once, and the server does not stop."""
        return not self.sessions.draining and all(one.ready for one in self.models.all)

    async def live(self) -> None:
        """Warm up; then look each second for what is idle."""
        for one in self.models.all:
            try:
                await one.worker.submit("warm up", one.warm)
            except Exception as error:
                LOG.error("%s cannot answer: %s", one.name, error)
        while True:
            await asyncio.sleep(1.0)
            for live in self.sessions.idle():
                if isinstance(live.owner, Connection):
                    await live.owner.refuse(f"nothing was said for {self.limits.idle:g} s.", "idle")

    async def stop(self) -> None:
        """Finish what was accepted, save the sessions, end the threads."""
        await self.sessions.drain()
        await asyncio.to_thread(self.models.stop)


def application(server: Server, *, host: str = "127.0.0.1", page: Path | None = None) -> FastAPI:
    """The application.

    Args:
        server: what its routes share.
        host: that it will listen on.
        page: an own page, at ``/app``.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        alive = asyncio.create_task(server.live())
        yield
        alive.cancel()
        await server.stop()

    app = FastAPI(title="plait", version=__version__, lifespan=lifespan, docs_url=None, redoc_url=None, responses=WRONG)
    guarded = {"token": server.token, "host": host, "limits": server.limits, "metrics": server.metrics}
    app.add_middleware(Guard, **guarded)  # type: ignore[arg-type]
    _errors(app, server)
    _open_inference(app, server)
    _own(app, server)
    for path, file in (("/", PAGE), *([("/app", page)] if page else [])):
        app.add_api_route(path, lambda file=file: FileResponse(file), include_in_schema=False)
    return app


def _errors(app: FastAPI, server: Server) -> None:
    """Whatever is wrong: {"error": what}."""

    @app.exception_handler(PlaitError)
    async def refused(_: Request, error: PlaitError) -> Response:
        if isinstance(error, Overloaded):
            server.metrics.shed.labels("request").inc()
            after = str(max(1, round(error.retry_after)))
            return JSONResponse({"error": str(error)}, 503, {"retry-after": after})
        server.metrics.refused.labels("request").inc()
        return JSONResponse({"error": str(error)}, 404 if isinstance(error, NotServed) else 422)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> Response:
        server.metrics.refused.labels("request").inc()
        told = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()[:5]]
        return JSONResponse({"error": brief("; ".join(told), 500)}, 400)

    @app.exception_handler(HTTPException)
    async def http(_: Request, error: HTTPException) -> Response:
        return JSONResponse({"error": str(error.detail)}, error.status_code, error.headers)

    @app.exception_handler(Exception)
    async def failed(_: Request, error: Exception) -> Response:
        return JSONResponse({"error": f"the server failed ({type(error).__name__}); its log says where."}, 500)


def _open_inference(app: FastAPI, server: Server) -> None:
    """The Open Inference Protocol, version 2."""
    models = server.models

    @app.get("/v2/health/live")
    async def live() -> dict[str, bool]:
        return {"live": True}

    @app.get("/v2/health/ready")
    async def ready() -> JSONResponse:
        problems = {one.name: one.problem for one in models.all if one.problem}
        return JSONResponse({"ready": server.ready, **problems}, 200 if server.ready else 503)

    @app.get("/v2")
    async def about() -> dict[str, Any]:
        return {"name": "plait", "version": __version__, "extensions": [], "models": models.names}

    @app.get("/v2/models/{name}")
    @app.get("/v2/models/{name}/versions/{version}")
    async def model(name: str, version: str | None = None) -> dict[str, Any]:
        one = models.get(name, version)
        return {"name": name, "versions": models.versions(name), "platform": "plait", **one.inputs.described()}

    @app.get("/v2/models/{name}/ready")
    @app.get("/v2/models/{name}/versions/{version}/ready")
    async def model_ready(name: str, version: str | None = None) -> JSONResponse:
        one = models.get(name, version)
        return JSONResponse({"name": name, "ready": one.ready}, 200 if one.ready else 503)

    @app.post("/v2/models/{name}/infer")
    @app.post("/v2/models/{name}/versions/{version}/infer")
    async def infer(request: Request, name: str, body: Infer, version: str | None = None) -> JSONResponse:
        one = models.get(name, version)
        with span("infer", request.headers.get("traceparent")) as trace:
            told = await _inferred(one, body)
        return JSONResponse(told, headers={"traceparent": trace} if trace else None)


async def _inferred(one: Served, body: Infer) -> dict[str, Any]:
    asked = one.inputs.request(body)
    found = await one.worker.submit("infer", asked)
    if one.shadow is not None:
        one.shadow.offer(asked.answered_by, asked.told(found))
    wanted = None if body.outputs is None else [o.name for o in body.outputs]
    told = {"model_name": one.name, "model_version": one.version, "outputs": outputs_of(found, wanted)}
    return told if body.id is None else {**told, "id": body.id}


def _own(app: FastAPI, server: Server) -> None:
    """Files, sessions, metrics."""

    @app.post("/predict", openapi_extra=BODIES)
    async def predict(
        request: Request,
        model: str | None = None,
        version: str | None = None,
        name: str | None = None,
        segment: Annotated[list[str], Query(max_length=100)] = [],  # noqa: B006
        ask: Annotated[str | None, Query(max_length=2000)] = None,
    ) -> JSONResponse:
        one = server.models.get(model, version)
        with span("predict", request.headers.get("traceparent")) as trace:
            told = await predicted(request, one, name, segments_of(segment), ask)
        if trace:
            told.headers["traceparent"] = trace
        return told

    @app.get("/sessions")
    async def sessions() -> list[dict[str, Any]]:
        return [
            {"name": x.name, "model": x.served.name, "version": x.served.version, "streams": x.streams,
             "connected": x.owner is not None, "messages": x.accepted, "answers": x.answers}
            for x in server.sessions.all.values()
        ]  # fmt: skip

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(server.metrics.text(), media_type="text/plain; version=0.0.4")

    @app.websocket("/live")
    async def socket(ws: WebSocket) -> None:
        if server.sessions.draining:
            await ws.close(CLOSED["stops"])
            return
        await Connection(ws, server.sessions, server.token).serve()
