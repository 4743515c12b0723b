"""What the draft model brings on k2-nano's own reasoning: is the text the same, how many guesses are right, how much faster is it?

    python benchmarks/draft.py [--decoder llamacpp|transformers] [--n 34] [--choices 1 3] [--draft k2-nano-draft]

Problems of all families, test split, with the prompts of the embedded pipeline. The decoder without and with the draft model is
asked in turn, problem by problem, and who is first alternates. Rates are tokens over seconds of whole requests, prompt included;
the ratio's interval is a bootstrap over problems. Texts are compared for the same seeds.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import random
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

from k2core_nano.data import pipeline
from k2core_nano.tasks import NanoTasks
from k2core_sampler.prompt import solver_messages

from k2core import DecodeRequest, Message, PipelineConfig, Run, Runtime

Speculations = dict[str, dict[str, Any]]
Chats = list[tuple[Message, ...]]


def speculations(draft: str, most: int) -> Speculations:
    """The option `speculation` of each engine."""
    return {"none": {"drafter": "none"}, "draft": {"drafter": "draft-model", "model": draft, "most": most}}


@dataclass
class Engine:
    """A runtime that is open, and what it has done; one element a problem."""

    runtime: Runtime
    run: Run
    tokens: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    async def ask(self, messages: Sequence[Message], n: int, temperature: float) -> list[str]:
        request = DecodeRequest(messages=tuple(messages), n=n, temperature=temperature, seed=7, max_tokens=224)
        began = time.perf_counter()
        made = await self.run.decode(request)
        self.seconds.append(time.perf_counter() - began)
        self.tokens.append(sum(one.tokens for one in made))
        return [f"{one.reasoning}\0{one.text}" for one in made]

    def forget(self) -> None:
        self.tokens, self.seconds = [], []


async def opened(stack: AsyncExitStack, options: argparse.Namespace, speculation: dict[str, Any]) -> Engine:
    decoder = {"use": options.decoder, "model": options.model, "context": 512, "parallel": 8, "speculation": speculation}
    tables = {"sampler": {"use": "single"}, "decoders": {"solver": decoder}, "verifiers": {}, "hooks": {}}
    runtime = await stack.enter_async_context(Runtime(PipelineConfig.from_dict(tables)))
    return Engine(runtime, await stack.enter_async_context(runtime.open("draft", seed=1)))


def chats(count: int, seed: int) -> Chats:
    """As the embedded pipeline asks."""
    sampler = pipeline()["sampler"]
    options = {name: sampler[name] for name in ("system", "instructions") if name in sampler}
    tasks = itertools.islice(NanoTasks().k2_tasks("all", "test", count, seed), count)
    return [solver_messages(task.problem, **options) for task in tasks]


def ratio(engines: dict[str, Engine], draws: int = 2000) -> tuple[float, float, float]:
    """How many times the rate of `none` that of `draft` is, and its 95 % interval over problems."""
    problems = range(len(engines["none"].seconds))

    def of(places: Sequence[int]) -> float:
        rates = {name: sum(e.tokens[i] for i in places) / sum(e.seconds[i] for i in places) for name, e in engines.items()}
        return rates["draft"] / rates["none"]

    dice = random.Random(0)
    found = sorted(of(dice.choices(problems, k=len(problems))) for _ in range(draws))
    return of(problems), found[int(0.025 * draws)], found[int(0.975 * draws)]


async def measured(engines: dict[str, Engine], asked: Chats, n: int, temperature: float) -> str:
    before, same = engines["draft"].runtime.ledger.total, 0
    for engine in engines.values():
        engine.forget()
    for place, messages in enumerate(asked):
        texts = {name: await engines[name].ask(messages, n, temperature) for name in sorted(engines, reverse=bool(place % 2))}
        same += sum(a == b for a, b in zip(texts["none"], texts["draft"], strict=True))
    now = engines["draft"].runtime.ledger.total
    drafted, accepted = now.drafted - before.drafted, now.accepted - before.accepted
    rates = {name: sum(e.tokens) / sum(e.seconds) for name, e in engines.items()}
    times, low, high = ratio(engines)
    right = accepted / max(1, drafted)
    return (
        f"{n:2} {temperature:5.2f} {rates['none']:8.1f} {rates['draft']:8.1f} {times:6.2f} [{low:.2f}, {high:.2f}] "
        f"{right:7.1%} {accepted / max(1, sum(engines['draft'].tokens)):7.1%} {same:5} of {n * len(asked)}"
    )


async def main(options: argparse.Namespace) -> None:
    asked = chats(options.n, options.seed)
    async with AsyncExitStack() as stack:
        wanted = speculations(options.draft, options.most)
        engines = {name: await opened(stack, options, speculation) for name, speculation in wanted.items()}
        for engine in engines.values():
            for messages in asked[:3]:
                await engine.ask(messages, 1, 0.0)
        print(" N     T    tok/s  + draft  ratio     interval   right of text   the same")
        for n in options.choices:
            for temperature in (0.0, 0.6):
                print(await measured(engines, asked, n, temperature), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--decoder", choices=["llamacpp", "transformers"], default="llamacpp")
    parser.add_argument("--model", default="k2-nano")
    parser.add_argument("--draft", default="k2-nano-draft", help="name, folder, or for llamacpp a GGUF file")
    parser.add_argument("--most", type=int, default=8, help="tokens drafted at a time, at most")
    parser.add_argument("--n", type=int, default=34, help="problems")
    parser.add_argument("--choices", type=int, nargs="+", default=[1, 3])
    parser.add_argument("--seed", type=int, default=0)
    asyncio.run(main(parser.parse_args()))
