"""The plugin: one request to the endpoint a call, and no token lost when the call is cancelled."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, ClassVar

from k2core.plugin import Plugin, hookimpl
from k2core.ports import Run
from k2core.types import Completion, DecodeRequest

from .body import body_of, reading
from .config import OpenAIConfig
from .failure import Failures
from .reply import Reply

if TYPE_CHECKING:
    from .transport import Transport

_MOST_TURNS = 16


class OpenAIDecoder(Plugin):
    """Any OpenAI-compatible chat endpoint."""

    config: OpenAIConfig
    calls_tools: ClassVar[bool] = True

    def __init__(self, config: OpenAIConfig | None = None) -> None:
        super().__init__(config)
        self._transport: Transport | None = None
        self._fail = Failures(self.config, ())

    @hookimpl
    async def k2_start(self) -> None:
        """Read the keys, open the session. Raises `RuntimeError` naming an environment variable that is missing or unusable."""
        from .transport import Transport

        secrets = {header: _secret(name) for header, name in self.config.headers_env.items()}
        headers = dict(secrets)
        if self.config.api_key_env:
            key = _secret(self.config.api_key_env)
            secrets["Authorization"], headers["Authorization"] = key, f"Bearer {key}"
        self._fail = Failures(self.config, secrets.values())
        self._slots = asyncio.Semaphore(self.config.connections)
        self._transport = Transport(self.config, headers, self._fail)

    @hookimpl
    async def k2_stop(self) -> None:
        transport, self._transport = self._transport, None
        if transport is not None:
            await transport.close()

    @hookimpl
    async def k2_decode(self, run: Run, request: DecodeRequest) -> Sequence[Completion]:
        """Ask for `request.n` choices in one request. The run retries what is raised as `TransientError`."""
        if self._transport is None:
            raise RuntimeError("the decoder has not been started")
        run.meter(unsent=1)  # until it is under way, which the reply is told
        async with self._slots:
            reply = Reply(run, request, reading(request, self.config), self._fail)
            try:
                # a task of its own, so that a cancelled call can still take in what has arrived
                exchange = asyncio.create_task(self._transport.exchange(body_of(request, self.config), reply))
                stray = await _outcome(exchange, reply)
                return reply.completions(stray)
            finally:
                reply.settle()


async def _outcome(exchange: asyncio.Task[bytes], reply: Reply) -> bytes:
    """The task's result. When cancelled, stop it, but not before it has taken in what the socket already holds."""
    try:
        await asyncio.wait((exchange,))
    except asyncio.CancelledError:
        try:
            await _drain(exchange, reply)
        finally:
            exchange.cancel()
            while not exchange.done():  # however often we are cancelled, it must not outlive us
                with suppress(asyncio.CancelledError):
                    await asyncio.wait((exchange,))
            if not exchange.cancelled():
                exchange.exception()
        raise
    return exchange.result()


async def _drain(exchange: asyncio.Task[bytes], reply: Reply) -> None:
    """Turn the loop for as long as that brings in bytes: one turn polls the socket, the next wakes the reader."""
    for _ in range(_MOST_TURNS):
        before = reply.received
        for _ in range(3):
            await asyncio.sleep(0)
        if exchange.done() or reply.received == before:
            return


def _secret(variable: str) -> str:
    value = os.environ.get(variable, "").strip()
    if not value:
        raise RuntimeError(f"the environment variable {variable} is not set; it must hold the secret for the endpoint")
    if not (value.isascii() and value.isprintable()):
        raise RuntimeError(f"the environment variable {variable} holds characters that cannot be part of an HTTP header")
    return value
