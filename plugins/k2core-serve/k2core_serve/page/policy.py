"""The headers that keep the page to itself."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..http import header, send_error
from ..openai.errors import ApiError

PAGE = (
    "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; frame-src 'self'; "
    "object-src 'none'; base-uri 'self'; form-action 'none'; frame-ancestors 'none'"
)
REPORT = (
    "sandbox allow-scripts; default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
"""A report runs its own script, in an origin of its own: it reaches neither the page, nor its key, nor any network."""

COMMON = {
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"no-referrer",
    b"cross-origin-opener-policy": b"same-origin",
    b"cross-origin-resource-policy": b"same-origin",
    b"content-security-policy": PAGE.encode(),
}


class Guarded:
    """Sets the headers of every answer, and refuses what another site's page has sent."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = {name.lower() for name, _ in message["headers"]}
                message["headers"] = [*message["headers"], *((n, v) for n, v in COMMON.items() if n not in own)]
            await send(message)

        site = (header(scope, b"sec-fetch-site") or "none").lower()
        if site not in ("same-origin", "none") and (scope["method"] != "GET" or "/api/" in scope["path"]):
            await send_error(guarded, ApiError(403, "this was sent by the page of another site", code="cross_site"))
        else:
            await self._app(scope, receive, guarded)
