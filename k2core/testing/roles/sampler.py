"""What a sampler must return and tell."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from ...events import CandidateMade
from ...types import Candidate
from ..report import Faults, check

if TYPE_CHECKING:
    from ..subject import Subject


@check("sampler", gate=True)
def works_as_sampler(subject: Subject) -> Faults:
    """It returns at least one `Candidate`, with unique ids, and announces each at most once, as it is returned."""

    async def main() -> tuple[Any, list[Candidate]]:
        async with subject.scene() as scene:
            made = await scene.act(subject.problems[0])
            return made, [event.candidate for event in scene.recorder.of(CandidateMade)]

    made, told = subject.play(main).value()
    if not isinstance(made, list | tuple) or not all(isinstance(c, Candidate) for c in made):
        yield f"k2_sample must return a list of Candidate, not {made!r:.80}"
        return
    if not made:
        yield "it returns no candidate; raise an error that says why"
    if twice := _twice(c.id for c in made):
        yield f"candidate ids must be unique in a run; {', '.join(twice)} comes more than once"
    if twice := _twice(c.id for c in told):
        yield f"it emits CandidateMade more than once for {', '.join(twice)}"
    returned = {c.id: c.text for c in made}
    if wrong := [c.id for c in told if c.id in returned and returned[c.id] != c.text]:
        yield f"it emits other texts than it returns for {', '.join(wrong)}"


def _twice(names: Any) -> list[str]:
    return [name for name, count in Counter(names).items() if count > 1]


@check("sampler", gate=True)
def works_without_a_plan(subject: Subject) -> Faults:
    """It samples when `plan` is None, and in a whole pipeline, and its result can be chosen from."""

    async def main() -> Any:
        async with subject.scene(verifiers={"fake": {"use": "fake"}}) as scene:
            return await scene.runtime.solve(subject.problems[0], seed=1)

    result = subject.play(main).value()
    if not result.candidates:
        yield "a whole pipeline with it has no candidates"
