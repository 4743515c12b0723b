"""A scripted back end for votes, and the fixture `hold` that holds a poll over it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import pytest

from k2core import PipelineConfig, Problem, Registry, Result, Runtime
from k2core.events import SamplerStopped
from k2core.plugin import Plugin, PluginConfig, hookimpl
from k2core.ports import Run
from k2core.testing.fakes import EventRecorder
from k2core.types import Completion, DecodeRequest, TokenLogprob, Usage

Reply = str | Exception | None
"""An answer, an error to raise, or None: never."""

STEP = 0.004
"""Seconds between two ranks of arrival."""


class Script(Plugin):
    """Candidate i answers `replies[i]`, after `ranks[i]` steps; counts what it served and saw cancelled."""

    config: PluginConfig
    replies: ClassVar[Callable[[DecodeRequest], Reply]]
    ranks: ClassVar[Sequence[int]] = ()
    logprobs: ClassVar[Mapping[str, float]] = {}
    models: ClassVar[Sequence[str]] = ()

    def __init__(self, config: PluginConfig | None = None) -> None:
        super().__init__(config)
        self.requests: list[DecodeRequest] = []
        self.served = self.cancelled = self.failed = 0

    @hookimpl
    async def k2_decode(self, run: Run, request: DecodeRequest) -> Sequence[Completion]:
        self.requests.append(request)
        number = int(request.candidates[0])
        reply = type(self).replies(request)
        try:
            if number < len(self.ranks):
                await asyncio.sleep(self.ranks[number] * STEP)
            if reply is None:
                await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if isinstance(reply, Exception):
            self.failed += 1
            raise reply
        self.served += 1
        text = f"So \\boxed{{{reply}}}"
        run.delta(text, 0, tokens=3)
        model = self.models[number] if number < len(self.models) else ""
        return [Completion(text=text, tokens=3, logprobs=self._logprobs(request, text), model=model)]

    def _logprobs(self, request: DecodeRequest, text: str) -> tuple[TokenLogprob, ...] | None:
        if not request.logprobs or request.candidates[0] not in self.logprobs:
            return None
        logprob = self.logprobs[request.candidates[0]]
        return (TokenLogprob(token=text, logprob=logprob, top=((text, logprob),)),)


def script(
    replies: Sequence[Reply], ranks: Sequence[int] = (), logprobs: Mapping[str, float] | None = None, models: Sequence[str] = ()
) -> type[Script]:
    """A back end whose candidates answer so, the last one again and again."""

    def reply(request: DecodeRequest) -> Reply:
        return replies[min(int(request.candidates[0]), len(replies) - 1)]

    body = {"replies": staticmethod(reply), "ranks": ranks, "logprobs": logprobs or {}, "models": models}
    return type("BoundScript", (Script,), {**body, "__module__": __name__})


class Held:
    """What came of problems solved one after the other in one runtime."""

    def __init__(self, results: list[Result], back: Script, recorder: EventRecorder, usage: Usage) -> None:
        self.results, self.back, self.recorder, self.usage = results, back, recorder, usage

    @property
    def result(self) -> Result:
        return self.results[-1]

    @property
    def stop(self) -> SamplerStopped:
        return self.recorder.of(SamplerStopped)[-1]

    @property
    def shares(self) -> dict[str, float | None]:
        return {candidate.id: candidate.score for candidate in self.result.candidates}


def hold(votes: Mapping[str, Any], table: Mapping[str, Any], problems: int = 1, **plugins: tuple[str, type[Plugin]]) -> Held:
    """Solve problems and check the books: every call that the back end saw is in the ledger, and nothing is left running.

    `votes` goes to `script`; `table` is the pipeline without decoders, and a verifier `math` if it has none.
    """
    kept: dict[str, Any] = {}

    def keep(name: str, cls: type[Plugin]) -> type[Plugin]:
        def __init__(self: Plugin, config: Any = None) -> None:
            cls.__init__(self, config)
            kept[name] = self

        return type(cls.__name__, (cls,), {"__init__": __init__, "__module__": __name__})

    registry = Registry()
    registry.add("decoder", "script", keep("back", script(**votes)))
    registry.add("hook", "record", keep("recorder", EventRecorder))
    for name, (role, cls) in plugins.items():
        registry.add(role, name, cls)
    hooks = {**table.get("hooks", {}), "record": {"use": "record"}}
    config = PipelineConfig.from_dict(
        {"decoders": {"solver": {"use": "script"}}, "verifiers": {"math": {}}, **table, "hooks": hooks}
    )

    async def main() -> tuple[list[Result], Usage]:
        async with Runtime(config, registry=registry) as runtime:
            results = [await runtime.solve(Problem(prompt=f"Problem {i}?"), seed=1 + i) for i in range(problems)]
            assert runtime.ledger.in_flight == 0
            usage = runtime.ledger.usage().get("solve", Usage())
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return results, usage

    results, usage = asyncio.run(main())
    back_end = kept["back"]
    assert usage.started == len(back_end.requests)
    assert (usage.served, usage.cancelled, usage.failed) == (back_end.served, back_end.cancelled, back_end.failed)
    assert usage.started == usage.served + usage.cancelled + usage.failed
    return Held(results, back_end, kept["recorder"], usage)


@pytest.fixture(name="hold")
def _hold() -> Callable[..., Held]:
    return hold
