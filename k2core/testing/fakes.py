"""Stand-ins for tests of pipelines and plugins: real plugins, registered like any other, that need no model."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import ClassVar, TypeVar

from ..events import CandidateMade, Event
from ..plugin import DecoderName, Plugin, PluginConfig, hookimpl
from ..ports import Run
from ..types import Candidate, Completion, DecodeRequest, Message, Plan, Problem, ToolCall, Verdict

E = TypeVar("E", bound=Event)
Reply = str | Exception | Sequence[ToolCall]
Respond = Callable[[DecodeRequest, int], Reply]
"""From a request and the index of the choice to its text, its calls of tools, or an exception, which is raised."""


def cut(text: str, request: DecodeRequest) -> tuple[list[str], bool]:
    """The words of a text, with the space before each, up to a stop string and `max_tokens`; False when the latter cut it."""
    ends = [at for stop in request.stop if stop and (at := text.find(stop)) >= 0]
    words = text[: min(ends, default=len(text))].split(" ")
    pieces = words[:1] + [" " + word for word in words[1:]]
    return pieces[: request.max_tokens], len(pieces) <= request.max_tokens


class FakeDecoderConfig(PluginConfig):
    replies: tuple[str, ...] = ("The answer is \\boxed{42}.",)
    """Served in turn, over all choices of all calls."""
    delay: float = 0.0
    """Seconds before each token."""


class FakeDecoder(Plugin):
    """Answers from a script, a word a token, streaming; counts what it started, served and saw cancelled."""

    config: FakeDecoderConfig
    calls_tools: ClassVar[bool] = True
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
            replies = [self._reply(request, index) for index in range(request.n)]
            done = await asyncio.gather(*(self._choice(run, request, *item) for item in enumerate(replies)))
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        except Exception:
            self.failed += 1
            raise
        self.served += 1
        return done

    def _reply(self, request: DecodeRequest, index: int) -> str | Sequence[ToolCall]:
        respond = type(self).respond
        if respond is None:
            self._turn += 1
            return self.config.replies[(self._turn - 1) % len(self.config.replies)]
        reply = respond(request, index)
        if isinstance(reply, Exception):
            raise reply
        return reply

    async def _choice(self, run: Run, request: DecodeRequest, index: int, reply: str | Sequence[ToolCall]) -> Completion:
        if not isinstance(reply, str):
            self.tokens += len(reply)
            return Completion(text="", tool_calls=tuple(reply), tokens=len(reply), finish="tool", model="fake")
        words, whole = cut(reply, request)
        for word in words:
            await asyncio.sleep(self.config.delay)
            run.delta(word, index)
            self.tokens += 1
        return Completion(text="".join(words), tokens=len(words), finish="stop" if whole else "length", model="fake")


def fake_decoder(respond: Respond) -> type[FakeDecoder]:
    """A `FakeDecoder` class whose text is computed: `registry.add("decoder", "fake", fake_decoder(lambda request, i: …))`."""
    return type("ComputedDecoder", (FakeDecoder,), {"respond": staticmethod(respond), "__module__": __name__})


class FakePlannerConfig(PluginConfig):
    prompt: str = "Work step by step."
    """The plan for every problem; empty for none."""


class FakePlanner(Plugin):
    """Has the same plan for every problem."""

    config: FakePlannerConfig

    @hookimpl
    async def k2_plan(self) -> Plan | None:
        return Plan(prompt=self.config.prompt) if self.config.prompt else None


class FakeSamplerConfig(PluginConfig):
    n: int = 1
    """How many candidates."""
    decoder: DecoderName = "solver"
    """Who writes them."""


class FakeSampler(Plugin):
    """Asks for `n` candidates, one call each and side by side; the plan goes before the problem."""

    config: FakeSamplerConfig

    @hookimpl
    async def k2_sample(self, run: Run, problem: Problem, plan: Plan | None) -> Sequence[Candidate]:
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._one(run, problem, plan, index)) for index in range(self.config.n)]
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None
        return [task.result() for task in tasks]

    async def _one(self, run: Run, problem: Problem, plan: Plan | None, index: int) -> Candidate:
        hints = (Message(role="system", content=plan.prompt),) if plan else ()
        asked = problem.messages or (Message(role="user", content=problem.prompt),)
        seed, name = run.seed_for("sample", index), f"c{index}"
        request = DecodeRequest(messages=hints + asked, seed=seed, decoder=self.config.decoder, candidates=(name,))
        completion = (await run.decode(request))[0]
        candidate = Candidate(id=name, text=completion.text, completion=completion)
        run.emit(CandidateMade(candidate=candidate))
        return candidate


class FakeVerifierConfig(PluginConfig):
    right: str = "42"
    """Candidates whose text contains this are right, where no reference is given."""


class FakeVerifier(Plugin):
    """Looks for a string in each candidate."""

    config: FakeVerifierConfig
    listwise = False

    @hookimpl
    async def k2_verify(self, candidates: Sequence[Candidate], reference: str | None) -> Sequence[Verdict]:
        return [self._verdict(candidate, reference or self.config.right) for candidate in candidates]

    def _verdict(self, candidate: Candidate, right: str) -> Verdict:
        found = right in candidate.text
        return Verdict(
            candidate_id=candidate.id, status="correct" if found else "incorrect", score=float(found), key=right if found else None
        )


class EventRecorder(Plugin):
    """A hook that keeps all events, in `events`."""

    def __init__(self, config: PluginConfig | None = None) -> None:
        super().__init__(config)
        self.events: list[Event] = []

    @hookimpl
    def k2_event(self, event: Event) -> None:
        self.events.append(event)

    def of(self, kind: type[E]) -> list[E]:
        """The events of one kind, in order."""
        return [event for event in self.events if isinstance(event, kind)]
