"""`/api/traces`: what was asked before."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from k2core.errors import K2Error

from ..http import encoded
from ..openai.errors import ApiError, bad
from ..store import Found, StoredTrace, TraceReader
from .rendering import Renderer
from .replays import Replays
from .serving import Caller, Serving
from .views import HIDDEN, Viewer, used


def answered(data: Any, status: int = 200) -> Response:
    return Response(encoded(data), status, {"cache-control": "no-store"}, "application/json")


async def guarded(work: Callable[[], Awaitable[Response]]) -> Response:
    """What `work` answers, or its refusal in the form of all others."""
    try:
        return await work()
    except ApiError as error:
        return Response(encoded(error.body), error.status, error.headers, "application/json")
    except OSError as error:  # of the store; it names the file, which is for the log of whoever runs it
        return await guarded_error(ApiError(503, f"the history cannot be read: {type(error).__name__}", type="server_error"))


async def guarded_error(error: ApiError) -> Response:
    return Response(encoded(error.body), error.status, error.headers, "application/json")


class History:
    """Every caller sees its own requests; one that sees all sees all."""

    def __init__(self, serving: Serving, store: TraceReader | None, replays: Replays, *, details: bool) -> None:
        self._serving, self._store, self._replays, self._details = serving, store, replays, details

    async def find(self, request: Request) -> Response:
        async def work() -> Response:
            caller, store = self._opened(request)
            query = request.query_params
            wanted = Found(
                text=query.get("q", "")[:500],
                pipeline=query.get("pipeline", ""),
                state=query.get("state", ""),
                key_id=None if caller.sees_all else caller.key_id,
                before=_whole(query.get("before")),
                limit=_whole(query.get("limit")) or 20,
            )
            page = await asyncio.to_thread(store.find, wanted)
            pipelines = await asyncio.to_thread(store.pipelines, wanted.key_id)
            rows = await asyncio.to_thread(_laid_out, [self._row(row, caller) for row in page.rows])
            return answered({"rows": rows, "next": page.next, "pipelines": pipelines})

        return await guarded(work)

    async def read(self, request: Request) -> Response:
        async def work() -> Response:
            caller, trace = await self._trace(request)
            return answered(await asyncio.to_thread(self._view, trace, caller))

        return await guarded(work)

    async def export(self, request: Request) -> Response:
        async def work() -> Response:
            caller, trace = await self._trace(request)
            if not caller.sees_all:
                raise ApiError(403, "a trace holds the pipeline's configuration; only a key with admin = true may take it away")
            body = await asyncio.to_thread(trace.jsonl)
            name = re.sub(r"[^A-Za-z0-9._-]", "_", trace.row["id"])[:80]
            headers = {"content-disposition": f'attachment; filename="{name}.jsonl"', "cache-control": "no-store"}
            return Response(body, 200, headers, "application/jsonl")

        return await guarded(work)

    async def replay(self, request: Request) -> Response:
        async def work() -> Response:
            _, trace = await self._trace(request)
            try:
                return answered(await self._replays.replay(trace))
            except K2Error as error:
                raise ApiError(409, str(error), code="not_replayable") from error

        return await guarded(work)

    def _opened(self, request: Request) -> tuple[Caller, TraceReader]:
        caller = self._serving.caller(request.headers)
        if self._store is None:
            raise ApiError(404, 'this server keeps no history; set store = "FILE" in serve.toml to have one', code="no_store")
        return caller, self._store

    async def _trace(self, request: Request) -> tuple[Caller, StoredTrace]:
        caller, store = self._opened(request)
        try:
            key_id = None if caller.sees_all else caller.key_id
            return caller, await asyncio.to_thread(store.read, request.path_params["id"], key_id)
        except KeyError:
            raise ApiError(404, "there is no such request, or it is not kept any more", code="no_trace") from None

    def _row(self, row: dict[str, Any], caller: Caller) -> dict[str, Any]:
        hide = bool(row["error"]) and not (self._details or caller.sees_all)
        return {**row, "error": HIDDEN} if hide else row

    def _view(self, trace: StoredTrace, caller: Caller) -> dict[str, Any]:
        viewer = Viewer(details=self._details or caller.sees_all)
        events = [view for event in trace.events if (view := viewer.view(event))]
        return {
            "row": self._row(trace.row, caller),
            "usage": {role: used(usage.model_dump()) for role, usage in trace.usage.items()},
            "events": events,
            "damage": trace.damage,
            "may_export": caller.sees_all and bool(trace.events),
        }


def _laid_out(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    renderer = Renderer()
    return [{**r, "problem_html": renderer.line(r["problem"]), "answer_html": renderer.answer_line(r["answer"])} for r in rows]


def _whole(text: str | None) -> int | None:
    """Raises `ApiError` for what is no whole number that SQLite can hold."""
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise bad(f"{text[:30]!r} is no number")
    return int(text)
