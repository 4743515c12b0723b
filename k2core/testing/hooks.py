"""Checks of `k2_around` and `k2_event`, which any plugin may have."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..errors import LimitExceeded, explain
from ..events import CallEnded, CandidateFailed, Delta, Event, PlanMade, RunEnded, RunStarted, Warned
from ..ports import UNSET, Call
from ..types import Candidate, Completion, DecodeRequest, Message, Plan, Usage, Verdict
from .report import Faults, Skipped, check, where

if TYPE_CHECKING:
    from .subject import Scene, Subject

EVENT_SECONDS = 0.001
"""An observer may take this long for an event on average: they come for every token."""
SOLVING = ("planner", "sampler", "verifier", "decoder", "hook")
ERRORS: tuple[Callable[[], BaseException], ...] = (
    lambda: RuntimeError("the role failed"),
    lambda: LimitExceeded("the budget is spent", "hooks.budget.tokens"),
    lambda: asyncio.CancelledError(),
)


@check(*SOLVING, gate=True)
def around_is_a_context_manager(subject: Subject) -> Faults:
    """`k2_around` returns None or an asynchronous context manager, for every role it may wrap."""
    _needs(subject, "k2_around")

    async def use(scene: Scene, run: Any) -> list[str]:
        wrappers = [(call.role, w) for call in _calls(scene) for w in _around(scene, run, call)]
        return [
            f"k2_around of a {role} returns {wrapper!r:.80}; return None or an @asynccontextmanager"
            for role, wrapper in wrappers
            if not hasattr(type(wrapper), "__aenter__") or not hasattr(type(wrapper), "__aexit__")
        ]

    yield from _in_run(subject, use)


@check(*SOLVING)
def around_keeps_the_result(subject: Subject) -> Faults:
    """It leaves `call.result` as the role made it; one that answers or screens on purpose skips this check and says why."""
    _needs(subject, "k2_around")

    async def use(scene: Scene, run: Any) -> list[str]:
        return [fault for call in _calls(scene) for fault in await _through(scene, run, call)]

    yield from _in_run(subject, use)


async def _through(scene: Scene, run: Any, call: Call) -> list[str]:
    result = _RESULTS[call.role]
    for wrapper in _around(scene, run, call):
        async with wrapper:
            if call.result is not UNSET:
                return [f"it answers the {call.role} call itself with {call.result!r:.60}, before the role was asked"]
            call.result = result
    changed = call.result is not result and call.result is not UNSET
    return [f"it changes the result of a {call.role} call to {call.result!r:.60}; leave it, or copy it"] if changed else []


@check(*SOLVING)
def around_passes_errors(subject: Subject) -> Faults:
    """An error, a limit or a cancellation inside passes through `k2_around`, neither swallowed nor replaced."""
    _needs(subject, "k2_around")

    async def use(scene: Scene, run: Any) -> list[str]:
        return [fault for make in ERRORS for call in _calls(scene) for fault in await _raised(scene, run, call, make())]

    yield from _in_run(subject, use)


async def _raised(scene: Scene, run: Any, call: Call, error: BaseException) -> list[str]:
    for wrapper in _around(scene, run, call):
        try:
            async with wrapper:
                raise error
        except BaseException as caught:
            if type(caught) is not type(error):
                return [f"{explain(error)} in a {call.role} call comes out as {explain(caught)}{where(caught)}; let it pass"]
        else:
            return [f"it swallows {explain(error)} in a {call.role} call; use try … finally, and re-raise what you catch"]
    return []


@check(*SOLVING)
def observes_every_event(subject: Subject) -> Faults:
    """`k2_event` raises at no kind of event, those of a kind it does not know included."""
    _needs(subject, "k2_event")

    async def use(scene: Scene, run: Any) -> list[str]:
        faults = []
        for event in await _all_events(scene):
            try:
                scene.call("k2_event", event=event)
            except Exception as error:
                faults.append(f"k2_event raises {explain(error)}{where(error)} at {type(event).__name__}; it only observes")
        return faults

    yield from _in_run(subject, use)


@check(*SOLVING, gate=True)
def observes_quickly(subject: Subject) -> Faults:
    """`k2_event` takes less than a millisecond on average, best of three hundreds of `Delta`s."""
    _needs(subject, "k2_event")

    async def use(scene: Scene, run: Any) -> list[str]:
        best = min([_seconds_each(scene, run.id) for _ in range(3)])
        return [f"k2_event takes {best * 1000:.1f} ms an event; collect, and write seldom"] if best > EVENT_SECONDS else []

    yield from _in_run(subject, use)


def _seconds_each(scene: Scene, run_id: str) -> float:
    began = time.perf_counter()
    for place in range(100):
        with contextlib.suppress(Exception):  # raising is another check's finding
            scene.call("k2_event", event=Delta(run_id=run_id, at=0.01 * place, text=f"w{place} "))
    return (time.perf_counter() - began) / 100


class FutureEvent(Event):
    """Of a kind that a later k2core may have."""

    kind = "of_the_future"


async def _all_events(scene: Scene) -> list[Event]:
    """Those of a real run, with all that did not happen in it before its end, and some of a run never heard of."""
    await scene.runtime.solve(scene.subject.problems[0], seed=1)
    solved = scene.recorder.of(RunStarted)[-1].run_id
    run_id = f"again{solved}"
    events = [e.model_copy(update={"run_id": run_id}) for e in scene.recorder.events if e.run_id == solved]
    end = next(i for i, event in enumerate(events) if isinstance(event, RunEnded))
    rare: list[Event] = [
        CandidateFailed(run_id=run_id, candidate_id="c9", error="RuntimeError: gone"),
        PlanMade(run_id=run_id, plan=None),
        Warned(run_id=run_id, where="verifiers.math", message="went wrong"),
        CallEnded(run_id=run_id, call_id=f"{run_id}/99", plugin="decoders.solver", status="cached", usage=Usage(cached=1)),
        FutureEvent(run_id=run_id),
        Warned(where="trainer", message="belongs to no run"),
        RunEnded(run_id="never heard of", error="cancelled"),
    ]
    return [*events[:end], *rare, *events[end:]]


_CANDIDATE = Candidate(id="c0", text="\\boxed{4}")
_RESULTS: dict[str, Any] = {
    "planner": Plan(prompt="Add."),
    "sampler": [_CANDIDATE],
    "verifier": [Verdict(candidate_id="c0", status="undecided", score=0.5)],
    "decoder": [Completion(text="\\boxed{4}", tokens=1)],
}


def _calls(scene: Scene) -> list[Call]:
    problem = scene.subject.problems[0]
    request = DecodeRequest(messages=(Message(role="user", content=problem.text),), max_tokens=8)
    args: dict[str, dict[str, Any]] = {
        "planner": {"problem": problem},
        "sampler": {"problem": problem, "plan": None},
        "verifier": {"problem": problem, "candidates": [_CANDIDATE], "reference": None},
        "decoder": {"request": request},
    }
    paths = {"planner": "planner", "sampler": "sampler", "verifier": "verifiers.fake", "decoder": "decoders.solver"}
    return [Call(f"r/{role}", role, paths[role], args[role], reserve=300 if role == "decoder" else 0) for role in args]


def _around(scene: Scene, run: Any, call: Call) -> list[Any]:
    """The wrapper of a call, if the plugin has one for it."""
    wrapper = scene.call("k2_around", run=run, call=call)
    return [] if wrapper is None else [wrapper]


def _needs(subject: Subject, hook: str) -> None:
    if not hasattr(subject.cls, hook):
        raise Skipped(f"it has no {hook}")


def _in_run(subject: Subject, use: Callable[[Scene, Any], Any]) -> list[str]:
    async def main() -> list[str]:
        async with subject.scene() as scene, scene.runtime.open(subject.problems[0], seed=1) as run:
            found: list[str] = await use(scene, run)
            return found

    faults: list[str] = subject.play(main).value()
    return faults
