"""What a decoder does under load and out of bounds: many calls, a slow consumer, a cancelled stream, a prompt that is too long."""

from __future__ import annotations

import asyncio
import re
import time
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ...errors import PluginError, explain
from ...events import Delta
from ...types import Message, Usage
from ..leaks import resident
from ..loop import bounded, settled
from ..report import Faults, Skipped, check

if TYPE_CHECKING:
    from ..subject import Scene, Subject

MANY = 64
GREEDY: dict[str, Any] = {"temperature": 0.0, "seed": 7}
HUGE = "once more " * 200_000
"""Two megabytes: beyond the context of any model that the kit is likely to meet."""
MEMORY = 2 << 30
"""Bytes that refusing it may take at most."""


@dataclass
class Crowd:
    """What became of many calls at once."""

    texts: dict[int, str] = field(default_factory=dict)
    told: dict[int, str] = field(default_factory=lambda: defaultdict(str))
    runs: dict[str, int] = field(default_factory=dict)
    errors: dict[int, str] = field(default_factory=dict)
    usage: Usage = field(default_factory=Usage)


@check("decoder")
def many_at_once_are_served(subject: Subject) -> Faults:
    """Of 64 requests at once each is served, with text and deltas of its own prompt and no other, and all are counted."""
    crowd: Crowd = subject.play(lambda: _crowd(subject, range(MANY))).value()
    if crowd.errors:
        number, error = next(iter(crowd.errors.items()))
        yield f"{len(crowd.errors)} of {MANY} requests at once fail, number {number} of: {error}; let them wait for their turn"
        return
    if mixed := [number for number, text in crowd.texts.items() if text != crowd.told[number]]:
        text, told = crowd.texts[mixed[0]], crowd.told[mixed[0]]
        yield f"of {MANY} at once {len(mixed)} have deltas that are not their text: {told!r:.60} and {text!r:.60}"
    if crowd.usage.served != MANY:
        yield f"of {MANY} at once the ledger has {crowd.usage.served} as served"
    some = range(0, MANY, MANY // 4)
    alone = {number: subject.play(lambda number=number: _crowd(subject, [number])).value().texts.get(number) for number in some}  # type: ignore[misc] # default binds the loop variable
    for number in some:
        strange = [other for other in some if other != number and crowd.texts[number] == alone[other] != alone[number]]
        if strange:
            text = crowd.texts[number]
            yield f"request {number} of {MANY} at once is answered as request {strange[0]} is when alone: {text!r:.60}"


async def _crowd(subject: Subject, numbers: Any) -> Crowd:
    crowd = Crowd()
    async with subject.scene() as scene:
        await asyncio.gather(*(_one(scene, number, crowd) for number in numbers))
        for delta in scene.recorder.of(Delta):
            if not delta.reasoning:
                crowd.told[crowd.runs[delta.run_id]] += delta.text
        crowd.usage = scene.runtime.ledger.total
    return crowd


async def _one(scene: Scene, number: int, crowd: Crowd) -> None:
    from ..subject import request_for

    problem = scene.subject.problems[0]
    asked = (
        {} if scene.subject.problem else {"messages": (Message(role="user", content=f"Count on from {number * 37}, by {number}."),)}
    )
    async with scene.runtime.open(problem, seed=1) as run:
        crowd.runs[run.id] = number
        try:
            made = await run.decode(request_for(problem, run, max_tokens=4, **GREEDY, **asked))
            crowd.texts[number] = made[0].text
        except Exception as error:
            crowd.errors[number] = explain(error)


@check("decoder")
def keeps_up_with_a_slow_loop(subject: Subject) -> Faults:
    """Where the event loop is held up by others while it streams, no delta is lost, doubled or out of order."""
    from ..subject import request_for

    async def main() -> tuple[str, str]:
        problem = subject.problems[0]
        async with subject.scene() as scene, scene.runtime.open(problem, seed=1) as run:
            call = asyncio.ensure_future(run.decode(request_for(problem, run, **GREEDY)))
            while not call.done():
                time.sleep(0.05)  # noqa: ASYNC251 # the trouble that is made
                await asyncio.wait({call}, timeout=0.02)
            return call.result()[0].text, "".join(d.text for d in scene.recorder.of(Delta) if not d.reasoning)

    text, told = subject.play(main).value()
    if text != told:
        yield f"with a loop that others hold up, its deltas make {told!r:.80} and its text is {text!r:.80}"


@check("decoder")
def a_cancelled_stream_leaves_no_trace(subject: Subject) -> Faults:
    """Cancelled after its first text it is settled within `patience`, and the next answer is as if it had not been."""
    from ..subject import request_for

    faults: list[str] = []

    async def main() -> bool:
        problem = subject.problems[0]
        async with subject.scene() as scene:
            async with scene.runtime.open(problem, seed=1) as run:
                before = (await run.decode(request_for(problem, run, **GREEDY)))[0].text
                seen = len(scene.recorder.of(Delta))
                call = asyncio.ensure_future(run.decode(request_for(problem, run, temperature=1.0, seed=99)))
                await settled(lambda: call.done() or len(scene.recorder.of(Delta)) > seen, subject.limit / 2)
                if call.done():
                    return False
                call.cancel()
                if not await settled(call.done, subject.patience) or scene.runtime.ledger.in_flight:
                    faults.append(f"{subject.patience:g} s after it was cancelled in mid-stream the call is still in flight")
                    return True
            async with scene.runtime.open(problem, seed=1) as run:
                after = (await run.decode(request_for(problem, run, **GREEDY)))[0].text
            if after != before:
                faults.append(f"after a call that was cancelled in mid-stream it answers {after!r:.60} instead of {before!r:.60}")
            return True

    if not subject.play(main).value():
        raise Skipped("it had answered before it could be cancelled")
    yield from faults


@check("decoder")
def too_long_is_told(subject: Subject) -> Faults:
    """Two megabytes of prompt: completions, or an exception that names a number or the context; soon, and without gigabytes."""
    from ..subject import request_for

    async def main() -> tuple[asyncio.Task[Any] | None, int]:
        problem = subject.problems[0]
        before = resident()
        async with subject.scene() as scene, scene.runtime.open(problem, seed=1) as run:
            asked = request_for(problem, run, messages=(Message(role="user", content=HUGE),), max_tokens=4)
            task = await bounded(run.decode(asked), max(subject.patience * 4, 20.0))
            return task, resident() - before

    task, grown = subject.play(main).value()
    if task is None:
        yield "a prompt of two megabytes is neither answered nor refused in time; compare its length with the context first"
    elif not task.cancelled() and (error := task.exception()):
        said = explain(error.__cause__ if isinstance(error, PluginError) and error.__cause__ else error)
        if not re.search(r"\d|context|length|long", said, re.IGNORECASE):
            yield f"to a prompt of two megabytes it says {said!r:.100}; name the context's length and the prompt's"
    if grown > MEMORY:
        yield f"a prompt of two megabytes takes {grown / 1e9:.1f} GB of memory"
