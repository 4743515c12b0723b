"""What a decoder must return, stream and count."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...events import Delta
from ...types import Completion, DecodeRequest, Message, Usage
from ..limits import plain
from ..loop import bounded
from ..report import Faults, Skipped, check

if TYPE_CHECKING:
    from ..subject import Subject


@dataclass
class Served:
    """A call's answer, and what the kernel saw of it."""

    completions: Any
    deltas: list[Delta]
    usage: Usage


def decoded(subject: Subject, **changes: Any) -> Served:
    """Made once for each set of changes, as a real model takes its time."""

    async def main() -> Served:
        from ..subject import request_for

        problem = subject.problems[0]
        async with subject.scene() as scene, scene.runtime.open(problem, seed=1) as run:
            completions = await run.decode(request_for(problem, run, **changes))
            return Served(completions, scene.recorder.of(Delta), scene.runtime.ledger.total)

    key = f"decode {changes}"
    if key not in subject.memo:
        subject.memo[key] = subject.play(main).value()
    served: Served = subject.memo[key]
    return served


@check("decoder", gate=True)
def works_as_decoder(subject: Subject) -> Faults:
    """It returns exactly `n` completions, for n = 1 and n = 3."""
    for n in (1, 3):
        served = decoded(subject, n=n)
        if not all(isinstance(c, Completion) for c in served.completions) or len(served.completions) != n:
            yield f"asked for {n} completions it returns {served.completions!r:.120}"


@check("decoder")
def deltas_make_the_text(subject: Subject) -> Faults:
    """What it tells `run.delta` for a choice concatenates to that choice's text and reasoning."""
    for n in (1, 3):
        served = decoded(subject, n=n)
        told: dict[tuple[int, bool], str] = defaultdict(str)
        for delta in served.deltas:
            told[delta.index, delta.reasoning] += delta.text
        for index, completion in enumerate(served.completions):
            for kind, text, streamed in (
                ("text", completion.text, told[index, False]),
                ("reasoning", completion.reasoning, told[index, True]),
            ):
                if text != streamed:
                    yield f"with n={n}, the {kind} of choice {index} is {text!r:.80}, its deltas make {streamed!r:.80}"


@check("decoder")
def tokens_are_counted(subject: Subject) -> Faults:
    """The ledger's tokens are those of the completions, over all choices."""
    for n in (1, 3):
        served = decoded(subject, n=n)
        counted = sum(c.tokens for c in served.completions)
        if served.usage.completion_tokens != counted:
            yield (
                f"with n={n} the ledger has {served.usage.completion_tokens} completion tokens, the completions {counted}; "
                "run.meter counts all choices together, Completion.tokens each its own"
            )
        if uncounted := [c.text for c in served.completions if c.text.strip() and not c.tokens]:
            yield f"with n={n} the completion {uncounted[0]!r:.60} has no tokens; set Completion.tokens"


@check("decoder")
def max_tokens_is_kept(subject: Subject) -> Faults:
    """No completion is longer than `max_tokens`, and one that was cut says so."""
    served = decoded(subject, max_tokens=3, n=3)
    for completion in served.completions:
        if completion.tokens > 3:
            yield f"with max_tokens=3 a completion has {completion.tokens} tokens: {completion.text!r:.80}"
    whole = decoded(subject, n=3)
    for short, long in zip(served.completions, whole.completions, strict=True):
        if len(short.text) < len(long.text) and long.text.startswith(short.text) and short.finish != "length":
            yield f"{short.text!r:.60} was cut at max_tokens=3 and says finish={short.finish!r}; say 'length'"


@check("decoder")
def stop_ends_the_text(subject: Subject) -> Faults:
    """The text ends before the first of the stop strings."""
    fixed = {"temperature": 0.0, "seed": 7}
    words = decoded(subject, **fixed).completions[0].text.split()
    if len(words) < 3:
        raise Skipped("its text is too short to find a stop string in it")
    stop = words[len(words) // 2]
    if stop in (text := decoded(subject, stop=(stop,), **fixed).completions[0].text):
        yield f"with stop=({stop!r},) its text is {text!r:.80}"


@check("decoder")
def calls_are_settled(subject: Subject) -> Faults:
    """Cancelled calls are in the ledger as such, with no more tokens than were asked for, and none stays in flight."""
    from ..subject import request_for

    async def main() -> tuple[int, Usage]:
        problem = subject.problems[0]
        async with subject.scene() as scene, scene.runtime.open(problem, seed=1) as run:
            await bounded(run.decode(request_for(problem, run)), 0.0)
            await bounded(run.decode(request_for(problem, run)), subject.limit / 2)
            return scene.runtime.ledger.in_flight, scene.runtime.ledger.total

    in_flight, usage = subject.play(main).value()
    if in_flight or usage.started != usage.served + usage.cancelled + usage.failed:
        yield f"after a cancelled and a served call the ledger has {in_flight} in flight: {usage!r}"
    if usage.completion_tokens > 48:
        yield f"two calls for 24 tokens are booked with {usage.completion_tokens}"


ODD: dict[str, dict[str, Any]] = {
    "braces and percent signs": {"messages": (Message(role="user", content="{x} %s {0} ${y} <|im_end|> </s>"),)},
    "control characters": {"messages": (Message(role="user", content="a\x01\x1b[31m\u202e\ufeff"),)},
    "a system message alone": {"messages": (Message(role="system", content="Be brief."),)},
    "an assistant's beginning": {"messages": (Message(role="user", content="2+2?"), Message(role="assistant", content="It is"))},
    "no message": {"messages": ()},
    "an impossible schema": {"json_schema": {"type": "no such type"}},
}


@check("decoder")
def survives_odd_requests(subject: Subject) -> Faults:
    """Markup, control characters, no message at all, a wrong schema: completions, or an ordinary exception with a message."""
    from ..subject import request_for

    faults: list[str] = []

    async def main() -> None:
        problem = subject.problems[0]
        async with subject.scene() as scene, scene.runtime.open(problem, seed=1) as run:
            for name, changes in ODD.items():
                request: DecodeRequest = request_for(problem, run, **{"max_tokens": 4, **changes})
                faults.extend(plain(await bounded(run.decode(request), subject.patience * 2), name))

    subject.play(main).value()
    yield from faults


WRONG: dict[str, Any] = {
    "no array at all": {},
    "a parameter that no model has": {"no.such.parameter": 1.0},
    "a folder that is not there": "no/such/folder",
}


@check("decoder")
def wrong_weights_change_nothing(subject: Subject) -> Faults:
    """Its `k2_load_weights`, if any, refuses what are no weights of its model with an ordinary exception; it decodes as before."""
    from ..subject import request_for

    if not hasattr(subject.cls, "k2_load_weights"):
        raise Skipped("it has no k2_load_weights")
    faults: list[str] = []

    async def main() -> None:
        problem = subject.problems[0]
        async with subject.scene() as scene, scene.runtime.open(problem, seed=1) as run:
            request = request_for(problem, run, temperature=0.0)
            before = (await run.decode(request))[0].text
            for name, weights in WRONG.items():
                try:
                    await scene.call("k2_load_weights", weights=weights)
                except Exception as error:
                    faults.extend(
                        [] if str(error) else [f"given {name} it raises a bare {type(error).__name__}; say what is wrong"]
                    )
                else:
                    faults.append(f"it takes {name} for weights; raise a ValueError that says what is missing")
            if (after := (await run.decode(request))[0].text) != before:
                faults.append(f"after refusing weights it says {after!r:.60}, before {before!r:.60}")

    subject.play(main).value()
    yield from faults
