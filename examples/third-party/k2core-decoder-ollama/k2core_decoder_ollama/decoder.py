"""The plugin: one connection a choice, closed as soon as the call is cancelled, upon which Ollama stops generating."""

from __future__ import annotations

import asyncio
import io
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from k2core import Completion, DecodeRequest, Plugin, Run, TransientError, hookimpl
from k2core.concurrency import gather

from .body import body_of
from .config import OllamaConfig
from .failure import refusal
from .reply import Choice, Lines

if TYPE_CHECKING:
    import aiohttp

_LONGEST_ERROR = 65_536


class Ollama(Plugin):
    """A model of an Ollama server."""

    config: OllamaConfig

    def __init__(self, config: OllamaConfig | None = None) -> None:
        super().__init__(config)
        self._session: aiohttp.ClientSession | None = None
        self._url = f"{self.config.base_url}/api/chat"

    @hookimpl
    async def k2_start(self) -> None:
        """Open the session. Raises `ValueError` without a model, and `RuntimeError` naming a variable that is not set."""
        import aiohttp

        if not self.config.model:
            raise ValueError("no model is named: set `model` to one that `ollama list` shows")
        headers = {"Content-Type": "application/json", "Accept": "application/x-ndjson"}
        if name := self.config.api_key_env:
            if not (key := os.environ.get(name, "").strip()):
                raise RuntimeError(f"the environment variable {name} is not set; it must hold the server's key")
            headers["Authorization"] = f"Bearer {key}"
        self._slots = asyncio.Semaphore(self.config.connections)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=headers,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=self.config.connect_timeout),
        )

    @hookimpl
    async def k2_stop(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    @hookimpl
    async def k2_decode(self, run: Run, request: DecodeRequest) -> Sequence[Completion]:
        """Ask for the choices side by side, choice `i` with seed `seed + i`. What may pass is raised as `TransientError`."""
        choices = [Choice(run, index, self._url, self.config.model) for index in range(request.n)]
        bodies = [body_of(request, index, self.config) for index in range(request.n)]
        try:
            await gather(self._serve(choice, body) for choice, body in zip(choices, bodies, strict=True))
            return [choice.completion() for choice in choices]
        finally:
            _meter(run, choices)

    async def _serve(self, choice: Choice, body: bytes) -> None:
        import aiohttp

        if self._session is None:
            raise RuntimeError("the decoder has not been started")
        try:
            async with self._slots:
                await self._exchange(self._session, choice, body)
        except aiohttp.ConnectionTimeoutError:
            raise TransientError(f"{self._url} cannot be reached within {self.config.connect_timeout:g} s") from None
        except TimeoutError:
            wait = self.config.idle_timeout if choice.tokens else self.config.first_timeout
            raise TransientError(f"{self._url} was silent for {wait:g} s after {choice.tokens} tokens") from None
        except aiohttp.ClientConnectorError as error:
            raise TransientError(f"{self._url} cannot be reached ({error.os_error}); is `ollama serve` running?") from None
        except (aiohttp.ClientError, ConnectionError) as error:
            what = f"{type(error).__name__}: {error}".removesuffix(": ")
            raise TransientError(f"{self._url} broke the connection after {choice.tokens} tokens ({what})") from None

    async def _exchange(self, session: aiohttp.ClientSession, choice: Choice, body: bytes) -> None:
        async with asyncio.timeout(self.config.first_timeout) as alarm:
            response = await session.post(self._url, data=io.BytesIO(body), allow_redirects=False)  # aiohttp warns of large bytes
            try:
                if response.status != 200:
                    said = await response.content.read(_LONGEST_ERROR)
                    raise refusal(response.status, response.headers, said, self._url, self.config.model)
                await self._read(response, choice, alarm)
            finally:
                if not response.content.at_eof():
                    response.close()  # the only way to tell the server that nobody is waiting any more
                response.release()

    async def _read(self, response: aiohttp.ClientResponse, choice: Choice, alarm: asyncio.Timeout) -> None:
        lines, loop = Lines(self._url), asyncio.get_running_loop()
        async for data in response.content.iter_any():
            alarm.reschedule(loop.time() + self.config.idle_timeout)
            for line in lines.feed(data):
                choice.take(line)
        for line in lines.end():
            choice.take(line)


def _meter(run: Run, choices: Sequence[Choice]) -> None:
    """Tell what was counted. The prompt is the same for all choices and counts once, as with other decoders.

    Ollama leaves out the count of a prompt that it had in its cache, wholly: then the kernel's estimate stands.
    """
    prompts = [choice.prompt_tokens for choice in choices if choice.prompt_tokens is not None]
    guessed = any(not choice.done and choice.tokens for choice in choices)
    run.meter(
        prompt_tokens=max(prompts) if prompts else None,
        completion_tokens=sum(choice.tokens for choice in choices),
        estimated=guessed,
    )
