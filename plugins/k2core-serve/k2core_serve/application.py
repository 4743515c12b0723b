"""The ASGI application: on its own under `k2 serve`, or mounted into someone else's."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from k2core.log import get_logger
from k2core.registry import Registry

from .admin import Admin, Administration
from .admission.gate import Gate
from .http import header, send_error
from .openai.chat import Chat
from .openai.errors import ApiError
from .openai.models import Models
from .openai.responses import Responses
from .openapi import Description
from .pipelines.live import Pipelines
from .pipelines.serving import Serving
from .pipelines.shadow import Shadows
from .pipelines.version import recipe_of
from .pipelines.watch import Watch
from .records import NoRecorder, Recorder
from .services import Services
from .settings import LOOPBACK, Settings
from .watching.health import Health, MetricsPage, Ready
from .watching.metrics import Metrics
from .watching.otel import check_installed

_LOCAL_HOSTS = {*LOOPBACK, "[::1]"}


def application(settings: Settings, *, recorder: Recorder | None = None, registry: Registry | None = None) -> Starlette:
    """A server as an ASGI application. Its lifespan starts and stops the pipelines.

    Mounted into another application, that one's lifespan must enter `lifespan(app)` of the result. `recorder` keeps finished
    requests in place of the store that the settings name. Raises `ConfigError` for keys that cannot be read.
    """
    if settings.otel:
        check_installed()
    services = services_for(settings, recorder, registry)
    app = Starlette(routes=routes(services), lifespan=_lifespan, exception_handlers={HTTPException: _http_error, Exception: _bug})
    app.state.services = services
    if not settings.keys and not settings.open:
        app.add_middleware(LocalOnly)
    return app


def services_for(settings: Settings, recorder: Recorder | None, registry: Registry | None) -> Services:
    """The parts, put together and not started."""
    registry = registry or Registry()  # finding out what is installed takes a while
    pipelines = Pipelines(settings.served, registry)
    recorder = recorder or _store(settings)
    serving, metrics, shadows = Serving(pipelines, recorder), Metrics(), Shadows(registry)
    serving.listeners += [metrics.heard, shadows.heard]
    return Services(settings, Gate(settings), pipelines, serving, shadows, recorder, metrics)


def _store(settings: Settings) -> Recorder:
    if not settings.store:
        return NoRecorder()
    from .store import open_store

    recorder: Recorder = open_store(settings.store, settings.store_options)
    return recorder


def routes(services: Services) -> list[BaseRoute]:
    """All addresses."""
    models, admin = Models(services), Administration(services)
    found: list[tuple[str, ASGIApp, list[str]]] = [
        ("/v1/chat/completions", Chat(services), ["POST"]),
        ("/v1/responses", Responses(services), ["POST"]),
        ("/v1/models", models, ["GET"]),
        ("/v1/models/{name:path}", models, ["GET"]),
        ("/healthz", Health(), ["GET"]),
        ("/readyz", Ready(services), ["GET"]),
        ("/metrics", MetricsPage(services), ["GET"]),
        ("/openapi.json", Description(), ["GET"]),
        ("/admin/pipelines", Admin(services, get=admin.pipelines, post=admin.swap), ["GET", "POST"]),
        ("/admin/pipelines/{name:path}", Admin(services, delete=admin.remove), ["DELETE"]),
        ("/admin/shadow", Admin(services, get=admin.shadows, post=admin.shadow), ["GET", "POST"]),
        ("/admin/shadow/{name:path}", Admin(services, delete=admin.unshadow), ["DELETE"]),
    ]
    mine: list[BaseRoute] = [Route(path, app, methods=methods) for path, app, methods in found]
    known = {path: methods for path, _, methods in found}
    nowhere = [Route(f"/{place}/{{rest:path}}", Nowhere(known)) for place in ("v1", "admin")]
    return [*mine, *nowhere, *_page(services)]


class Nowhere:
    """Addresses below `/v1` and `/admin` that are none, in OpenAI's form; the page would answer them with a page."""

    def __init__(self, known: Mapping[str, list[str]]) -> None:
        self._known = known

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path, method = scope["path"], scope["method"]
        if path in self._known:
            error = ApiError(405, f"{method} is not for {path}; it takes {', '.join(self._known[path])}", code="method_not_allowed")
        else:
            error = ApiError(404, f"there is nothing at {path}", code="not_found")
        await send_error(send, error)


def _page(services: Services) -> list[BaseRoute]:
    if not services.settings.page:
        return []
    from .page import routes as page_routes

    shown: list[BaseRoute] = page_routes(services)
    return shown


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    """Start the application's pipelines, and stop them after the block: for those who mount it."""
    services: Services = app.state.services
    try:
        await services.pipelines.start()
        for name, table in services.settings.shadow.items():
            await services.shadows.set(name, table, recipe_of(table.config, table.set, {}))
        _recall_spending(services)
        async with _background(services):
            services.ready = True
            yield
    finally:
        services.ready = False
        services.gate.close()
        await services.shadows.stop()
        await services.pipelines.stop()
        if close := getattr(services.recorder, "close", None):
            await asyncio.to_thread(close)


def _recall_spending(services: Services) -> None:
    """Budgets of a day go on where they stood before a restart, if there is a store."""
    spent = getattr(services.recorder, "spent", None)
    if spent:
        known = spent(time.time() - 86_400)
        for key in services.gate.keys:
            if (usage := known.get(key.name)) and (day := key.budgets["tokens_per_day"]):
                day.take(usage.tokens)


@asynccontextmanager
async def _background(services: Services) -> AsyncIterator[None]:
    """Files are watched within the block."""
    seconds = services.settings.watch_seconds
    watching = asyncio.create_task(Watch(services.pipelines, seconds).run()) if seconds else None
    try:
        yield
    finally:
        if watching:
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching


def _lifespan(app: Starlette) -> Any:
    return lifespan(app)


class LocalOnly:
    """Without keys: only requests to this machine by its own name, so that no web page can reach it through a name of its own."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and _host(header(scope, b"host") or "") not in _LOCAL_HOSTS:
            said = "without keys this server answers only to localhost and 127.0.0.1; configure [keys.NAME]"
            return await send_error(send, ApiError(403, said, code="host_not_allowed"))
        await self._app(scope, receive, send)


def _host(value: str) -> str:
    return value if value.endswith("]") or ":" not in value else value.rpartition(":")[0]


async def _http_error(request: Request, error: Exception) -> Response:
    """Unknown addresses and methods."""
    assert isinstance(error, HTTPException)
    said = {404: f"there is nothing at {request.url.path}", 405: f"{request.method} is not for {request.url.path}"}
    code = "not_found" if error.status_code == 404 else None
    made = ApiError(error.status_code, said.get(error.status_code, error.detail), code=code)
    return JSONResponse(made.body, made.status, headers=error.headers)


async def _bug(request: Request, error: Exception) -> Response:
    get_logger().error("internal error", path=request.url.path, error=type(error).__name__, exc_info=error)
    return JSONResponse(ApiError(500, "internal error", type="server_error", code="internal_error").body, 500)
