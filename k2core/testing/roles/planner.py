"""What a planner must return."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...types import Plan
from ..report import Faults, check

if TYPE_CHECKING:
    from ..subject import Subject


@check("planner", gate=True)
def works_as_planner(subject: Subject) -> Faults:
    """It returns a `Plan` with some text, or None."""

    async def main() -> list[object]:
        async with subject.scene() as scene:
            return [await scene.act(problem, seed=seed) for seed, problem in enumerate(subject.problems[:3])]

    for plan in subject.play(main).value():
        if plan is not None and not isinstance(plan, Plan):
            yield f"k2_plan must return a Plan or None, not {plan!r:.80}"
        elif plan is not None and not plan.prompt.strip():
            yield "it returns a plan without text; return None when there is nothing to say"


@check("planner")
def asks_as_planner(subject: Subject) -> Faults:
    """Its model calls are booked under `plan`, so that the ledger tells planning from solving."""

    async def main() -> set[str]:
        async with subject.scene() as scene:
            await scene.act(subject.problems[0])
            return {request.role for request in scene.script.requests}

    if wrong := subject.play(main).value() - {"plan"}:
        yield f"it asks the model with role={', '.join(sorted(wrong))}; set DecodeRequest(role='plan')"
