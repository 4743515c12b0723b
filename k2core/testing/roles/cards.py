"""What the card of a data set must say, and that its grader knows right from wrong."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from ...config import PipelineConfig, validated
from ...errors import K2Error, explain
from ...registry import Registry
from ...runtime import Runtime
from ...toolkit.benchmark import Benchmark
from ...types import Candidate, Task, Verdict
from ..fakes import FakeVerifier
from ..report import Faults, Skipped, check
from .tasks import dataset, found, is_record

if TYPE_CHECKING:
    from ..subject import Subject

FEW = 8
JUNK = "no answer whatever, 7919 zebras"
_MARKS = {
    "boxed": "\\boxed{{{}}}",
    "choice": "\\boxed{{{}}}",
    "tag": "<answer>{}</answer>",
    "number": "Answer: {}",
    "text": "Answer: {}",
}
"""How the answer is marked, by answer format; code and JSON are no answers that a reference could be turned into."""


class _Graders(Registry):
    """What the author's registry or the installation offers, and `fake`."""

    def __init__(self, behind: Registry) -> None:
        super().__init__()
        self._behind = behind
        self.add("verifier", "fake", FakeVerifier)

    def load(self, role: str, name: str) -> Any:
        return super().load(role, name) if (role, name) in self._added else self._behind.load(role, name)


def card(subject: Subject) -> Any:
    """What `benchmark(name)` returns. Raises `Skipped` for a plugin without it, and without a data set."""
    name, _ = dataset(subject)
    plugin: Any = subject.make()
    if not hasattr(plugin, "benchmark"):
        raise Skipped("it has no method `benchmark`: evaluations take the default card, with the verifier math as grader")
    return plugin.benchmark(name)


@check("tasks")
def card_is_a_benchmark(subject: Subject) -> Faults:
    """`benchmark(name)`, where there is one, returns a `Benchmark` whose grader exists and takes its options, and no text of a
    gated data set is to be published."""
    described = card(subject)
    if not isinstance(described, Benchmark):
        yield f"benchmark must return a k2core.toolkit.benchmark.Benchmark, not {described!r:.80}"
        return
    if described.source.gated and described.publishable:
        yield "the data set is gated, and yet its texts may be published; set publish=False"
    grader = described.grader
    try:
        cls = _graders(subject).load("verifier", grader.use)
        validated(cls.config_type(), dict(grader.options), f"grader {grader.use}")
    except K2Error as error:
        yield f"its grader cannot be used: {error}"


@check("tasks")
def grader_knows_right_from_wrong(subject: Subject) -> Faults:
    """The card's grader calls each reference, put in the answer format, correct, and junk not. Tests of programs, and graders that
    ask a model, are not tried."""
    described = card(subject)
    if not isinstance(described, Benchmark):
        raise Skipped("there is no usable card")
    options = _options(subject, described)
    tasks = [task for task in found(subject, FEW) if _tried(task)]
    if not tasks:
        raise Skipped("no reference is an answer that could be given: they are missing, or tests or records")
    verdicts = subject.play(lambda: _verdicts(subject, described, options, tasks)).value()
    for task, (right, wrong) in zip(tasks, verdicts, strict=True):
        about = f"of problem {task.problem.id!r}, answer format {task.problem.answer_format!r}"
        if right.status != "correct":
            yield f"the reference {about} is {right.status} as an answer: {right.reason or 'no reason is given'}"
        if wrong.status == "correct":
            yield f"{_junk(task)!r} is called correct {about}: {wrong.reason or 'no reason is given'}"


def _graders(subject: Subject) -> Registry:
    return _Graders(subject.registry or Registry())


def _options(subject: Subject, described: Benchmark) -> dict[str, Any]:
    """The grader's table. Raises `Skipped` where it is missing or needs a model; `card_is_a_benchmark` tells the former."""
    try:
        cls = _graders(subject).load("verifier", described.grader.use)
        options = validated(cls.config_type(), dict(described.grader.options))
    except K2Error as error:
        raise Skipped(f"the grader cannot be used: {explain(error)}") from error
    if options.named("decoders"):
        raise Skipped("the grader asks a model, and the kit has none that could tell")
    return {"use": described.grader.use, **described.grader.options}


def _tried(task: Task) -> bool:
    return task.reference is not None and task.problem.answer_format in _MARKS and not is_record(task.reference)


def _junk(task: Task) -> str:
    if task.problem.answer_format == "choice":
        return "B" if str(task.reference).strip().upper().strip("()") == "A" else "A"
    return JUNK


async def _verdicts(subject: Subject, described: Benchmark, table: dict[str, Any], tasks: list[Task]) -> list[list[Verdict]]:
    config = PipelineConfig.from_dict({"verifiers": {"grader": table}})
    async with Runtime(config, registry=_graders(subject)) as runtime:
        return [list(await _pair(runtime, task)) for task in tasks]


async def _pair(runtime: Runtime, task: Task) -> tuple[Verdict, ...]:
    mark = _MARKS[task.problem.answer_format]
    texts = {"right": mark.format(task.reference), "wrong": mark.format(_junk(task))}
    asked = [runtime.verify(task.problem, [Candidate(id=key, text=text)], task.reference) for key, text in texts.items()]
    return tuple(verdict for found in await asyncio.gather(*asked) for verdict in found)
