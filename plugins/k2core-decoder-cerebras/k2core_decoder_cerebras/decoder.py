"""The plugin: one request a choice, and no token lost when the call is cancelled."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, ClassVar

from k2core.concurrency import gather
from k2core.plugin import Plugin, hookimpl
from k2core.ports import Run
from k2core.types import Completion, DecodeRequest

from .body import body_of, left_out
from .choice import Choice
from .config import CerebrasConfig
from .failure import Failures
from .limits import Limits

if TYPE_CHECKING:
    from .client import Client

_MOST_TURNS = 16


class CerebrasDecoder(Plugin):
    """Cerebras' inference service, through its official SDK."""

    config: CerebrasConfig
    calls_tools: ClassVar[bool] = True

    def __init__(self, config: CerebrasConfig | None = None) -> None:
        super().__init__(config)
        self._client: Client | None = None
        self._limits = Limits()
        self._fail = Failures(self.config, self._limits)

    @hookimpl
    async def k2_start(self) -> None:
        """Read the key, make the client. Raises `RuntimeError` naming an environment variable that is missing or unusable."""
        key = _secret(self.config.api_key_env)
        self._limits = Limits()
        self._fail = Failures(self.config, self._limits, key)
        self._slots = asyncio.Semaphore(self.config.connections)
        self._client = await asyncio.to_thread(self._connect, key)  # imports much, reads certificates, may warm a connection

    def _connect(self, key: str) -> Client:
        from .client import Client

        return Client(self.config, key, self._limits, self._fail)

    @hookimpl
    async def k2_stop(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    @hookimpl
    async def k2_decode(self, run: Run, request: DecodeRequest) -> Sequence[Completion]:
        """Ask for each choice in a request of its own, side by side: the service documents no `n`, and predictions forbid it.

        The run retries what is raised as `TransientError`. Raises `ValueError` for what the service cannot do.
        """
        client = self._client
        if client is None:
            raise RuntimeError("the decoder has not been started")
        prediction = self._prediction(run, request)
        choices = [Choice(run, request, self.config, index) for index in range(request.n)]
        try:
            made = await gather(self._choice(client, request, choice, i, prediction) for i, choice in enumerate(choices))
        finally:
            _settle(run, request, choices)
        if self.config.predict == "siblings" and made[-1].text:
            run.state[f"said as {request.role}"] = made[-1].text[: self.config.predict_chars]
        return made

    def _prediction(self, run: Run, request: DecodeRequest) -> str:
        """What is sent as a prediction, without what does not go with it. Each kind of omission is warned of once a run."""
        text = "" if self.config.predict == "off" else request.prediction
        if self.config.predict == "siblings" and not text:
            text = run.state.get(f"said as {request.role}", "")
        omissions = left_out(request, self.config, text)
        told: set[str] = run.state.setdefault("told", set())
        for message in omissions:
            if message not in told:
                told.add(message)
                run.warn(self.path or "decoder cerebras", message)
        return "" if any(message.startswith("prediction") for message in omissions) else text[: self.config.predict_chars]

    async def _choice(self, client: Client, request: DecodeRequest, choice: Choice, index: int, prediction: str) -> Completion:
        body = body_of(request, self.config, index, prediction)
        async with self._slots:
            await self._until_allowed()
            # a task of its own, so that a cancelled call can still take in what has arrived
            await _outcome(asyncio.create_task(client.ask(body, choice)), choice)
        if choice.finish is None:
            raise self._fail.transient(f"ended its answer after {choice.tokens} tokens without a finish reason")
        return choice.completion()

    async def _until_allowed(self) -> None:
        """Obey what the last answers said is used up: wait for the reset, or raise `TransientError` with the seconds it takes."""
        kind, wait = self._limits.blocked()
        while wait > 0:
            if self.config.on_limit == "fail" or wait > self.config.limit_wait:
                raise self._fail.limited(kind, wait)
            await asyncio.sleep(wait)
            kind, wait = self._limits.blocked()


async def _outcome(exchange: asyncio.Task[None], choice: Choice) -> None:
    """Await the task. When cancelled, stop it, but not before it has taken in what the socket already holds."""
    try:
        await asyncio.wait((exchange,))
    except asyncio.CancelledError:
        try:
            await _drain(exchange, choice)
        finally:
            exchange.cancel()
            while not exchange.done():  # however often we are cancelled, it must not outlive us
                with suppress(asyncio.CancelledError):
                    await asyncio.wait((exchange,))
            if not exchange.cancelled():
                exchange.exception()
        raise
    exchange.result()


async def _drain(exchange: asyncio.Task[None], choice: Choice) -> None:
    """Turn the loop for as long as that brings in chunks; each read takes several turns through the HTTP library."""
    for _ in range(_MOST_TURNS):
        before = choice.chunks
        for _ in range(6):
            await asyncio.sleep(0)
        if exchange.done() or choice.chunks == before:
            return


def _settle(run: Run, request: DecodeRequest, choices: Sequence[Choice]) -> None:
    """Tell the run the sums over all requests; each of them has read the prompt. What was not reported is estimated."""
    begun = [choice for choice in choices if choice.tokens or choice.prompt is not None]
    if not begun:
        return
    known = [choice.prompt for choice in begun if choice.prompt is not None]
    likely = known[0] if known else 1 + sum(len(message.content) for message in request.messages) // 4
    run.meter(
        prompt_tokens=sum(likely if choice.prompt is None else choice.prompt for choice in begun),
        completion_tokens=sum(choice.tokens if choice.reported is None else choice.reported for choice in begun),
        estimated=any(choice.prompt is None or choice.reported is None for choice in begun),
    )
    drafts = [choice.drafts for choice in begun if choice.drafts is not None]
    if drafts:
        run.meter(drafted=sum(map(sum, drafts)), accepted=sum(accepted for accepted, _ in drafts))


def _secret(variable: str) -> str:
    value = os.environ.get(variable, "").strip()
    if not value:
        raise RuntimeError(f"the environment variable {variable} is not set; it must hold the Cerebras API key")
    if not (value.isascii() and value.isprintable()):
        raise RuntimeError(f"the environment variable {variable} holds characters that cannot be part of an HTTP header")
    return value
