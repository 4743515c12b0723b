"""`POST /api/ask`: one problem, and its run as server-sent events."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from starlette.types import Receive, Scope, Send

from k2core.errors import explain
from k2core.events import CandidateMade, Delta, Event, PlanMade, RunEnded, RunStarted, Verified
from k2core.log import get_logger

from ..http import ClientGone, encoded, ended, patiently, read_json, send_error, start, while_there
from ..openai.errors import ApiError, bad, of_failure
from ..settings import LimitsTable
from .serving import Ask, Caller, Serving
from .views import Json, Viewer

BREATH = 0.04
"""Seconds between two portions of text: a reader sees no difference, and one portion costs as much as one token."""
RENDERED = (RunStarted, PlanMade, CandidateMade, Verified, RunEnded)
"""Events with texts to lay out, which takes too long for the event loop."""
LONGEST = 200_000
"""Characters of a problem."""


class Asking:
    """The ASGI application."""

    def __init__(self, serving: Serving, limits: LimitsTable, *, details: bool) -> None:
        self._serving, self._limits, self._details = serving, limits, details

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        with suppress(ClientGone):
            try:
                caller = self._serving.caller(headers)
                ask = asked(await read_json(scope, receive, self._limits), caller)
            except ApiError as error:
                await send_error(send, error, receive)
                return
            await while_there(self._told(ask, send), receive)

    async def _told(self, ask: Ask, send: Send) -> None:
        """Send the run as it goes. When this is cancelled, or the reader takes nothing, so is the run."""
        events: asyncio.Queue[Event | Json | None] = asyncio.Queue()

        ids: list[str] = []

        def accepted(id: str) -> None:
            ids.append(id)
            events.put_nowait({"kind": "accepted", "id": id})

        run = asyncio.ensure_future(self._serving.serve(ask, events.put_nowait, accepted))
        run.add_done_callback(lambda _: events.put_nowait(None))
        sent = _Sent(send, Viewer(details=self._details or ask.caller.sees_all), self._limits)
        try:
            await sent.begin()
            await sent.all_of(events)
            await sent.end(self._outcome(run, *ids))
        finally:
            await ended(run)

    def _outcome(self, run: asyncio.Future[Any], id: str = "") -> Json:
        """The last word. A run that failed has said so itself; one that was not admitted has not."""
        error = ApiError(503, "the server is ending") if run.cancelled() else run.exception()
        if error is None:
            return {"kind": "done"}
        if not isinstance(error, Exception):
            raise error
        if not isinstance(error, ApiError):
            get_logger(request=id).warning("a request of the page failed", error=explain(error))
        told = of_failure(error, id, self._details)
        return {"kind": "refused", "message": told.message, "status": told.status, "after": told.retry_after}


class _Sent:
    """The stream to one reader."""

    def __init__(self, send: Send, viewer: Viewer, limits: LimitsTable) -> None:
        self._send, self._viewer, self._limits = send, viewer, limits

    async def begin(self) -> None:
        headers = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-store", "x-accel-buffering": "no"}
        await self._send(start(200, headers))
        await self._body(b": the run's events, one a message\n\n")

    async def all_of(self, events: asyncio.Queue[Event | Json | None]) -> None:
        """Until the end of the run, marked by None."""
        while True:
            portion = await _portion(events, self._limits.heartbeat_seconds)
            told = [await self._view(event) for event in joined([event for event in portion if event is not None])]
            await self._body(b"".join(b"data: " + encoded(one) + b"\n\n" for one in told if one) or b": still at it\n\n")
            if None in portion:
                return
            if portion and all(isinstance(event, Delta) for event in portion):
                await asyncio.sleep(BREATH)

    async def end(self, outcome: Json) -> None:
        await self._body(b"data: " + encoded(outcome) + b"\n\n", more=False)

    async def _view(self, event: Event | Json) -> Json | None:
        if not isinstance(event, Event):
            return event
        data = {"kind": event.kind, **event.model_dump()}
        if isinstance(event, RENDERED):
            return await asyncio.to_thread(self._viewer.view, data)
        return self._viewer.view(data)

    async def _body(self, body: bytes, more: bool = True) -> None:
        await patiently(self._send({"type": "http.response.body", "body": body, "more_body": more}), self._limits.stall_seconds)


async def _portion(events: asyncio.Queue[Event | Json | None], patience: float) -> list[Event | Json | None]:
    """All that is there, at least one, or nothing after so many seconds."""
    try:
        async with asyncio.timeout(patience):
            portion = [await events.get()]
    except TimeoutError:
        return []
    while not events.empty():
        portion.append(events.get_nowait())
    return portion


def joined(events: Sequence[Event | Json]) -> list[Event | Json]:
    """With neighbouring pieces of the same text as one, where only other texts lie between them."""
    made: list[Event | Json] = []
    texts: dict[tuple[str, int, bool], list[Delta]] = {}

    def flush() -> None:
        for same in texts.values():
            whole = {"text": "".join(d.text for d in same), "tokens": sum(d.tokens for d in same)}
            made.append(same[-1].model_copy(update=whole))
        texts.clear()

    for event in events:
        if isinstance(event, Delta):
            texts.setdefault((event.call_id, event.index, event.reasoning), []).append(event)
        else:
            flush()
            made.append(event)
    flush()
    return made


def asked(body: Mapping[str, Any], caller: Caller) -> Ask:
    """Raises `ApiError` for what is missing, of another type or unknown: nothing else can be chosen from here."""
    known = ("pipeline", "problem", "effort")
    if unknown := [name for name in body if name not in known]:
        raise bad(f"unknown field {unknown[0]!r}; there are: {', '.join(known)}", unknown[0])
    for name in known:
        if not isinstance(body.get(name, ""), str):
            raise bad(f"{name} must be a string", name)
    problem = body.get("problem", "")
    if not problem.strip():
        raise bad("the problem is empty", "problem")
    if len(problem) > LONGEST:
        raise bad(f"the problem has {len(problem):,} characters; at most {LONGEST:,} are taken", "problem")
    return Ask(body.get("pipeline", ""), problem, body.get("effort", ""), caller)
