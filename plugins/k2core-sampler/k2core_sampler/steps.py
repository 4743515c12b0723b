"""Partial solutions: how a model is asked to go on with one, and how to tell that it is complete. Pure, but for the options."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from pydantic import Field

from k2core.plugin import VerifierName
from k2core.toolkit.calls import canonical
from k2core.types import Candidate, Completion, Finish, Message, Timing, ToolCall

from .config import SamplingConfig


class StepConfig(SamplingConfig):
    """Options of searches that go step by step."""

    verifier: VerifierName = "process"
    """Name under `[verifiers]` of the one that scores partial solutions."""
    step_stop: str = "\n\n"
    """What separates two steps. Empty: a step is `step_tokens` long wherever that cuts it, and needs no separator."""
    step_tokens: int = Field(default=256, ge=1)
    """Most tokens of one step."""
    max_steps: int = Field(default=16, ge=1)
    """Most steps of a candidate."""
    prefix: Literal["continue", "prompt"] = "continue"
    """How the model gets its work so far: as its own unfinished turn, or, where a back end cannot go on with one, quoted."""


@dataclass(frozen=True)
class Node:
    """A solution as far as it has come. `path` numbers its steps among their siblings, so that it names the node."""

    path: tuple[int, ...] = ()
    text: str = ""
    """With the separator at its end, as the model goes on after it."""
    reasoning: str = ""
    tokens: int = 0
    seconds: float = 0.0
    model: str = ""
    calls: tuple[ToolCall, ...] = ()
    """Of tools, which end a solution."""
    finish: Finish | None = None
    """None as long as it may go on."""
    score: float | None = None
    """By the verifier; None when it could not tell, or was not asked in time."""

    @property
    def id(self) -> str:
        return ".".join(map(str, self.path))

    @property
    def work(self) -> tuple[str, str, str]:
        """What it has written: text, reasoning, and which tools it calls."""
        return self.text, self.reasoning, canonical(self.calls) if self.calls else ""

    @property
    def rank(self) -> float:
        """What it is ordered by: those without a score come last."""
        return -1.0 if self.score is None else self.score

    def after(self, separator: str) -> Node:
        """With the separator behind what the model wrote last."""
        if self.text:
            return replace(self, text=self.text + separator)
        return replace(self, reasoning=self.reasoning + separator)

    def judged(self, separator: str) -> Candidate:
        """What the verifier sees: of a solution that is still being reasoned about, the reasoning. A whole step is no cut one."""
        whole = bool(separator) and (self.text or self.reasoning).endswith(separator)
        made = replace(self, finish="stop" if whole else self.finish).candidate()
        return made if self.text else made.model_copy(update={"text": self.reasoning.rstrip()})

    def candidate(self, name: str | None = None) -> Candidate:
        """As a candidate; one that never finished was cut for length."""
        text, finish = self.text.rstrip(), self.finish or "length"
        completion = Completion(
            text=text,
            reasoning=self.reasoning,
            tokens=self.tokens,
            finish=finish,
            tool_calls=self.calls,
            model=self.model,
            timing=Timing(total=self.seconds),
        )
        return Candidate(id=name or self.id, text=text, completion=completion, score=self.score)


NEXT = (
    "Here is your solution so far:\n<solution>\n{work}\n</solution>\nContinue it exactly where it ends, with the next step only. "
    "Repeat nothing of it."
)
_FENCE = re.compile(r"</?\s*solution\s*>", re.IGNORECASE)


def continued(asked: Sequence[Message], node: Node, prefix: Literal["continue", "prompt"]) -> tuple[Message, ...]:
    """The chat for a node's next step: the question alone at the start, else with the work so far."""
    if not node.path:
        return tuple(asked)
    if prefix == "continue":
        return (*asked, Message(role="assistant", content=turn(node)))
    note = NEXT.format(work=_FENCE.sub("", node.text).strip())
    users = [place for place, message in enumerate(asked) if message.role == "user"]
    if not users:
        return (*asked, Message(role="user", content=note))
    at = users[-1]
    longer = Message(role="user", content=f"{asked[at].content}\n\n{note}")
    return (*asked[:at], longer, *asked[at + 1 :])


def turn(node: Node) -> str:
    """An unfinished turn as the model wrote it: reasoning between tags, open as long as there is no text."""
    if not node.reasoning:
        return node.text
    return f"<think>{node.reasoning}</think>\n\n{node.text}" if node.text else f"<think>{node.reasoning}"


_ANSWER_LINE = re.compile(r"^\W*answer\W*:\W*\w", re.IGNORECASE | re.MULTILINE)
_CODE_FENCE = re.compile(r"^\s*(?:```|~~~)", re.MULTILINE)


def answered(text: str, answer_format: str) -> bool:
    """Whether a text holds a complete final answer, marked as `Problem.answer_format` wants it."""
    if answer_format in ("boxed", "choice"):
        return _boxed(text)
    if answer_format == "tag":
        return "</answer>" in text
    if answer_format in ("code", "json"):
        fences = len(_CODE_FENCE.findall(text))
        return fences > 0 and fences % 2 == 0
    return bool(_ANSWER_LINE.search(text))


def _boxed(text: str) -> bool:
    """Whether the last box is closed."""
    _, box, rest = text.rpartition("\\boxed{")
    depth = 1
    for character in rest if box else "":
        depth += (character == "{") - (character == "}")
        if depth == 0:
            return True
    return False
