"""The SDK's side. This module imports the SDK, so it is imported by `k2_start` only."""

from __future__ import annotations

import asyncio
import math
from contextlib import suppress
from typing import Any

import httpx
from cerebras.cloud.sdk import (
    APIConnectionError,
    APIResponseValidationError,
    APIStatusError,
    APITimeoutError,
    AsyncCerebras,
    CerebrasError,
    DefaultAsyncHttpxClient,
)

from .choice import Choice
from .config import CerebrasConfig
from .failure import BrokenAnswer, Failures
from .limits import Limits
from .transport import Transport

_TURNS = 20
"""Turns of the loop in which it ends the generators that the SDK leaves suspended after a stream, one within the other."""


class Client:
    """One SDK client with its pool of connections. Used and closed in one event loop."""

    def __init__(self, config: CerebrasConfig, key: str, limits: Limits, fail: Failures) -> None:
        self._config, self._limits, self._fail = config, limits, fail
        self._sdk = AsyncCerebras(
            api_key=key,
            base_url=config.base_url,
            timeout=_timeout(config),
            max_retries=0,  # the kernel retries, and counts each attempt
            warm_tcp_connection=config.warm_tcp_connection,
            http_client=_http(config),
        )

    async def close(self) -> None:
        await self._sdk.close()
        for _ in range(_TURNS):
            await asyncio.sleep(0)

    async def ask(self, body: dict[str, Any], choice: Choice) -> None:
        """Send one request and feed its answer to `choice`.

        Raises `TransientError` when a second try may help, else a plain error. No cause is kept: the SDK's errors hold the key.
        """
        now = asyncio.get_running_loop().time
        total = now() + self._config.total_timeout if self._config.total_timeout else math.inf
        choice.begin()
        try:
            async with asyncio.timeout_at(min(total, now() + self._config.first_timeout)) as alarm:
                return await self._talk(body, choice, alarm, total)
        except TimeoutError:
            problem: Exception = self._fail.transient(self._silence(choice, now() >= total))
        except (CerebrasError, httpx.HTTPError, httpx.StreamError, BrokenAnswer, ValueError) as error:
            problem = self._judge(error, choice)
        raise problem

    async def _talk(self, body: dict[str, Any], choice: Choice, alarm: asyncio.Timeout, total: float) -> None:
        api: Any = self._sdk.chat.completions
        if not self._config.stream:
            answer = await api.with_raw_response.create(**body, stream=False)
            self._limits.told(answer.headers)
            return choice.whole(await answer.parse())
        stream = await api.create(**body, stream=True)
        now = asyncio.get_running_loop().time
        try:
            self._limits.told(stream.response.headers)
            async for chunk in stream:
                alarm.reschedule(min(now() + self._config.idle_timeout, total))
                choice.chunk(chunk)
        finally:
            await stream.close()
            with suppress(Exception):  # lets the SDK's generators end now rather than when they are collected
                async for _ in stream:
                    pass

    def _judge(self, error: Exception, choice: Choice) -> Exception:
        """The error to raise in place of the SDK's, or of what it lets through from httpx and json."""
        if isinstance(error, APIStatusError):
            headers = error.response.headers
            self._limits.told(headers)
            if 300 <= error.status_code < 400:
                return ValueError(f"{self._config.base_url} redirects; set base_url to where the API is")
            return self._fail.status(error.status_code, headers, error.body)
        if isinstance(error, (APITimeoutError, httpx.TimeoutException)):
            return self._fail.transient(f"cannot be reached: no connection within {self._config.connect_timeout:g} s")
        if isinstance(error, (BrokenAnswer, ValueError, APIResponseValidationError)):
            return self._fail.transient(f"sent a broken answer after {choice.tokens} tokens: {self._fail.clean(str(error))}")
        why = self._fail.clean(str(error.__cause__ or error)) or type(error.__cause__ or error).__name__
        if isinstance(error, APIConnectionError) and isinstance(error.__cause__, httpx.ConnectError):
            if "CERTIFICATE" in why.upper():
                return ConnectionError(f"{self._config.base_url} has no valid certificate: {why}")
            return self._fail.transient(f"cannot be reached: {why}")
        if isinstance(error, (APIConnectionError, httpx.HTTPError, httpx.StreamError)):
            return self._fail.transient(f"broke the connection after {choice.tokens} tokens: {why}")
        return RuntimeError(f"the Cerebras SDK failed: {why}")

    def _silence(self, choice: Choice, total: bool) -> str:
        if total:
            return f"took more than total_timeout, {self._config.total_timeout:g} s, for {choice.tokens} tokens"
        if choice.chunks:
            return f"fell silent for {self._config.idle_timeout:g} s after {choice.tokens} tokens"
        return f"did not answer within {self._config.first_timeout:g} s (queue and prompt; see first_timeout, queue_threshold)"


def _timeout(config: CerebrasConfig) -> httpx.Timeout:
    """All but the time to connect is `Client.ask`'s."""
    return httpx.Timeout(None, connect=config.connect_timeout)


def _http(config: CerebrasConfig) -> httpx.AsyncClient:
    """The SDK's HTTP client with our limits. httpx takes no proxies from the environment when it is given a transport.

    No HTTP/2, which the SDK's default has: httpcore 1.0 does not reset a stream that is cancelled, so that the service would go on
    writing tokens that nobody counts.
    """
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=config.connections, keepalive_expiry=4.0)
    options: dict[str, Any] = {"timeout": _timeout(config), "follow_redirects": False}
    if config.trust_env:
        return DefaultAsyncHttpxClient(limits=limits, trust_env=True, http2=False, **options)
    return DefaultAsyncHttpxClient(transport=Transport(limits=limits), trust_env=False, **options)
