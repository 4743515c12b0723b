"""`/healthz`, `/readyz`, `/metrics`: for supervisors, without a key; they tell figures and no texts."""

from __future__ import annotations

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.types import Receive, Scope, Send

from ..http import send_bytes, send_json
from ..services import Services


class Health:
    """The process answers."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send_json(send, {"status": "ok"})


class Ready:
    """Every pipeline has started, and the server is not on its way out.

    Trouble of the store is told and changes nothing: answers go on without their records, and to be sent no more requests would
    be the greater harm.
    """

    def __init__(self, services: Services) -> None:
        self._services = services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        ready = self._services.ready
        told = {"status": "ready" if ready else "not ready"}
        if trouble := self._services.trouble:
            told["store"] = "not writing" if self._services.settings.keys else trouble
        await send_json(send, told, 200 if ready else 503)


class MetricsPage:
    """Prometheus reads it."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        metrics = self._services.metrics
        metrics.look(self._services)
        await send_bytes(send, metrics.text(), CONTENT_TYPE_LATEST)
