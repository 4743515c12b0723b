"""Stand-ins for tests of pipelines and plugins: real plugins, registered like any other, that need no model."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import ClassVar

from ..plugin import Plugin, PluginConfig, hookimpl
from ..ports import Run
from ..types import Completion, DecodeRequest, Finish

Reply = str | Exception
Respond = Callable[[DecodeRequest, int], Reply]
"""From a request and the index of the choice to its text, or to an exception, which is raised."""


class FakeDecoderConfig(PluginConfig):
    replies: tuple[str, ...] = ("The answer is \\boxed{42}.",)
    """Served in turn, over all choices of all calls."""
    delay: float = 0.0
    """Seconds before each token."""


class FakeDecoder(Plugin):
    """Answers from a script, a word a token, streaming; counts what it started, served and saw cancelled."""

    config: FakeDecoderConfig
    respond: ClassVar[Respond | None] = None

    def __init__(self, config: FakeDecoderConfig | None = None) -> None:
        super().__init__(config)
        self.requests: list[DecodeRequest] = []
        self.served = self.cancelled = self.failed = self.tokens = self._turn = 0

    @hookimpl
    async def k2_decode(self, run: Run, request: DecodeRequest) -> Sequence[Completion]:
        self.requests.append(request)
        run.meter(prompt_tokens=sum(len(m.content.split()) for m in request.messages))
        try:
            done = await asyncio.gather(*(self._choice(run, request, index) for index in range(request.n)))
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        except Exception:
            self.failed += 1
            raise
        self.served += 1
        return done

    def _reply(self, request: DecodeRequest, index: int) -> str:
        respond = type(self).respond
        if respond is None:
            self._turn += 1
            return self.config.replies[(self._turn - 1) % len(self.config.replies)]
        reply = respond(request, index)
        if isinstance(reply, Exception):
            raise reply
        return reply

    async def _choice(self, run: Run, request: DecodeRequest, index: int) -> Completion:
        words = self._reply(request, index).split(" ")
        kept = words[: request.max_tokens]
        for place, word in enumerate(kept):
            await asyncio.sleep(self.config.delay)
            run.delta(word if place == 0 else " " + word, index)
            self.tokens += 1
        finish: Finish = "stop" if len(kept) == len(words) else "length"
        return Completion(text=" ".join(kept), tokens=len(kept), finish=finish, model="fake")


def fake_decoder(respond: Respond) -> type[FakeDecoder]:
    """A `FakeDecoder` class whose text is computed: `registry.add("decoder", "fake", fake_decoder(lambda request, i: …))`."""
    return type("ComputedDecoder", (FakeDecoder,), {"respond": staticmethod(respond), "__module__": __name__})
