"""Small in-memory plugins from which the kernel's tests build pipelines."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, ClassVar

from k2core import (
    Call,
    Candidate,
    DecodeRequest,
    DecoderName,
    Event,
    Message,
    PipelineConfig,
    Plan,
    Plugin,
    PluginConfig,
    Problem,
    Registry,
    Run,
    Runtime,
    Verdict,
    hookimpl,
)
from k2core.testing import FakeDecoder


class SamplesConfig(PluginConfig):
    n: int = 1
    max_tokens: int = 64
    decoder: DecoderName = "solver"


class Samples(Plugin):
    """`n` candidates, one decode call each, side by side."""

    config: SamplesConfig

    @hookimpl
    async def k2_sample(self, run: Run, problem: Problem, plan: Plan | None) -> Sequence[Candidate]:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self.one(run, problem, plan, str(i))) for i in range(self.config.n)]
        return [task.result() for task in tasks]

    async def one(self, run: Run, problem: Problem, plan: Plan | None, name: str) -> Candidate:
        plan = plan or await run.plan()
        text = problem.text + (f" Plan: {plan.prompt}" if plan else "")
        request = DecodeRequest(
            messages=(Message(role="user", content=text),),
            max_tokens=self.config.max_tokens,
            seed=run.seed_for(name),
            decoder=self.config.decoder,
            candidates=(name,),
        )
        [completion] = await run.decode(request)
        return Candidate(id=name, text=completion.text, completion=completion)


class VotesConfig(PluginConfig):
    pass


class Votes(Plugin):
    """A candidate's score is the share of candidates that say the same; with a reference, whether it equals that."""

    config: VotesConfig
    asked: ClassVar[int] = 0

    @hookimpl
    async def k2_verify(self, candidates: Sequence[Candidate], reference: str | None) -> list[Verdict]:
        type(self).asked += len(candidates)
        texts = [c.text for c in candidates]
        return [
            Verdict(candidate_id=c.id, status="undecided", key=c.text, answer=c.text, score=texts.count(c.text) / len(texts))
            if reference is None
            else Verdict(candidate_id=c.id, status="correct" if c.text == reference else "incorrect", score=c.text == reference)
            for c in candidates
        ]


class PlansConfig(PluginConfig):
    fail: bool = False


class Plans(Plugin):
    config: PlansConfig
    made: ClassVar[int] = 0

    @hookimpl
    async def k2_plan(self, problem: Problem) -> Plan | None:
        if self.config.fail:
            raise ValueError("no idea")
        type(self).made += 1
        return Plan(prompt=f"step {self.made}")


class RecorderConfig(PluginConfig):
    pass


class Recorder(Plugin):
    """Keeps every event and every call it was wrapped around."""

    config: RecorderConfig

    def __init__(self, config: Any = None) -> None:
        super().__init__(config)
        self.events: list[Event] = []
        self.calls: list[tuple[Call, str]] = []

    @hookimpl
    def k2_event(self, event: Event) -> None:
        self.events.append(event)

    @hookimpl
    def k2_around(self, call: Call) -> AbstractAsyncContextManager[None]:
        return self.wrap(call)

    @asynccontextmanager
    async def wrap(self, call: Call) -> AsyncIterator[None]:
        self.calls.append((call, "in"))
        try:
            yield
        finally:
            self.calls.append((call, "out"))


def registry(**extra: tuple[str, type[Plugin]]) -> Registry:
    """The parts above under `samples`, `votes`, `plans`, `fake`, `recorder`; `extra` is name=(role, class)."""
    made = Registry()
    parts = {"samples": ("sampler", Samples), "votes": ("verifier", Votes), "plans": ("planner", Plans)}
    parts |= {"fake": ("decoder", FakeDecoder), "recorder": ("hook", Recorder)}
    for name, (role, plugin) in (parts | extra).items():
        made.add(role, name, plugin)
    return made


def runtime(config: dict[str, Any] | None = None, **extra: tuple[str, type[Plugin]]) -> Runtime:
    """A runtime on the parts above; `config` replaces whole tables of the pipeline."""
    base: dict[str, Any] = {"sampler": {"use": "samples"}, "decoders": {"solver": {"use": "fake"}}, "retry": {"base": 0}}
    return Runtime(PipelineConfig.from_dict(base | (config or {})), registry=registry(**extra))


class Nothing(PluginConfig):
    pass


def solve(made: Runtime, problem: Problem | str = "2+2?", **options: Any) -> Any:
    async def main() -> Any:
        async with made:
            return await made.solve(problem, **options)

    return asyncio.run(main())


def plugin(made: Runtime, path: str) -> Any:
    """The instance at a configuration path."""
    return next(slot.plugin for slot in made._pipeline.slots if slot.path == path)
