"""Decoders, each wrong in one way: what a good one does, but for one method."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from k2core import Completion, DecodeRequest, Plugin, Run, hookimpl


class Good(Plugin):
    """Says the same to everyone, word by word."""

    @hookimpl
    async def k2_decode(self, run: Run, request: DecodeRequest) -> Sequence[Completion]:
        run.meter(prompt_tokens=1 + sum(len(m.content.split()) for m in request.messages))
        made = [await self.choice(run, request, index) for index in range(request.n)]
        self.count(run, made)
        return made

    def count(self, run: Run, made: Sequence[Completion]) -> None:
        run.meter(completion_tokens=sum(c.tokens for c in made))

    def words(self, request: DecodeRequest) -> list[str]:
        said = [word for word in self.whole().split() if word not in request.stop]
        return said[: request.max_tokens]

    def whole(self) -> str:
        return "one two three four five six"

    async def choice(self, run: Run, request: DecodeRequest, index: int) -> Completion:
        words = self.words(request)
        for place, word in enumerate(words):
            await asyncio.sleep(0)
            run.delta(" " * (place > 0) + word, index)
        made = Completion(text=" ".join(words), tokens=len(words))
        return made.model_copy(update={"finish": "length"}) if request.max_tokens <= len(words) else made


class OneTooFew(Good):
    @hookimpl
    async def k2_decode(self, run: Run, request: DecodeRequest) -> Sequence[Completion]:
        made = await super().k2_decode(run, request)
        return made[:-1] if request.n > 2 else made


class DeltasDiffer(Good):
    async def choice(self, run: Run, request: DecodeRequest, index: int) -> Completion:
        made = await super().choice(run, request, index)
        return made.model_copy(update={"text": made.text.replace("two", "2")})


class CountsOneChoice(Good):
    def count(self, run: Run, made: Sequence[Completion]) -> None:
        run.meter(completion_tokens=made[0].tokens)


class IgnoresMaxTokens(Good):
    def words(self, request: DecodeRequest) -> list[str]:
        return super().words(request.model_copy(update={"max_tokens": 1000}))


class SaysStopWhenCut(Good):
    async def choice(self, run: Run, request: DecodeRequest, index: int) -> Completion:
        return (await super().choice(run, request, index)).model_copy(update={"finish": "stop"})


class IgnoresStop(Good):
    def words(self, request: DecodeRequest) -> list[str]:
        return super().words(request.model_copy(update={"stop": ()}))


class FailsWithoutAMessage(Good):
    def words(self, request: DecodeRequest) -> list[str]:
        assert request.messages
        return super().words(request)


class GuessesWhenCancelled(Good):
    """What it might have made, had it gone on."""

    @hookimpl
    async def k2_decode(self, run: Run, request: DecodeRequest) -> Sequence[Completion]:
        try:
            return await super().k2_decode(run, request)
        except asyncio.CancelledError:
            run.meter(completion_tokens=100 * request.max_tokens)
            raise


class GivesAnothersText(Good):
    """The prompt of the call that came last is what all answer."""

    prompt = ""

    async def choice(self, run: Run, request: DecodeRequest, index: int) -> Completion:
        self.prompt = request.messages[-1].content if request.messages else ""
        await asyncio.sleep(0.005)
        return await super().choice(run, request, index)

    def whole(self) -> str:
        return self.prompt
