"""`GET /v1/models` and `GET /v1/models/{name}`."""

from __future__ import annotations

import time
from typing import Any

from starlette.types import Receive, Scope, Send

from ..http import header, send_error, send_json
from ..services import Services
from .errors import ApiError


class Models:
    """The pipelines that a key may ask, as models."""

    def __init__(self, services: Services) -> None:
        self._services, self._since = services, int(time.time())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await send_json(send, self._answer(scope))
        except ApiError as error:
            await send_error(send, error)

    def _answer(self, scope: Scope) -> dict[str, Any]:
        key = self._services.gate.key_of(header(scope, b"authorization"))
        name = scope["path_params"].get("name")
        if name is None:
            mine = [self._model(each) for each in self._services.pipelines.names() if key.may_ask(each)]
            return {"object": "list", "data": mine}
        self._services.pipelines.live(name)
        if not key.may_ask(name):
            raise ApiError(403, f"this key may not use the model {name!r}", param="model", code="model_not_allowed")
        return self._model(name)

    def _model(self, name: str) -> dict[str, Any]:
        version = self._services.pipelines.version(name)
        more = {"version": version.digest, "reasoning_efforts": version.efforts, "tools": version.calls_tools}
        return {"id": name, "object": "model", "created": self._since, "owned_by": "k2core", "k2core": more}
