"""Checks that runs and instances do not get in each other's way, and that the same seed gives the same answer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..errors import explain
from ..types import DecodeRequest
from .lifecycle import RUNNING
from .report import Faults, Skipped, check
from .stage import Script

if TYPE_CHECKING:
    from .subject import Scene, Subject


@check(*RUNNING)
def runs_do_not_mix(subject: Subject) -> Faults:
    """Eight runs at once, on different problems and seeds, give what they give one after the other."""
    alone = _alone(subject)
    together = subject.play(lambda: _together(subject)).value()
    if subject.role == "decoder":
        yield from _swapped(alone, together)
    elif wrong := [i for i in range(8) if alone[i] != together[i]]:
        first = wrong[0]
        yield (
            f"{len(wrong)} of 8 runs answer differently when they run at once, for one {together[first]!r:.200} instead of "
            f"{alone[first]!r:.200}; keep what belongs to a run in local variables, not on self or the module"
        )


@check(*RUNNING)
def instances_share_nothing(subject: Subject) -> Faults:
    """A second instance answers as the first did, whatever that has been through; nothing piles up on the class."""
    first, before = _alone(subject), _mutable(subject.cls)
    second = subject.play(lambda: _one_by_one(subject, reversed(range(8)))).value()
    if changed := [name for name, value in _mutable(subject.cls).items() if before.get(name) != value]:
        yield f"work changes {', '.join(changed)} on the class, which all instances share; make it in __init__"
    # a real model may answer anew each time, so decoders are not compared
    if subject.role != "decoder" and (wrong := [i for i in range(8) if first[i] != second[i]]):
        i = wrong[0]
        yield (
            f"a fresh instance, asked in another order, answers {second[i]!r:.200} instead of {first[i]!r:.200}; "
            "an answer may depend on the problem, the seed and the model alone: draw from run.seed_for(…), keep no state"
        )


def _alone(subject: Subject) -> dict[int, Any]:
    """What eight runs give one after the other; made once."""
    if "alone" not in subject.memo:
        subject.memo["alone"] = subject.play(lambda: _one_by_one(subject, range(8))).value()
    found: dict[int, Any] = subject.memo["alone"]
    return found


def _mutable(cls: type) -> dict[str, str]:
    return {f"{c.__name__}.{n}": repr(v) for c in cls.__mro__ for n, v in vars(c).items() if isinstance(v, list | dict | set)}


async def _one_by_one(subject: Subject, order: Any) -> dict[int, Any]:
    async with subject.scene() as scene:
        return {index: await _seen(scene, index) for index in order}


async def _together(subject: Subject) -> dict[int, Any]:
    def pause(request: DecodeRequest, index: int) -> float:
        return (sum(map(ord, request.messages[-1].content)) + (request.seed or 0)) % 7 / 2000

    async with subject.scene(Script(subject.respond, pause=pause)) as scene:
        return dict(enumerate(await asyncio.gather(*(_seen(scene, index) for index in range(8)))))


async def _seen(scene: Scene, index: int) -> Any:
    try:
        answer = await scene.act(scene.subject.problems[index], seed=index + 1)
    except Exception as error:
        return explain(error)
    return essence(scene.subject.role, answer)


def essence(role: str, answer: Any) -> Any:
    """Of an answer, what must not depend on timing or on what else goes on."""
    if role == "planner":
        return answer and (answer.prompt, answer.topics, answer.hard)
    if role == "sampler":
        return [(c.text, c.answer) for c in answer]
    if role == "verifier":
        return sorted((v.candidate_id, v.status, round(v.score, 6), v.key) for v in answer)
    if role == "hook":
        return (answer.answer, [c.text for c in answer.candidates])
    return [(c.text, c.reasoning) for c in answer]


def _swapped(alone: dict[int, Any], together: dict[int, Any]) -> Faults:
    """Real models differ a little by batch, so only what clearly belongs to another run counts."""
    if len(set(map(repr, alone.values()))) < 8:
        raise Skipped("its answers to eight problems are not all different, so a mix-up could not be seen")
    strange = [i for i in range(8) if together[i] != alone[i] and together[i] in alone.values()]
    if strange:
        yield f"{len(strange)} of 8 runs at once get the completion of another; keep what belongs to a call in local variables"


@check("sampler")
def order_is_not_that_of_finishing(subject: Subject) -> Faults:
    """The same seed gives the same candidates in the same order, whichever of them is finished first."""
    seen = [subject.play(lambda slow=slow: _paced(subject, slow)).value() for slow in (False, True)]  # type: ignore[misc] # default binds the loop variable
    if seen[0] != seen[1]:
        hint = "order them by number" if sorted(seen[0]) == sorted(seen[1]) else "draw seeds from run.seed_for(…) only"
        yield f"with other timing the candidates are {_short(seen[1])} instead of {_short(seen[0])}; {hint}"


async def _paced(subject: Subject, first_is_slow: bool) -> list[tuple[str, str]]:
    """Candidates when the calls that come first are the fast or the slow ones."""
    script = Script(subject.respond)

    def pause(request: DecodeRequest, index: int) -> float:
        place = next(i for i, known in enumerate(script.requests) if known is request) + index
        return 0.008 / (1 + place) if first_is_slow else 0.001 * place

    script.pause = pause
    async with subject.scene(script) as scene:
        return [(c.id, c.text) for c in await scene.act(subject.problems[0], seed=5)]


def _short(candidates: Sequence[tuple[str, str]]) -> str:
    return ", ".join(f"{name} {text!r:.40}" for name, text in candidates)


@check("verifier")
def order_does_not_matter(subject: Subject) -> Faults:
    """A pointwise verifier (`listwise = False`) judges each candidate alike, whatever their order and company."""
    from .subject import candidates_for

    if subject.cls.listwise:
        raise Skipped("it says listwise = True: its verdicts may depend on the other candidates")
    problem = subject.problems[0]
    candidates = candidates_for(problem)

    async def main() -> list[Any]:
        async with subject.scene() as scene, scene.runtime.open(problem, seed=1) as run:
            orders = [candidates, candidates[::-1], candidates[1:3]]
            return [{v.candidate_id: (v.status, v.score) for v in await scene.verify(run, problem, order)} for order in orders]

    whole, turned, some = subject.play(main).value()
    if whole != turned or any(whole.get(name) != verdict for name, verdict in some.items()):
        yield "its verdicts depend on the order or number of candidates; set listwise = True, or judge each by itself"
