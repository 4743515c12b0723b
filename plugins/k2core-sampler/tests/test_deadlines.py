"""Soft deadline, hard time-out and cancellation: what is kept, what is stopped, and that the back end hears of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from k2core import K2Error, LimitExceeded, PipelineConfig, Problem, Registry, Result, Runtime
from k2core.plugin import Plugin, PluginConfig, hookimpl
from k2core.ports import Run
from k2core.types import Completion, DecodeRequest

PROBLEM = Problem(prompt="What is 2 + 2?")


class Back:
    """What a scripted back end saw. A reply may be a text, an exception to raise, or None: never answer."""

    def __init__(self, reply: Callable[[DecodeRequest, int], str | Exception | None]) -> None:
        self.reply, self.requests = reply, list[DecodeRequest]()
        self.served = self.cancelled = self.failed = 0
        self.stalled = asyncio.Semaphore(0)

    def plugin(self) -> type[Plugin]:
        back = self

        class Scripted(Plugin):
            config: PluginConfig

            @hookimpl
            async def k2_decode(self, run: Run, request: DecodeRequest) -> Sequence[Completion]:
                return await back.decode(run, request)

        return Scripted

    async def decode(self, run: Run, request: DecodeRequest) -> list[Completion]:
        self.requests.append(request)
        try:
            done = [await self._choice(run, request, index) for index in range(request.n)]
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        except Exception:
            self.failed += 1
            raise
        self.served += 1
        return done

    async def _choice(self, run: Run, request: DecodeRequest, index: int) -> Completion:
        reply = self.reply(request, index)
        if isinstance(reply, Exception):
            raise reply
        if reply is None:
            self.stalled.release()
            await asyncio.Event().wait()
        assert isinstance(reply, str)
        for word in reply.split(" "):
            await asyncio.sleep(0)
            run.delta(word + " ", index)
        return Completion(text=reply, tokens=len(reply.split(" ")))


def by_candidate(*replies: str | Exception | None) -> Back:
    return Back(lambda request, index: replies[int(request.candidates[index])])


def pipeline(**sampler: Any) -> PipelineConfig:
    limits = sampler.pop("limits", {})
    return PipelineConfig.from_dict(
        {"sampler": {"use": "best-of-n", **sampler}, "decoders": {"solver": {"use": "back"}}, "limits": limits}
    )


def registered(back: Back) -> Registry:
    registry = Registry()
    registry.add("decoder", "back", back.plugin())
    return registry


def solve(back: Back, config: PipelineConfig) -> Result:
    """Run the pipeline to its end and check that nothing is left behind."""

    async def main() -> Result:
        async with Runtime(config, registry=registered(back)) as runtime:
            result = await runtime.solve(PROBLEM, seed=1)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return result

    return asyncio.run(main())


def texts(result: Result) -> list[str]:
    return [candidate.text for candidate in result.candidates]


def test_soft_deadline_keeps_what_is_ready_and_cancels_the_rest() -> None:
    back = by_candidate(None, "ready", None)
    result = solve(back, pipeline(n=3, limits={"soft_deadline": 0.05}))
    assert texts(result) == ["ready"]
    assert (back.served, back.cancelled) == (1, 2)
    assert (result.usage["solve"].started, result.usage["solve"].cancelled) == (3, 2)
    assert any("soft deadline" in warning and "2 of 3" in warning for warning in result.warnings)


def test_soft_deadline_waits_for_the_first() -> None:
    back = by_candidate("a", None)
    ready = asyncio.Event()

    async def late(run: Run, request: DecodeRequest) -> list[Completion]:
        if request.candidates == ("0",):
            await run.wait_hurry()
            ready.set()
        return await Back.decode(back, run, request)

    back.decode = late  # type: ignore[method-assign]  # the script of this test
    result = solve(back, pipeline(n=2, limits={"soft_deadline": 0.01}))
    assert ready.is_set()
    assert texts(result) == ["a"]
    assert back.cancelled == 1


def test_soft_deadline_that_finds_only_failures_goes_on_to_the_error() -> None:
    async def fail(run: Run, request: DecodeRequest) -> list[Completion]:
        await run.wait_hurry()
        raise ConnectionError("down")

    back = by_candidate()
    back.decode = fail  # type: ignore[method-assign]  # the script of this test
    with pytest.raises(K2Error, match="all 2 candidates failed"):
        solve(back, pipeline(n=2, limits={"soft_deadline": 0.01}))


def test_min_candidates_holds_the_soft_deadline() -> None:
    back = by_candidate("a", "b", None)

    async def late(run: Run, request: DecodeRequest) -> list[Completion]:
        if request.candidates == ("1",):
            await run.wait_hurry()
        return await Back.decode(back, run, request)

    back.decode = late  # type: ignore[method-assign]  # the script of this test
    result = solve(back, pipeline(n=3, min_candidates=2, limits={"soft_deadline": 0.01}))
    assert texts(result) == ["a", "b"]


@pytest.mark.parametrize("batch", [1, "all"])
def test_hard_time_out_reaches_the_back_end(batch: int | str) -> None:
    back = by_candidate(None, None, None)
    with pytest.raises(LimitExceeded):
        solve(back, pipeline(n=3, batch=batch, limits={"timeout": 0.3}))
    assert back.cancelled == len(back.requests) == (3 if batch == 1 else 1)


def test_cancellation_reaches_the_back_end_and_propagates() -> None:
    async def main() -> Back:
        back = by_candidate("done", None, None)
        async with Runtime(pipeline(n=3), registry=registered(back)) as runtime:
            task = asyncio.create_task(runtime.solve(PROBLEM, seed=1))
            for _ in range(2):
                await back.stalled.acquire()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return back

    back = asyncio.run(main())
    assert back.cancelled == 2
