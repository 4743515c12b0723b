"""The hook specifications. A plugin implements those of its role and any of those for every plugin.

An implementation may take fewer arguments than its specification lists, never others.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

import pluggy

from .events import Event
from .ports import Call, Commands, Run, Session
from .types import Candidate, Completion, DecodeRequest, Plan, Problem, Task, TrainReport, Verdict

PROJECT = "k2core"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)

ROLE_VERSIONS = {"planner": 1, "sampler": 1, "verifier": 1, "decoder": 1, "trainer": 1, "tasks": 1, "hook": 1, "command": 1}
"""Major version of each role; an entry-point group is named `k2core.<role>.v<version>`."""

ROLE_HOOKS = {
    "planner": "k2_plan",
    "sampler": "k2_sample",
    "verifier": "k2_verify",
    "decoder": "k2_decode",
    "trainer": "k2_train",
    "tasks": "k2_tasks",
    "command": "k2_commands",
}
"""The hook that a plugin of a role must implement; a plain `hook` may choose among the rest."""


class Specs:
    """Every hook of k2core, version 1 of each role."""

    @hookspec(firstresult=True)
    async def k2_plan(self, run: Run, problem: Problem) -> Plan | None:
        """Make a plan for the solver, or None when the problem is easy enough without.

        :param run: the run; ask a model through `run.decode`.
        :param problem: what is to be solved; it holds no reference answer.
        """

    @hookspec(firstresult=True)
    async def k2_sample(self, run: Run, problem: Problem, plan: Plan | None) -> Sequence[Candidate]:  # type: ignore[empty-body]
        """Produce at least one candidate, in an order that does not depend on timing.

        :param run: the run; use `run.decode`, and `run.verify` to stop early.
        :param problem: what is to be solved.
        :param plan: the run's plan, or None: there is none, or every sample asks for its own with `run.plan`.
        """

    @hookspec(firstresult=True)
    async def k2_verify(  # type: ignore[empty-body]
        self, run: Run, problem: Problem, candidates: Sequence[Candidate], reference: str | None
    ) -> Sequence[Verdict]:
        """Judge every candidate: one verdict each. Pointwise, vote and pairwise verifiers all fit.

        :param run: the run; a judge asks its model through `run.decode`.
        :param problem: what was to be solved.
        :param candidates: all that are to be judged together.
        :param reference: the right answer, in evaluation and training only; None when serving.
        """

    @hookspec(firstresult=True)
    async def k2_decode(self, run: Run, request: DecodeRequest) -> Sequence[Completion]:  # type: ignore[empty-body]
        """Generate exactly `request.n` completions, telling `run.delta` as text arrives and `run.meter` what is counted.

        :param run: the run this call belongs to; a cancelled call must stop its back end before it returns.
        :param request: prompt, sampling settings and number of choices.
        """

    @hookspec(firstresult=True)
    async def k2_load_weights(self, weights: Mapping[str, Any] | str) -> None:
        """Decode with other weights of the same model from now on: for decoders whose model can be trained; optional.

        Requests at work end with the weights they began with; those that come after its return see the new ones only.

        :param weights: arrays of this process by parameter name, not to be kept, or a folder of safetensors.
        """

    @hookspec(firstresult=True)
    async def k2_train(self, session: Session, tasks: Sequence[Task]) -> TrainReport:  # type: ignore[empty-body]
        """Train on tasks, with rollouts and rewards through the runs that the session opens.

        :param session: opens runs for `decode` and `verify`.
        :param tasks: problems with their references.
        """

    @hookspec(firstresult=True)
    def k2_tasks(self, name: str, split: str, limit: int | None, seed: int) -> Iterable[Task]:  # type: ignore[empty-body]
        """Yield the tasks of a data set, lazily and in an order fixed by the seed.

        :param name: the data set, as the pipeline or command names it.
        :param split: such as `train` or `test`.
        :param limit: most tasks wanted, or None for all.
        :param seed: of any choice or shuffle.
        """

    @hookspec
    def k2_around(self, run: Run, call: Call) -> AbstractAsyncContextManager[None] | None:
        """Wrap a role call, or return None to leave it alone. Entered before the role starts, left after it ended.

        Set `call.result` on the way in to answer in its place; raise to veto it.

        :param run: the run the call belongs to.
        :param call: role, plugin, arguments, and for decoders what they reserve and then use.
        """

    @hookspec
    def k2_event(self, event: Event) -> None:
        """Observe an event. Whatever this raises goes to the log and changes nothing.

        :param event: any subclass of `Event`; frequent ones are `Delta`.
        """

    @hookspec
    async def k2_start(self) -> None:
        """Acquire what the plugin needs, before the first request. An error here stops the runtime from starting."""

    @hookspec
    async def k2_stop(self) -> None:
        """Release everything. Called once, also when another plugin failed to start."""

    @hookspec
    def k2_commands(self, app: Commands) -> None:
        """Add commands to `k2`. Called only when one of them is asked for; import heavy modules in the command itself.

        :param app: `app.add_parser(name, help=…)` returns an `argparse` parser; `set_defaults(run=function)`.
        """
