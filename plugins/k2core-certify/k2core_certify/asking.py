"""Drawing samples from a decoder, through the kernel like any other call."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from k2core import Completion, DecodeRequest, Message, Problem, Runtime
from k2core.concurrency import gather

from .prompts import CLOSED, FIRST, WRITING, Prompt

CHOICES = 16
"""Of one request."""
AT_ONCE = 2
"""Requests in flight; the decoder may have fewer places."""
_STRIDE = 1_000_003
_SEEDS = 2**31 - CHOICES


@dataclass(frozen=True)
class Sample:
    """One completion, and what was asked."""

    prompt: Prompt
    greedy: bool
    completion: Completion
    prompt_tokens: int
    """Of its request, by the ledger; 0 where only an estimate is known."""
    choices: int
    """Of its request."""


def plan(samples: int, seed: int, prompts: Sequence[Prompt] = WRITING) -> Iterator[tuple[Prompt, DecodeRequest]]:
    """The requests: one greedy one a prompt, `samples` long ones over all, twice as many short ones of either kind."""
    for prompt in prompts:
        yield prompt, _request(prompt, "", 1, seed, 0.0)
    place = 0
    for prompt in (*prompts, FIRST, CLOSED):
        count = 2 * samples if prompt in (FIRST, CLOSED) else -(-samples // len(prompts))
        for start in range(0, count, CHOICES):
            place += 1
            yield prompt, _request(prompt, "", min(CHOICES, count - start), (seed + place * _STRIDE) % _SEEDS, 1.0)


def _request(prompt: Prompt, decoder: str, n: int, seed: int, temperature: float) -> DecodeRequest:
    messages = tuple(Message(role=role, content=content) for role, content in prompt.turns)  # type: ignore[arg-type] # reason: checked by Message
    tokens = prompt.max_tokens
    return DecodeRequest(messages=messages, n=n, max_tokens=tokens, temperature=temperature, seed=seed, logprobs=2, decoder=decoder)


async def draw(
    runtime: Runtime,
    decoder: str,
    samples: int,
    seed: int,
    tell: Callable[[int, int], None],
    prompts: Sequence[Prompt] = WRITING,
) -> list[Sample]:
    """All samples of one decoder, in the order of the plan: the same seeds for every decoder."""
    asked = list(plan(samples, seed, prompts))
    gate, done = asyncio.Semaphore(AT_ONCE), 0

    async def ask(prompt: Prompt, request: DecodeRequest) -> Sequence[Sample]:
        nonlocal done
        async with gate, runtime.open(Problem(prompt=prompt.turns[-1][1]), seed=seed) as run:
            made = await run.decode(request.model_copy(update={"decoder": decoder}))
            spent = run.usage["solve"]
        done += 1
        tell(done, len(asked))
        known = 0 if spent.estimated else spent.prompt_tokens
        return [Sample(prompt, request.temperature == 0, one, known, request.n) for one in made]

    return [sample for several in await gather(ask(*one) for one in asked) for sample in several]
