"""Decoders, each wrong in one way: what a good one does, but for one method."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import Mapping, Sequence
from typing import Any

from k2core import Completion, DecodeRequest, Plugin, PluginConfig, Run, hookimpl
from k2core.types import TokenLogprob, ToolCall


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
        said = list(itertools.takewhile(lambda word: word not in request.stop, self.whole(request).split()))
        return said[: request.max_tokens]

    def whole(self, request: DecodeRequest) -> str:
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

    def whole(self, request: DecodeRequest) -> str:
        return self.prompt


class TwoForOne(Good):
    def words(self, request: DecodeRequest) -> list[str]:
        return super().words(request.model_copy(update={"max_tokens": max(2, request.max_tokens)}))


class StopsFromTheSecondTokenOn(Good):
    def words(self, request: DecodeRequest) -> list[str]:
        return super().words(request) or self.whole(request).split()[: request.max_tokens]


class StopsAtNothing(Good):
    def words(self, request: DecodeRequest) -> list[str]:
        return [] if "" in request.stop else super().words(request)


class DrawsAnew(Good):
    def whole(self, request: DecodeRequest) -> str:
        return f"one two three four five {random.random() if request.temperature == 1 else 6}"


class OneSeedForAll(Good):
    def whole(self, request: DecodeRequest) -> str:
        return "six five four" if request.temperature == 1 else "one two three"


class CopiesItsChoices(Good):
    def whole(self, request: DecodeRequest) -> str:
        return f"one two three four {request.seed}"


class ProbabilitiesForLogarithms(Good):
    async def choice(self, run: Run, request: DecodeRequest, index: int) -> Completion:
        made = await super().choice(run, request, index)
        told = tuple(TokenLogprob(token=word, logprob=0.9) for word in made.text.split())
        return made.model_copy(update={"logprobs": told if request.logprobs else None})


class AlmostKeepsTheSchema(Good):
    def whole(self, request: DecodeRequest) -> str:
        return '{"sum":"one"}' if request.json_schema else super().whole(request)


class AcceptsMoreThanItDrafts(Good):
    def count(self, run: Run, made: Sequence[Completion]) -> None:
        super().count(run, made)
        run.meter(drafted=1, accepted=2)


class SplitsCharacters(Good):
    def whole(self, request: DecodeRequest) -> str:
        return "two 你好" if any(not m.content.isascii() and "Repeat" in m.content for m in request.messages) else "one two"

    async def choice(self, run: Run, request: DecodeRequest, index: int) -> Completion:
        words = self.words(request)
        for place, word in enumerate(words):
            await asyncio.sleep(0)
            for byte in (" " * (place > 0) + word).encode():
                run.delta(bytes([byte]).decode("utf-8", "replace"), index)
        made = Completion(text=" ".join(words), tokens=len(words))
        return made.model_copy(update={"finish": "length"}) if request.max_tokens <= len(words) else made


class TurnsManyAway(Good):
    def __init__(self, config: PluginConfig | None = None) -> None:
        super().__init__(config)
        self.open = 0

    @hookimpl
    async def k2_decode(self, run: Run, request: DecodeRequest) -> Sequence[Completion]:
        if self.open > 32:
            raise RuntimeError("there are too many calls")
        self.open += 1
        try:
            return await super().k2_decode(run, request)
        finally:
            self.open -= 1


class DropsWhatIsLate(Good):
    """Text that the consumer was too slow for."""

    open = 0

    async def choice(self, run: Run, request: DecodeRequest, index: int) -> Completion:
        words, last = self.words(request), time.monotonic()
        self.open += 1
        for place, word in enumerate(words):
            await asyncio.sleep(0.005)
            late, last = time.monotonic() - last > 0.045 and self.open == 1, time.monotonic()
            run.delta("" if late else " " * (place > 0) + word, index)
        self.open -= 1
        made = Completion(text=" ".join(words), tokens=len(words))
        return made.model_copy(update={"finish": "length"}) if request.max_tokens <= len(words) else made


class TakesAnyWeights(Good):
    """Whatever it is given, it decodes otherwise afterwards."""

    said = "one two three four five six"

    @hookimpl
    async def k2_load_weights(self, weights: Mapping[str, Any] | str) -> None:
        self.said = "six five four three two one"

    def whole(self, request: DecodeRequest) -> str:
        return self.said


class RemembersTheCancelled(Good):
    left = ""

    @hookimpl
    async def k2_decode(self, run: Run, request: DecodeRequest) -> Sequence[Completion]:
        try:
            return await super().k2_decode(run, request)
        except asyncio.CancelledError:
            self.left = "zero "
            raise

    async def choice(self, run: Run, request: DecodeRequest, index: int) -> Completion:
        run.delta("", index)
        await asyncio.sleep(0.05)
        return await super().choice(run, request, index)

    def whole(self, request: DecodeRequest) -> str:
        return self.left + super().whole(request)


class SilentAboutLength(Good):
    def words(self, request: DecodeRequest) -> list[str]:
        if sum(len(message.content) for message in request.messages) > 100_000:
            raise RuntimeError("it failed")
        return super().words(request)


class CallsWhatNobodyOffered(Good):
    calls_tools = True

    async def choice(self, run: Run, request: DecodeRequest, index: int) -> Completion:
        made = await super().choice(run, request, index)
        calls = (ToolCall(id="1", name="subtract", arguments="{}"),)
        return made.model_copy(update={"tool_calls": calls, "finish": "tool"}) if request.tools else made
