"""A plugin on the test stand: in a real `Runtime`, with stand-ins around it and a model that follows a script."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from ..config import PipelineConfig, validated
from ..plugin import Plugin, PluginConfig
from ..ports import Run
from ..registry import Found, Registry, Slot
from ..runtime import Runtime
from ..types import Candidate, DecodeRequest, Message, Plan, Problem, Task
from .fakes import EventRecorder, FakePlanner, FakeSampler, FakeVerifier
from .loop import Played, play
from .stage import Respond, Script, answer, stage_decoder

T = TypeVar("T")
NAME = "subject"
OTHER = "other"
"""The decoder that the stand-ins ask, so that the script's model hears the plugin alone."""
_PLACES = {"planner": "planner", "sampler": "sampler", "trainer": "trainer"}
_TABLES = {"verifier": "verifiers", "decoder": "decoders", "hook": "hooks", "tasks": "tasks"}
_STAGED: dict[Literal["decoders", "verifiers"], str] = {"decoders": "stage", "verifiers": "fake"}
"""What stands in for an entry that the plugin's options name."""
PROBLEMS = tuple(Problem(prompt=f"What is {17 + i} + {4 * i + 5}? Think first.", domain="math") for i in range(8))


@dataclass
class Subject:
    """A plugin class in its role, how to configure it, and what it is tried with."""

    role: str
    cls: type[Plugin]
    config: Mapping[str, Any] | PluginConfig | None = None
    """The plugin's options; None for the defaults."""
    problem: Problem | None = None
    """Tried alone, with other seeds, in place of eight little sums: for plugins that serve known problems only."""
    tasks: Sequence[Task] = ()
    """What a trainer trains on."""
    dataset: tuple[str, str] | None = None
    """Name and split that a tasks plugin is asked for."""
    registry: Registry | None = None
    """Offers what `pipeline` names beyond the stand-ins; by default the installed plugins."""
    pipeline: Mapping[str, Any] = field(default_factory=dict)
    """Further tables of the pipeline, such as another decoder."""
    respond: Respond = answer
    """What the model says, the same to the same request. By default a boxed number, or an example of the JSON schema."""
    skip: Mapping[str, str] = field(default_factory=dict)
    """Checks that do not apply, and why not: the report says so."""
    patience: float = 5.0
    """Seconds in which whatever should be prompt, such as a cancellation, must be done."""
    limit: float = 60.0
    """Seconds after which a whole check is given up."""
    import_seconds: float = 0.25
    """How long importing the module may take, beyond k2core itself."""
    memo: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def label(self) -> str:
        return f"{self.cls.__module__}:{self.cls.__qualname__}" if isinstance(self.cls, type) else repr(self.cls)

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Eight, all the same one where the author gave one."""
        return (self.problem,) * len(PROBLEMS) if self.problem else PROBLEMS

    def given(self) -> dict[str, Any]:
        """The options as they would stand in the pipeline's table."""
        if isinstance(self.config, PluginConfig):
            return self.config.model_dump(exclude_unset=True)
        return dict(self.config or {})

    def options(self) -> PluginConfig:
        """The plugin's configuration, validated."""
        return validated(self.cls.config_type(), self.given())

    def make(self) -> Plugin:
        """An instance of the plugin."""
        return self.cls(self.options())

    def pipeline_config(self, extra: Mapping[str, Any]) -> PipelineConfig:
        """The plugin in its place, stand-ins in all others, `extra` tables on top."""
        tables: dict[str, Any] = {
            "sampler": {"use": "fake", "decoder": OTHER},
            "decoders": {OTHER: {"use": OTHER}, "solver": {"use": "stage"}},
            "verifiers": {},
            "hooks": {"recorder": {"use": "recorder"}},
            "retry": {"attempts": 2, "base": 0.001},
        }
        if self.role == "hook":
            tables |= {"planner": {"use": "fake"}, "verifiers": {"fake": {"use": "fake"}}}
            tables["sampler"] = {"use": "fake", "n": 3}
        for key, value in {**self.pipeline, **extra}.items():
            tables[key] = {**tables.get(key, {}), **value} if isinstance(value, Mapping) else value
        for table, use in _STAGED.items():
            for name in self.options().named(table).values():
                tables.setdefault(table, {}).setdefault(name, {"use": use})
        return PipelineConfig.from_dict(self._placed(tables))

    def _placed(self, tables: dict[str, Any]) -> dict[str, Any]:
        table = {"use": NAME, **self.given()}
        if self.role in _PLACES:
            return tables | {_PLACES[self.role]: table}
        name = "solver" if self.role == "decoder" else NAME
        return tables | {_TABLES[self.role]: {**tables.get(_TABLES[self.role], {}), name: table}}

    @asynccontextmanager
    async def scene(self, script: Script | None = None, **tables: Any) -> AsyncIterator[Scene]:
        """The plugin in a started runtime, whose model follows the script."""
        script = script or Script(self.respond)
        cast = Cast(self, script)
        runtime = Runtime(self.pipeline_config(tables), registry=cast)
        async with runtime:
            yield Scene(self, runtime, script, cast.instance("subject"), cast.instance("recorder"))

    def play(self, main: Callable[[], Any], grace: float = 0.0) -> Played[Any]:
        """Run a coroutine function in an observed event loop. Raises `Hung` when it does not end."""
        return play(main, self.limit, grace)


class Cast(Registry):
    """The plugin and the stand-ins, before what the author's registry or the installation offers."""

    def __init__(self, subject: Subject, script: Script) -> None:
        super().__init__()
        self._subject, self._behind = subject, subject.registry or Registry()
        self._slots: list[Slot] = []
        calm = Script(subject.respond, script.pause if subject.role == "hook" else Script().pause)
        self.add(subject.role, NAME, subject.cls)
        self.add("decoder", "stage", stage_decoder(script))
        self.add("decoder", OTHER, stage_decoder(calm))
        self.add("planner", "fake", FakePlanner)
        self.add("sampler", "fake", FakeSampler)
        self.add("verifier", "fake", FakeVerifier)
        self.add("hook", "recorder", EventRecorder)

    def load(self, role: str, name: str) -> type[Plugin]:
        return super().load(role, name) if (role, name) in self._added else self._behind.load(role, name)

    def find_all(self) -> list[Found]:
        return self._behind.find_all()

    def assemble(self, config: PipelineConfig) -> list[Slot]:
        self._slots = super().assemble(config)
        return self._slots

    def instance(self, use: str) -> Any:
        """The plugin that the runtime has made for an entry of this name."""
        return next(slot.plugin for slot in self._slots if slot.use == use)


@dataclass
class Scene:
    """A started runtime with the plugin in it."""

    subject: Subject
    runtime: Runtime
    script: Script
    plugin: Plugin
    recorder: EventRecorder

    def call(self, hook: str, **args: Any) -> Any:
        """Ask the plugin alone and take its answer unchecked; like pluggy, pass only the arguments that it takes."""
        implementation = getattr(self.plugin, hook)
        return implementation(**{key: args[key] for key in inspect.signature(implementation).parameters if key in args})

    async def act(self, problem: Problem, seed: int = 1) -> Any:
        """One use of the plugin in its role, from the first call to the answer."""
        if self.subject.role == "hook":
            return await self.runtime.solve(problem, seed=seed)
        if self.subject.role == "trainer":
            return await self.runtime.train(list(self.subject.tasks))
        async with self.runtime.open(problem, seed=seed) as run:
            return await self.ask(run, problem)

    def ask(self, run: Run, problem: Problem) -> Awaitable[Any]:
        """The plugin's answer in an open run; its errors as they are."""
        asks: dict[str, Callable[[], Awaitable[Any]]] = {
            "planner": lambda: self.call("k2_plan", run=run, problem=problem),
            "sampler": lambda: self.call("k2_sample", run=run, problem=problem, plan=Plan(prompt="First add, then check.")),
            "verifier": lambda: self.verify(run, problem, candidates_for(problem)),
            "decoder": lambda: run.decode(request_for(problem, run)),
        }
        return asks[self.subject.role]()

    def verify(self, run: Run, problem: Problem, candidates: Sequence[Candidate], reference: str | None = None) -> Awaitable[Any]:
        """The verdicts of a verifier, unchecked."""
        found: Awaitable[Any] = self.call("k2_verify", run=run, problem=problem, candidates=candidates, reference=reference)
        return found


def candidates_for(problem: Problem, n: int = 4) -> list[Candidate]:
    """Candidates that differ from problem to problem; the first two agree."""
    base = len(problem.text) + sum(map(ord, problem.id))
    texts = [f"Adding up, step by step, gives \\boxed{{{base % 90 + max(0, i - 1)}}}." for i in range(n)]
    return [Candidate(id=f"c{i}", text=text) for i, text in enumerate(texts)]


def request_for(problem: Problem, run: Run, **changes: Any) -> DecodeRequest:
    """A short request to solve the problem."""
    messages = problem.messages or (Message(role="user", content=problem.prompt),)
    usual = DecodeRequest(messages=messages, seed=run.seed_for("sample", 0), max_tokens=24, temperature=0.7)
    return usual.model_copy(update=changes)
