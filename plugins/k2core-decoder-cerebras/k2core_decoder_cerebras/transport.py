"""HTTP without lost connections."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import suppress
from typing import Any

import httpx

_CLOSING = 0.5
"""Seconds that closing waits for connections which are being made and which nobody wants any more."""
_TAIL = 0.2
"""Seconds to wait, after the last event, for the end that lets the connection be used again."""


class Transport(httpx.AsyncBaseTransport):
    """httpx's own, but for two things.

    A stream that has said all is read to its end, so that its connection is used again: the SDK closes it at `[DONE]`.

    A request that is cancelled while its connection is made is given up by its caller at once, but ends only when it could be sent:
    anyio 4 and httpcore 1.0 forget a connection whose request is cancelled in the turns of the loop between the system's connecting
    and their sending. Nobody closes it, and it stays open for as long as the client.
    """

    def __init__(self, **options: Any) -> None:
        self._inner = httpx.AsyncHTTPTransport(**options)
        self._given_up: set[asyncio.Task[httpx.Response]] = set()

    async def aclose(self) -> None:
        if self._given_up:
            await asyncio.wait(self._given_up, timeout=_CLOSING)
        for task in tuple(self._given_up):
            await _end(task)
        await self._inner.aclose()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send the request, return the response with its body unread."""
        phase = _Phase(request)
        sending = asyncio.create_task(self._inner.handle_async_request(request))
        try:
            await asyncio.wait((sending,))
        except asyncio.CancelledError:
            if phase.connecting and not sending.done():
                phase.unwanted = True
                self._given_up.add(sending)
                sending.add_done_callback(self._forget)
            else:
                await _end(sending)
            raise
        response = sending.result()
        assert isinstance(response.stream, httpx.AsyncByteStream)
        response.stream = _Stream(response.stream)
        return response

    def _forget(self, task: asyncio.Task[httpx.Response]) -> None:
        self._given_up.discard(task)
        if not task.cancelled():
            task.exception()  # has nobody to be raised to


class _Stream(httpx.AsyncByteStream):
    """The body of a response."""

    def __init__(self, inner: httpx.AsyncByteStream) -> None:
        self._inner, self._pieces, self._last = inner, aiter(inner), b""

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        piece = await anext(self._pieces)
        self._last = (self._last + piece)[-16:]
        return piece

    async def aclose(self) -> None:
        try:
            if b"[DONE]" in self._last:
                with suppress(TimeoutError, httpx.HTTPError):
                    async with asyncio.timeout(_TAIL):
                        async for _ in self._pieces:
                            pass
        finally:
            await _whole(self._inner.aclose())


class _Phase:
    """Whether a request's connection is being made, by httpcore's `trace` extension."""

    def __init__(self, request: httpx.Request) -> None:
        self.connecting = self.unwanted = False
        request.extensions = {**request.extensions, "trace": self._trace}

    async def _trace(self, event: str, info: dict[str, Any]) -> None:
        """At the moment when the request would be sent, one that is unwanted ends, and httpcore closes its connection."""
        if event == "connection.connect_tcp.started":
            self.connecting = True
        elif event.endswith("send_request_headers.started"):
            self.connecting = False
            if self.unwanted:
                raise asyncio.CancelledError


async def _whole(closing: Coroutine[Any, Any, None]) -> None:
    """Close to the end, and only then be cancelled: httpcore 1.0 forgets a connection, too, whose closing is cancelled."""
    task, cancelled = asyncio.create_task(closing), False
    while not task.done():
        try:
            await asyncio.wait((task,))
        except asyncio.CancelledError:
            cancelled = True
    task.result()
    if cancelled:
        raise asyncio.CancelledError


async def _end(sending: asyncio.Task[httpx.Response]) -> None:
    """Cancel the task. However often this is cancelled itself, the task does not outlive it."""
    sending.cancel()
    while not sending.done():
        with suppress(asyncio.CancelledError):
            await asyncio.wait((sending,))
    if not sending.cancelled() and sending.exception() is None:
        await sending.result().aclose()
