"""The page as an application of its own, for the server to mount."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, request_response
from starlette.types import ASGIApp

from k2core.registry import Registry

from ..settings import LimitsTable
from ..store import TraceReader
from .asking import Asking
from .assets import Assets
from .history import History
from .policy import Guarded
from .replays import Replays
from .reports import Reports
from .serving import Serving
from .shelf import Shelf

Handler = Callable[[Request], Awaitable[Response]]

PLACES = ("/", "/compare", "/traces", "/traces/{id}", "/reports", "/reports/{name:path}")
"""Addresses at which the page itself finds out what to show."""


@dataclass(frozen=True)
class PageOptions:
    """What the operator decides."""

    reports: Path | None = None
    """Folder with reports of `k2 eval report`."""
    registry: Callable[[], Registry] = Registry
    """Makes the registry that replays find their plugins in."""
    limits: LimitsTable = field(default_factory=LimitsTable)
    details: bool = True
    """Show readers the whole text of a failure, which may name addresses of back ends."""


def page_application(serving: Serving, store: TraceReader | None = None, options: PageOptions | None = None) -> Starlette:
    """An application of these routes and nothing else."""
    return Starlette(routes=page_routes(serving, store, options))


def page_routes(serving: Serving, store: TraceReader | None = None, options: PageOptions | None = None) -> list[BaseRoute]:
    """`/`, `/compare`, `/traces`, `/reports`, the page's files under `/page/`, and `/api/`. Without a store there is no history."""
    options = options or PageOptions()
    assets, reports = Assets(), Reports(options.reports) if options.reports else None
    history = History(serving, store, Replays(options.registry), details=options.details)
    shelf = Shelf(serving, reports, store is not None)
    return [
        _route("/page/{name}", assets.file),
        _route("/api/about", shelf.about),
        _route("/api/traces", history.find),
        _route("/api/traces/{id}", history.read),
        _route("/api/traces/{id}/trace.jsonl", history.export),
        _route("/api/traces/{id}/replay", history.replay, "POST"),
        _route("/api/reports", shelf.listed),
        _route("/api/reports/open", shelf.address, "POST"),
        Route("/api/ask", Guarded(Asking(serving, options.limits, details=options.details)), methods=["POST"]),
        _route("/reports/view/{token}", shelf.opened),
        *(_route(place, assets.index) for place in PLACES),
    ]


def _route(path: str, handler: Handler, method: str = "GET") -> Route:
    app: ASGIApp = request_response(handler)
    return Route(path, Guarded(app), methods=[method])
