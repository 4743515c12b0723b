"""HTTP without lost connections."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import httpx

_MOST_TURNS = 100
_TAIL = 0.2
"""Seconds to wait, after the last event, for the end that lets the connection be used again."""


class Transport(httpx.AsyncBaseTransport):
    """httpx's own, but for two things.

    A stream that has said all is read to its end, so that its connection is used again: the SDK closes it at `[DONE]`.

    A cancellation waits until a connection that has just been made is in use: httpcore 1.0 forgets a connection whose request is
    cancelled in the few turns of the loop between connecting and sending. Its pool neither closes it nor uses it again, and it
    stays open for as long as the client.
    """

    def __init__(self, **options: Any) -> None:
        self._inner = httpx.AsyncHTTPTransport(**options)

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send the request, return the response with its body unread."""
        phase = _Phase(request)
        sending = asyncio.create_task(self._inner.handle_async_request(request))
        try:
            await asyncio.wait((sending,))
        except asyncio.CancelledError:
            await _stop(sending, phase)
            raise
        response = sending.result()
        assert isinstance(response.stream, httpx.AsyncByteStream)
        response.stream = _Stream(response.stream)
        return response


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
            await self._inner.aclose()


class _Phase:
    """Whether a request stands between connecting and sending, by httpcore's `trace` extension."""

    def __init__(self, request: httpx.Request) -> None:
        self.between = False
        self._connected = "connection.start_tls.complete" if request.url.scheme == "https" else "connection.connect_tcp.complete"
        request.extensions = {**request.extensions, "trace": self._trace}

    async def _trace(self, event: str, info: dict[str, Any]) -> None:
        if event == self._connected:
            self.between = True
        elif event.endswith("send_request_headers.started"):
            self.between = False


async def _stop(sending: asyncio.Task[httpx.Response], phase: _Phase) -> None:
    """Cancel the task, once it may be. However often this is cancelled itself, the task does not outlive it."""
    for _ in range(_MOST_TURNS):
        if not phase.between or sending.done():
            break
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(0)
    sending.cancel()
    while not sending.done():
        with suppress(asyncio.CancelledError):
            await asyncio.wait((sending,))
    if not sending.cancelled() and sending.exception() is None:
        await sending.result().aclose()
