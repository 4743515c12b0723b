"""What happens in a run, told to observers as it happens; a trace is the stream of these."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from .types import Candidate, Completion, DecodeRequest, Plan, Problem, Record, Result, Usage, Verdict

TRACE_VERSION = 1
"""Version of the persisted event stream; raised when an old reader could misread a new trace."""


class Event(Record):
    """Something that happened in a run. Traces are event streams; the subclass is named by `kind`."""

    kind: ClassVar[str] = "event"
    run_id: str = ""
    at: float = 0.0
    """Seconds since the run started; the kernel fills in both."""


class RunStarted(Event):
    kind = "run_started"
    version: int = TRACE_VERSION
    problem: Problem
    seed: int
    config: Mapping[str, Any] = {}
    """The whole effective configuration; keys and passwords are never part of one."""
    plugins: Mapping[str, str] = {}
    """Distribution and version behind each configuration path."""


class CallStarted(Event):
    kind = "call_started"
    call_id: str
    plugin: str
    """Configuration path, such as `decoders.solver`."""
    request: DecodeRequest


class Delta(Event):
    """Text as it arrives; the deltas of a choice concatenate to its completion."""

    kind = "delta"
    call_id: str = ""
    role: str = "solve"
    candidate: str | None = None
    index: int = 0
    text: str
    reasoning: bool = False
    tokens: int = 1


class CallEnded(Event):
    kind = "call_ended"
    call_id: str
    plugin: str
    role: str = "solve"
    status: Literal["served", "cancelled", "failed", "cached"]
    usage: Usage
    completions: tuple[Completion, ...] = ()
    error: str = ""


class PlanMade(Event):
    kind = "plan_made"
    plan: Plan | None


class CandidateMade(Event):
    kind = "candidate_made"
    candidate: Candidate


class CandidateFailed(Event):
    kind = "candidate_failed"
    candidate_id: str
    error: str


class SamplerStopped(Event):
    """A sampler decided before all that it might have drawn was drawn, and why; the reason ends up in `Result.decision`."""

    kind = "sampler_stopped"
    reason: str
    """In a phrase."""
    confidence: float | None = None
    """Stated probability that going on to the end would have decided alike; None where nothing is promised."""
    rule: str = ""
    answer: str | None = None
    counted: int = 0
    launched: int = 0
    cancelled: int = 0
    n: int = 0
    """The most candidates that it would have drawn."""


class Tuned(Event):
    """What a plugin has learnt from earlier runs and goes by in this one, written as options of its own: a replay sets them."""

    kind = "tuned"
    plugin: str
    """Configuration path, such as `sampler`."""
    options: Mapping[str, Any]


class Verified(Event):
    kind = "verified"
    verifier: str
    verdicts: tuple[Verdict, ...]


class Warned(Event):
    """Something went wrong that did not stop the run; it is in `Result.warnings` too."""

    kind = "warned"
    where: str
    message: str


class RunEnded(Event):
    kind = "run_ended"
    result: Result | None = None
    error: str = ""
    usage: Mapping[str, Usage] = {}
