"""What the engine's thread knows of a request, and of each of its choices."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from k2core.types import DecodeRequest, Finish, TokenLogprob

if TYPE_CHECKING:
    from torch import Tensor

    from ..sampling.constraint import Constraint
    from ..sampling.noise import Noise
    from ..sampling.text import Writer
    from ..sampling.warp import Warp


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


def draw(asked: Sequence[tuple[Choice, list[int]]], logits: Tensor) -> list[list[int]]:
    """For each choice the tokens that follow its text and each beginning of its draft; `logits` has their rows in order.

    On the CPU no more of them than agree with the draft, and the one that follows: what comes later would be thrown away.
    A token depends on its row of logits, its choice's seed and its position only, whoever else is in the batch.
    """
    from ..sampling.drawing import draw as race

    logits = _constrained(asked, logits)
    if not logits.is_cuda:
        ends = list(accumulate(len(draft) + 1 for _, draft in asked))
        parts = [logits[end - len(draft) - 1 : end] for (_, draft), end in zip(asked, ends, strict=True)]
        return [_along(choice, draft, part) for (choice, draft), part in zip(asked, parts, strict=True)]
    rows = [(choice, len(choice.ids) + j) for choice, draft in asked for j in range(len(draft) + 1)]
    warps, keys = [choice.warp for choice, _ in rows], [choice.noise.key(at) for choice, at in rows]
    taken = iter(race(logits, warps, keys))
    return [[next(taken) for _ in range(len(draft) + 1)] for _, draft in asked]


def _along(choice: Choice, draft: list[int], logits: Tensor) -> list[int]:
    """Tokens drawn one after the other, until one is not what the draft foretold."""
    from ..sampling.drawing import draw as race

    drawn = list[int]()
    for place in range(len(draft) + 1):
        drawn += race(logits[place : place + 1], [choice.warp], [choice.noise.key(len(choice.ids) + place)])
        if drawn[-1] != (draft[place] if place < len(draft) else None):
            break
    return drawn


def _constrained(asked: Sequence[tuple[Choice, list[int]]], logits: Tensor) -> Tensor:
    import torch

    if all(choice.constraint is None for choice, _ in asked):
        return logits
    logits, at = logits.clone(), 0
    for choice, draft in asked:
        if choice.constraint is not None:
            allowed: Any = choice.constraint.allowed(draft).to(logits.device)
            logits[at : at + len(draft) + 1].masked_fill_(~allowed, -torch.inf)
        at += len(draft) + 1
    return logits


def agreed(draft: Sequence[int], drawn: Sequence[int]) -> int:
    """How many of the first tokens of the draft are the ones that were drawn."""
    count = 0
    while count < len(draft) and draft[count] == drawn[count]:
        count += 1
    return count
