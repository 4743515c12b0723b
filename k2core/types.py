"""The records that plugins and the kernel exchange.

All are frozen and refuse unknown fields. A `Problem` has no place for a reference answer: only a `Task` holds one, and the
kernel never hands a `Task` to a planner, sampler or decoder, so a pipeline cannot leak what it was never given.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Record(BaseModel):
    """Base of every record: immutable, no unknown fields. Validators are built on first use, which keeps imports fast."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class ToolCall(Record):
    """A model's call of a tool that it was offered; whoever asked executes it and sends back what came of it."""

    id: str
    name: str
    arguments: str
    """JSON as the model wrote it, which may be wrong."""


class Tools(Record):
    """What a model may call."""

    functions: tuple[Mapping[str, Any], ...]
    """As in OpenAI's chat completions: `{"type": "function", "function": {"name": …, "description": …, "parameters": schema}}`."""
    choice: str | Mapping[str, Any] = "auto"
    """`auto`, `none`, `required`, or the object that names one: `{"type": "function", "function": {"name": …}}`."""
    parallel: bool | None = None
    """Whether one turn may call several; None leaves it to the back end."""


class Message(Record):
    """One turn of a chat."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    """Of an assistant's turn."""
    tool_call_id: str = ""
    """Of a tool's turn: the call whose outcome `content` is."""


class Problem(Record):
    """What is to be solved: either `prompt` or `messages`. Raises `ValueError` when it is empty or no clean text."""

    id: str = ""
    """Stable name; by default the first 16 hex digits of the SHA-256 of the text."""
    prompt: str = ""
    messages: tuple[Message, ...] = ()
    domain: str = "general"
    """`math`, `code`, `logic`, …; verifiers and planners may look at it."""
    answer_format: Literal["boxed", "tag", "choice", "number", "text", "code", "json"] = "boxed"
    """How the solver is asked to mark its final answer, and where a verifier looks for it."""
    tools: Tools | None = None
    """What the solver may call: the kernel adds it to requests of role `solve`, and to no others."""
    meta: Mapping[str, Any] = {}
    """Anything a data set wants to carry along; never a reference answer."""

    @model_validator(mode="before")
    @classmethod
    def _named(cls, data: Any) -> Any:
        if isinstance(data, dict) and not data.get("id"):
            text = str(data.get("prompt") or data.get("messages") or "")
            data = {**data, "id": hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:16]}
        return data

    @model_validator(mode="after")
    def _clean(self) -> Problem:
        if bool(self.prompt) == bool(self.messages):
            raise ValueError("a problem needs a prompt or messages, and not both")
        if not any(text.strip() for text in self._texts()):
            raise ValueError("the problem is empty")
        for text in self._texts():
            if (at := text.find("\0")) >= 0:
                raise ValueError(f"the problem contains a NUL character at position {at}")
            try:
                text.encode()
            except UnicodeEncodeError as error:
                raise ValueError("the problem is not valid Unicode (lone surrogate); is the input UTF-8?") from error
        return self

    def _texts(self) -> list[str]:
        said = [m.content for m in self.messages]
        return [self.prompt] if self.prompt else said + [c.arguments for m in self.messages for c in m.tool_calls]

    @property
    def text(self) -> str:
        """The question as one string: the prompt, or the last user message."""
        users = [m.content for m in self.messages if m.role == "user"]
        return self.prompt or (users or [m.content for m in self.messages])[-1]


class Task(Record):
    """A problem with its reference answer; only evaluation, rewards and data filtering hold one."""

    problem: Problem
    reference: str | None = None
    meta: Mapping[str, Any] = {}


class Plan(Record):
    """What the planner made of a problem."""

    prompt: str
    """Text that the sampler adds to the solver's prompt; it must not disclose an answer."""
    topics: tuple[str, ...] = ()
    hard: bool = True


class DecodeRequest(Record):
    """One call to a decoder back end, for `n` completions of one prompt."""

    messages: tuple[Message, ...]
    role: Literal["plan", "solve", "verify", "judge", "draft"] = "solve"
    """What the tokens are spent on; the ledger keeps its books by it."""
    n: int = 1
    max_tokens: int = 1024
    """Most tokens of each completion, reasoning included."""
    temperature: float = 1.0
    top_p: float = 1.0
    stop: tuple[str, ...] = ()
    seed: int | None = None
    """Choice `i` of an `n` > 1 request is seeded with `seed + i` where the back end allows it."""
    json_schema: Mapping[str, Any] | None = None
    tools: Tools | None = None
    """For decoders that declare `Plugin.calls_tools`; the kernel refuses the request to any other."""
    logprobs: int = 0
    """How many alternatives a token to report; 0 reports none."""
    prediction: str = ""
    """Text that the answer may share much of; a back end may draft from it. It never changes what is sampled."""
    decoder: str = "solver"
    """Name under `[decoders]` of the pipeline."""
    candidates: tuple[str, ...] = ()
    """Candidate ids of the choices, if they become candidates; deltas are labelled with them."""
    continue_last: bool = False
    """The last message is an unfinished assistant turn: go on with it, and do not repeat it. `ValueError` where that cannot be."""


def uses_tools(asked: Problem | DecodeRequest) -> bool:
    """Whether it offers tools, or its history has calls of some."""
    return asked.tools is not None or any(message.tool_calls for message in asked.messages)


class TokenLogprob(Record):
    token: str
    logprob: float
    """Natural logarithm of the probability under the sampling model."""
    top: tuple[tuple[str, float], ...] = ()
    id: int | None = None
    """The token's number in the model's vocabulary, where the back end tells."""


class Timing(Record):
    """Seconds since the request was sent."""

    first_token: float | None = None
    total: float = 0.0
    queue: float | None = None
    """Seconds, not since the start: spent waiting in the back end, reading the prompt, writing. None where it does not tell."""
    prompt: float | None = None
    completion: float | None = None


Finish: TypeAlias = Literal["stop", "length", "filter", "tool"]


class Completion(Record):
    """One finished generation. `text` excludes the reasoning, whichever way the model marked it."""

    text: str
    reasoning: str = ""
    tokens: int = 0
    """Tokens generated for this choice, reasoning included."""
    finish: Finish = "stop"
    tool_calls: tuple[ToolCall, ...] = ()
    stopped: str | None = None
    """The stop string that ended it, empty when the model ended by itself; None where the back end does not tell."""
    logprobs: tuple[TokenLogprob, ...] | None = None
    model: str = ""
    timing: Timing = Field(default_factory=Timing)


class Candidate(Record):
    """One proposed solution. One that calls tools has its calls, as JSON, for an answer, and for text if it says nothing."""

    id: str
    """Unique in its run; candidates are ordered, and ties go to the first."""
    text: str
    answer: str | None = None
    completion: Completion | None = None
    score: float | None = Field(default=None, ge=0, le=1)
    """The sampler's own score. Where all candidates have one, it stands for the score of the verifier that the sampler consults."""

    @model_validator(mode="before")
    @classmethod
    def _called(cls, data: Any) -> Any:
        made = data.get("completion") if isinstance(data, dict) else None
        if isinstance(made, Completion) and made.tool_calls:
            from .toolkit.calls import canonical

            calls = canonical(made.tool_calls)
            data = {**data, "answer": data.get("answer") or calls, "text": data.get("text") or calls}
        return data


Status: TypeAlias = Literal["correct", "incorrect", "undecided", "unparsed", "error"]


class Verdict(Record):
    """What one verifier thinks of one candidate."""

    candidate_id: str
    status: Status
    score: float = 0.0
    """0..1; the kernel picks the candidate with the highest weighted mean over the verifiers."""
    key: str | None = None
    """Canonical form of the answer: candidates with equal keys vote together."""
    answer: str | None = None
    """The answer as extracted from the candidate, for people to read."""
    reason: str = ""
    verifier: str = ""
    """Name under `[verifiers]`; the kernel fills it in."""


class Usage(Record):
    """What was spent. `started` = `served` + `cancelled` + `failed` once nothing is in flight."""

    started: int = 0
    served: int = 0
    cancelled: int = 0
    failed: int = 0
    unsent: int = 0
    """Of those that failed or were cancelled: before anything was sent, so that the back end knows of none. 0 where unknown."""
    cached: int = 0
    """Calls answered by a hook, or by calls to other decoders, without reaching a back end; not among the started ones."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    drafted: int = 0
    """Tokens that speculation proposed, of which `accepted` are among the completion tokens; the others were rejected."""
    accepted: int = 0
    seconds: float = 0.0
    """Summed over calls, so concurrent calls count each."""
    cost: float = 0.0
    """In the currency of `[prices]`."""
    estimated: bool = False
    """True when a back end did not report some count and it was estimated from the text."""

    @property
    def tokens(self) -> int:
        """Prompt and completion tokens together."""
        return self.prompt_tokens + self.completion_tokens

    def __add__(self, other: Usage) -> Usage:
        mine, theirs = self.__dict__, other.__dict__
        total = {name: mine[name] + theirs[name] for name in mine if name != "estimated"}
        return Usage(estimated=self.estimated or other.estimated, **total)


class Result(Record):
    """The outcome of one request."""

    run_id: str
    problem_id: str
    answer: str | None
    """The chosen candidate's answer as its verifier extracted it, else its whole text."""
    candidate: Candidate
    plan: Plan | None = None
    candidates: tuple[Candidate, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    """Every verifier's verdict on every candidate."""
    scores: Mapping[str, float] = {}
    """Weighted score by candidate id."""
    decision: str = ""
    """Why this candidate, in one sentence."""
    usage: Mapping[str, Usage] = {}
    """By request role: plan, solve, verify, judge, draft."""
    warnings: tuple[str, ...] = ()
    seconds: float = 0.0


class TrainReport(Record):
    """What a trainer did."""

    steps: int
    metrics: Mapping[str, float] = {}
    artifacts: Mapping[str, str] = {}
    """Name to path of what was written."""
    usage: Mapping[str, Usage] = {}
