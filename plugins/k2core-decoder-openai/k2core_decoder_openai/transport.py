"""The HTTP side. This module imports aiohttp, so it is imported by `k2_start` only."""

from __future__ import annotations

import asyncio
import io
import math
import os
from collections.abc import Mapping
from contextlib import suppress

import aiohttp
from aiohttp.abc import AbstractStreamWriter
from yarl import URL

from .config import OpenAIConfig
from .failure import Failures
from .reply import EventSink, JsonSink, Reply

_KEEP_ALIVE = 4.0
"""Seconds to keep an idle connection: less than the five after which common servers close theirs, lest a request meet a close."""
_TAIL = 0.2
"""Seconds to wait, after the last event, for the end that lets the connection be used again."""
_LARGE = 2**20
_LONGEST_ERROR = 65_536


class _Telling(aiohttp.payload.Payload):
    """Tells a reply that its request is on its way: aiohttp holds the headers back until it writes the body."""

    _reply: Reply

    async def write(self, writer: AbstractStreamWriter) -> None:
        self._reply.sent()
        await super().write(writer)  # type: ignore[safe-super] # a mixin: the next class has one

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        self._reply.sent()
        await super().write_with_length(writer, content_length)


class _Body(_Telling, aiohttp.payload.BytesPayload):
    def __init__(self, body: bytes, reply: Reply) -> None:
        super().__init__(body, content_type="application/json")
        self._reply = reply


class _LargeBody(_Telling, aiohttp.payload.BytesIOPayload):
    def __init__(self, body: io.BytesIO, reply: Reply) -> None:
        super().__init__(body, content_type="application/json")
        self._reply = reply


class Transport:
    """One session, with its pool of connections, for one endpoint. Made, used and closed in one event loop."""

    def __init__(self, config: OpenAIConfig, secret_headers: Mapping[str, str], fail: Failures) -> None:
        self._config, self._fail = config, fail
        self._url = URL(config.base_url + "/chat/completions")
        plain = {
            "Content-Type": "application/json",
            "Accept": "text/event-stream, application/json" if config.stream else "application/json",
            "Accept-Encoding": "identity",  # a compressing proxy would hold tokens back
            "User-Agent": "k2core-decoder-openai/0.1",
        }
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEP_ALIVE),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={**plain, **config.headers, **secret_headers},
            timeout=aiohttp.ClientTimeout(total=None, connect=config.connect_timeout),
            trust_env=config.trust_env,
        )

    async def close(self) -> None:
        await self._session.close()

    async def exchange(self, body: bytes, reply: Reply) -> bytes:
        """Send `body`, feed the answer to `reply`; return a stray line of the stream, if any.

        Raises `TransientError` when a second try may help, else a plain error. No cause is kept: aiohttp's errors hold headers.
        """
        loop = asyncio.get_running_loop()
        total = loop.time() + self._config.total_timeout if self._config.total_timeout else math.inf
        try:
            async with asyncio.timeout_at(min(total, loop.time() + self._config.first_timeout)) as alarm:
                return await self._talk(body, reply, alarm, total)
        except aiohttp.ClientConnectorCertificateError as error:
            why = self._fail.clean(str(error.certificate_error))
            problem: Exception = ConnectionError(f"{self._config.base_url} has no valid certificate: {why}")
        except aiohttp.ClientResponseError as error:
            problem = self._fail.plain(f"does not speak HTTP: {self._fail.clean(error.message)}")
        except aiohttp.ConnectionTimeoutError:
            problem = self._fail.transient(f"cannot be reached: no connection within {self._config.connect_timeout:g} s")
        except aiohttp.ClientConnectorError as error:
            number = error.os_error.errno or 0
            why = os.strerror(number) if number > 0 else error.os_error.strerror or str(error.os_error)
            problem = self._fail.transient(f"cannot be reached: {why}; is the server running there?")
        except (aiohttp.ClientError, ConnectionError) as error:
            problem = self._fail.transient(f"broke the connection after {reply.tokens} tokens: {self._fail.clean(str(error))}")
        except TimeoutError:
            problem = self._fail.transient(self._silence(reply, loop.time() >= total))
        raise problem

    def _silence(self, reply: Reply, total: bool) -> str:
        if total:
            return f"took more than total_timeout, {self._config.total_timeout:g} s, for {reply.tokens} tokens"
        if reply.received:
            return f"fell silent for {self._config.idle_timeout:g} s after {reply.tokens} tokens"
        return f"did not answer within {self._config.first_timeout:g} s"

    async def _talk(self, body: bytes, reply: Reply, alarm: asyncio.Timeout, total: float) -> bytes:
        data = _Body(body, reply) if len(body) < _LARGE else _LargeBody(io.BytesIO(body), reply)
        response = await self._session.post(self._url, data=data, allow_redirects=False)
        try:
            if response.status != 200:
                raise self._fail.http(response.status, response.headers, await _beginning(response.content))
            return await self._read(response, reply, alarm, total)
        finally:
            response.close()  # which leaves a connection alone that has gone back to the pool

    async def _read(self, response: aiohttp.ClientResponse, reply: Reply, alarm: asyncio.Timeout, total: float) -> bytes:
        content, now, idle = response.content, asyncio.get_running_loop().time, self._config.idle_timeout
        data = await content.readany()
        sink = self._sink(response.content_type, data, reply)
        try:
            while data:
                alarm.reschedule(min(now() + idle, total))
                sink.feed(data)
                if sink.done:
                    await self._tail(content)
                    break
                data = await content.readany()
        except asyncio.CancelledError:
            with suppress(Exception):  # what came in at the last moment counts, whatever else it is
                sink.feed(content.read_nowait())
            raise
        return sink.end()

    def _sink(self, kind: str, first: bytes, reply: Reply) -> EventSink | JsonSink:
        """By the content type or, where that tells nothing, by the looks of the first bytes."""
        looks = first.lstrip(b"\xef\xbb\xbf \t\r\n")
        if kind == "text/event-stream" or (kind != "application/json" and looks.startswith((b"data:", b"event:", b":"))):
            return EventSink(reply, self._fail)
        if kind == "application/json" or looks.startswith(b"{"):
            return JsonSink(reply, self._fail)
        raise self._fail.plain(
            f"answered with {kind}, not with JSON or events (is base_url right?): {self._fail.clean(first[:500])!r}"
        )

    async def _tail(self, content: aiohttp.StreamReader) -> None:
        """Read to the end of the response. The answer is complete: if the end does not come, the connection closes, that is all."""
        with suppress(TimeoutError, aiohttp.ClientError):
            async with asyncio.timeout(_TAIL):
                while await content.readany():
                    pass


async def _beginning(content: aiohttp.StreamReader) -> bytes:
    """An error page, to its end or as far as anybody needs it."""
    page = b""
    with suppress(aiohttp.ClientError):  # the status tells enough
        while len(page) < _LONGEST_ERROR and (data := await content.readany()):
            page += data
    return page
