"""`/admin`: pipelines swapped and shadowed while they serve. Always needs a key with `admin = true`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from pydantic import Field
from starlette.types import Receive, Scope, Send

from k2core.errors import ConfigError, explain
from k2core.log import get_logger

from .http import ClientGone, header, read_json, send_error, send_json
from .openai.asked import Body, understood
from .openai.errors import ApiError, bad
from .pipelines.live import SwapRefused
from .pipelines.version import Recipe
from .services import Services
from .settings import NAME, ModelTable, ShadowTable

Handler = Callable[[Scope, Receive], Awaitable[tuple[int, Any]]]


class NewPipeline(Body):
    """A pipeline as tables, as TOML, or `reload` for what the model's file says now."""

    name: str
    config: dict[str, Any] | None = None
    toml: str | None = None
    reload: bool = False
    set: tuple[str, ...] = ()
    presets: dict[str, tuple[str, ...]] | None = None


class NewShadow(Body):
    model: str
    config: dict[str, Any] | None = None
    toml: str | None = None
    set: tuple[str, ...] = ()
    share: float = Field(default=0.1, gt=0, le=1)
    running: int = Field(default=2, ge=1)


class Admin:
    """An ASGI application for one address under `/admin`."""

    def __init__(self, services: Services, **handlers: Handler) -> None:
        self._services, self._handlers = services, handlers
        self.methods = {method.upper() for method in handlers}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            self._services.gate.admin(header(scope, b"authorization"))
            status, answer = await self._handlers[scope["method"].lower()](scope, receive)
            await send_json(send, answer, status)
        except ClientGone:
            return
        except SwapRefused as refused:
            error = bad("the configuration is refused, and nothing has changed", "config", "invalid_pipeline").body
            await send_json(send, {**error, "faults": refused.faults}, 400)
        except ApiError as error:
            await send_error(send, error, receive)
        except ConfigError as error:
            await send_error(send, bad(explain(error), "config", "invalid_pipeline"))
        except Exception as error:
            get_logger().error("admin failed", error=explain(error), exc_info=error)
            await send_error(send, ApiError(500, "it failed; see the server's log", type="server_error", code="internal_error"))


class Administration:
    """What the addresses do."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def pipelines(self, scope: Scope, receive: Receive) -> tuple[int, Any]:
        return 200, {"pipelines": self._services.pipelines.described(), "retiring": self._services.pipelines.retiring}

    async def swap(self, scope: Scope, receive: Receive) -> tuple[int, Any]:
        wanted = understood(NewPipeline, await read_json(scope, receive, self._services.settings.limits))
        if not NAME.fullmatch(wanted.name):
            raise bad("a model's name has letters, digits and . _ : / -", "name", "invalid_value")
        version = await self._swapped(wanted)
        return 200, {"name": wanted.name, "version": version.digest, "number": version.number, "presets": version.efforts}

    async def _swapped(self, wanted: NewPipeline) -> Any:
        pipelines = self._services.pipelines
        table = pipelines.live(wanted.name).table if wanted.name in pipelines else ModelTable()
        if wanted.reload:
            if not table.config:
                raise bad(f"{wanted.name} has no file to reload", "reload", "invalid_value")
            return await pipelines.reread(wanted.name)
        tables = _tables(wanted.config, wanted.toml)
        presets = table.presets if wanted.presets is None else wanted.presets
        table = ModelTable.model_validate({**table.model_dump(), "presets": presets})
        return await pipelines.swap(wanted.name, Recipe(tables, wanted.set, table.presets, "the request"), table)

    async def remove(self, scope: Scope, receive: Receive) -> tuple[int, Any]:
        name = scope["path_params"]["name"]
        await self._services.pipelines.remove(name)
        return 200, {"name": name, "removed": True}

    async def shadows(self, scope: Scope, receive: Receive) -> tuple[int, Any]:
        return 200, {"shadows": self._services.shadows.reports()}

    async def shadow(self, scope: Scope, receive: Receive) -> tuple[int, Any]:
        wanted = understood(NewShadow, await read_json(scope, receive, self._services.settings.limits))
        self._services.pipelines.live(wanted.model)
        recipe = Recipe(_tables(wanted.config, wanted.toml), wanted.set, None, "the request")
        shadow = await self._services.shadows.set(wanted.model, ShadowTable(share=wanted.share, running=wanted.running), recipe)
        return 200, shadow.report()

    async def unshadow(self, scope: Scope, receive: Receive) -> tuple[int, Any]:
        name = scope["path_params"]["name"]
        await self._services.shadows.remove(name)
        return 200, {"model": name, "removed": True}


def _tables(config: dict[str, Any] | None, toml: str | None) -> dict[str, Any]:
    """Raises `ApiError` unless there is exactly one of them, and it reads."""
    if (config is None) == (toml is None):
        raise bad("give the pipeline as `config`, a table, or as `toml`, a text", "config", "missing_required_parameter")
    if config is not None:
        return config
    import tomllib

    try:
        return tomllib.loads(toml or "")
    except tomllib.TOMLDecodeError as error:
        raise bad(f"toml is not valid: {error}", "toml", "invalid_pipeline") from None
