"""What the engine's thread knows of a request, and of each of its choices."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from k2core.types import DecodeRequest, Finish, TokenLogprob

if TYPE_CHECKING:
    from torch import Tensor

    from ..sampling.constraint import Constraint
    from ..sampling.noise import Noise
    from ..sampling.text import Writer
    from ..sampling.warp import Warp

T = TypeVar("T")


@dataclass(eq=False)
class Job:
    """A request at the engine. `tell(index, text, tokens)` and `ended(error)` are called in the engine's thread."""

    id: int
    request: DecodeRequest
    top_k: int
    min_p: float
    tell: Callable[[int, str, int], None]
    ended: Callable[[Exception | None], None]
    prompt: list[int] = field(default_factory=list)
    most: int = 0
    """Tokens that a choice may take."""
    choices: list[Choice] = field(default_factory=list)
    waiting: deque[Choice] = field(default_factory=deque)
    """Choices that have no slot yet."""
    slot: int | None = None
    """Where the prompt is processed, until it has been."""
    filled: int = 0
    """Tokens of the prompt that have been, or are in the step at hand."""
    logits: Tensor | None = None
    """[1, vocabulary], after the prompt; kept until every choice has drawn from it."""
    cancelled: bool = False
    drafted: int = 0
    accepted: int = 0
    submitted: float = field(default_factory=time.monotonic)
    admitted: float | None = None

    @property
    def need(self) -> int:
        """Tokens that one of its choices may take in the cache."""
        return len(self.prompt) + self.most

    @property
    def length(self) -> int:
        return self.filled

    @property
    def reach(self) -> int:
        """Tokens that its slot must have room for: all of the prompt, so that the cache does not grow by chunks."""
        return len(self.prompt)

    @property
    def tokens(self) -> int:
        return sum(len(choice.ids) for choice in self.choices)

    @property
    def done(self) -> bool:
        return all(choice.finish is not None for choice in self.choices)


@dataclass(eq=False)
class Choice:
    """One completion in the making: the `View` that drafters see. Its newest token is not in the cache yet."""

    id: int
    job: Job
    index: int
    warp: Warp
    noise: Noise
    writer: Writer
    constraint: Constraint | None
    prediction: Sequence[int]
    ids: list[int] = field(default_factory=list)
    slot: int | None = None
    ahead: int = 0
    """Tokens that the step at hand writes to the cache: the newest and its draft."""
    finish: Finish | None = None
    stopped: str | None = None
    logprobs: list[TokenLogprob] = field(default_factory=list)
    first: float | None = None
    last: float = 0.0

    @property
    def group(self) -> int:
        return self.job.id

    @property
    def prompt(self) -> Sequence[int]:
        return self.job.prompt

    @property
    def room(self) -> int:
        return self.job.most - len(self.ids)

    @property
    def length(self) -> int:
        """Tokens in the cache, with what the step at hand writes: whoever moves a slot or fits the cache meanwhile keeps it."""
        return len(self.job.prompt) + max(0, len(self.ids) - 1) + self.ahead

    @property
    def reach(self) -> int:
        """Tokens that its slot must have room for."""
        return self.length

    def take(self, tokens: Sequence[int], eos: frozenset[int]) -> int:
        """Append tokens up to the one that ends the completion, and tell their text; returns how many were taken."""
        before, text, self.ahead = len(self.ids), "", 0
        self.last = time.monotonic()
        self.first = self.first or self.last
        for token in tokens:
            self.ids.append(token)
            if self.constraint is not None:
                self.constraint.advance(token)
            if token not in eos:
                text += self.writer.feed([token])
            if self._ends(token, eos):
                text += self.writer.end()
                break
        taken = len(self.ids) - before
        self.job.tell(self.index, text, taken)
        return taken

    def _ends(self, token: int, eos: frozenset[int]) -> bool:
        if self.writer.stopped is not None:
            self.finish, self.stopped = "stop", self.writer.stopped
        elif token in eos or (self.constraint is not None and self.constraint.done):
            self.finish, self.stopped = "stop", ""
        elif self.room <= 0:
            self.finish = "length"
        return self.finish is not None


Owner = Job | Choice
"""Who holds a slot: a request whose prompt is processed, or a choice."""


def draw(asked: Sequence[tuple[Choice, list[int]]], parts: Sequence[Tensor]) -> list[list[int] | Exception]:
    """For each choice the tokens that follow its text and each beginning of its draft; `parts` are their rows of logits.

    On the CPU no more of them than agree with the draft, and the one that follows: what comes later would be thrown away.
    A token depends on its row of logits, its choice's seed and its position only, whoever else is in the batch. So does a failure,
    of a schema that cannot be followed any further, say: that choice has the exception in place of its tokens.
    """
    allowed = [_tried(_allowed, choice, draft, part) for (choice, draft), part in zip(asked, parts, strict=True)]
    if parts[0].is_cuda:
        return _together(asked, parts, allowed)
    return [
        part if isinstance(part, Exception) else _tried(_along, choice, draft, part)
        for (choice, draft), part in zip(asked, allowed, strict=True)
    ]


def _tried(work: Callable[[Choice, list[int], Tensor], T], choice: Choice, draft: list[int], logits: Tensor) -> T | Exception:
    try:
        return work(choice, draft, logits)
    except Exception as error:
        return error


def _allowed(choice: Choice, draft: list[int], logits: Tensor) -> Tensor:
    """The logits without what the choice's schema does not allow. Raises `ValueError` where it cannot be followed."""
    import torch

    if choice.constraint is None:
        return logits
    return torch.where(choice.constraint.allowed(draft).to(logits.device), logits, -math.inf)


def _along(choice: Choice, draft: list[int], logits: Tensor) -> list[int]:
    """Tokens drawn one after the other, until one is not what the draft foretold."""
    from ..sampling.drawing import draw as race

    drawn = list[int]()
    for place in range(len(draft) + 1):
        drawn += race(logits[place : place + 1], [choice.warp], [choice.noise.key(len(choice.ids) + place)])
        if drawn[-1] != (draft[place] if place < len(draft) else None):
            break
    return drawn


def _together(
    asked: Sequence[tuple[Choice, list[int]]], parts: Sequence[Tensor], allowed: Sequence[Tensor | Exception]
) -> list[list[int] | Exception]:
    """All tokens in one draw, those of a choice that has failed too: they are thrown away."""
    import torch

    from ..sampling.drawing import draw as race

    rows = [(choice, len(choice.ids) + j) for choice, draft in asked for j in range(len(draft) + 1)]
    warps, keys = [choice.warp for choice, _ in rows], [choice.noise.key(at) for choice, at in rows]
    used = [raw if isinstance(part, Exception) else part for raw, part in zip(parts, allowed, strict=True)]
    taken = iter(race(used[0] if len(used) == 1 else torch.cat(used), warps, keys))
    drawn = [[next(taken) for _ in range(len(draft) + 1)] for _, draft in asked]
    return [part if isinstance(part, Exception) else tokens for part, tokens in zip(allowed, drawn, strict=True)]


def agreed(draft: Sequence[int], drawn: Sequence[int]) -> int:
    """How many of the first tokens of the draft are the ones that were drawn."""
    count = 0
    while count < len(draft) and draft[count] == drawn[count]:
        count += 1
    return count
