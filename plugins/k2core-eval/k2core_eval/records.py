"""What an evaluation writes down. Every record is one line of JSON or one JSON file in the evaluation's folder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, TypeAlias

from k2core.toolkit.benchmark import Benchmark
from k2core.types import Finish, Problem, Record, Usage

VERSION = 1
"""Version of the folder's files; raised when an old reader could misread a new folder."""

Outcome: TypeAlias = Literal["correct", "incorrect", "truncated", "unparsed", "undecided", "verifier_error", "infrastructure"]
"""How a sample ended. Only `incorrect` is a wrong answer; the others that are not `correct` score 0 and are told apart:
the candidate hit its token limit before an answer (`truncated`), no answer was found (`unparsed`), the grader could not decide
(`undecided`) or broke (`verifier_error`), the pipeline gave no result at all (`infrastructure`)."""


class SampleId(NamedTuple):
    """One independent run of the pipeline on one problem; also the order of a finished file."""

    task: str
    place: int
    """Index of the problem within its task."""
    repeat: int

    def __str__(self) -> str:
        return f"{self.task}/{self.place}/{self.repeat}"


class Spent(Record):
    """What one decoder was asked for in one role by one sample. `usage.seconds` is 0: clocks are in `times.jsonl`."""

    role: str
    decoder: str
    """Name under `[decoders]` of the pipeline, or of the grader's own."""
    model: str = ""
    """As the back end named it; empty where no completion told it."""
    usage: Usage


class Graded(Record):
    """A candidate, and what the grader said of it against the reference."""

    id: str
    text: str
    """Without its reasoning, which is in the trace."""
    tokens: int = 0
    finish: Finish = "stop"
    outcome: Outcome
    score: float = 0.0
    """The grader's, 0..1; 0 unless it decided."""
    answer: str | None = None
    key: str | None = None
    """Canonical form of the answer: candidates with equal keys vote together."""
    reason: str = ""
    own_score: float | None = None
    """The pipeline's own score, by which it chose; None where it gave none."""


class Sample(Record):
    """A line of `samples.jsonl`. Holds nothing that a clock or chance outside the seeds decides."""

    version: int = VERSION
    task: str
    place: int
    repeat: int
    problem_id: str
    seed: int
    """Of the pipeline's run; any two samples of a folder have different ones."""
    outcome: Outcome
    score: float = 0.0
    """The chosen candidate's."""
    chosen: str = ""
    """Id of the chosen candidate; empty without a result."""
    answer: str | None = None
    key: str | None = None
    decision: str = ""
    plan: str | None = None
    candidates: tuple[Graded, ...] = ()
    spent: tuple[Spent, ...] = ()
    """The pipeline's own calls, cancelled and failed ones included."""
    grading: tuple[Spent, ...] = ()
    """The grader's calls, where it asks a model; never a part of the pipeline's budget."""
    warnings: tuple[str, ...] = ()
    error: str = ""
    """Why there is no result."""
    digest: str = ""
    """SHA-256 of plan, candidates, verdicts, decision and counted usage: what a replay must reproduce."""

    @property
    def id(self) -> SampleId:
        return SampleId(self.task, self.place, self.repeat)

    @property
    def tokens(self) -> int:
        """All that the pipeline spent: prompt and completion tokens of every role, cancelled calls included."""
        return sum(spent.usage.tokens for spent in self.spent)


class Times(Record):
    """A line of `times.jsonl`: the clocks of a sample."""

    task: str
    place: int
    repeat: int
    seconds: float
    """From the run's start to its end, retries included."""
    first_token: float | None = None
    """Seconds until the first text of any candidate."""
    model_seconds: float = 0.0
    """Summed over the decoder's calls, so concurrent calls count each."""
    graded: float = 0.0
    """Seconds until the grader had answered."""


class Referenced(Record):
    """A line of `problems.jsonl`: a problem with its reference, for reports and for grading anew. The pipeline never reads it."""

    task: str
    place: int
    problem: Problem
    reference: str | None = None
    meta: Mapping[str, Any] = {}


class TaskRun(Record):
    """One task of an evaluation."""

    name: str
    """As named on the command line."""
    card: Benchmark
    problems: int
    """How many were taken."""
    repeats: int
    digest: str
    """SHA-256 over the problems and references taken, in order: two folders compare only where it is the same."""


class Manifest(Record):
    """`run.json`: what was evaluated, by what, and how. Nothing in it depends on when or where."""

    version: int = VERSION
    tasks: tuple[TaskRun, ...]
    config: Mapping[str, Any]
    """The pipeline's whole effective configuration, defaults included; keys and passwords are never part of one."""
    plugins: Mapping[str, str]
    """Distribution and version behind each configuration path, the graders' and task sources' included."""
    grading: Mapping[str, Any] = {}
    """By task: the grader's effective configuration."""
    preset: str = ""
    """Named protocol, such as `k2-think`; empty for one's own settings."""
    seed: int
    software: Mapping[str, str] = {}
    """Versions of k2core, k2core-eval and Python."""
    label: str = ""
    """What people call it, such as `bare` or `+ plan`."""
    origin: str = ""
    """What it was made from without asking a model, such as the digest of the samples that were rescored; empty for a real run."""
