"""Speculation against none: is the text the same, how many guesses are right, and how much faster is it?

`python benchmarks/speculation.py [KIND …] [--tokens 48] [--draft MODEL]`. All engines are loaded at once and asked in turn, so that
each prompt's answers come from the same minute of the machine. Texts are compared greedily and at T = 1 with the same seeds, one
choice at a time; the speed is the harmonic mean of the answers' tokens/s (prompt included), as a ratio to the plain engine's.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections import defaultdict
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

from k2core import DecodeRequest, Message, PipelineConfig, Run, Runtime

KINDS = ("ngram-simple", "ngram-map-k", "ngram-map-k4v", "ngram-mod")
SOURCE = (
    "def area(width, height):\n    return width * height\n\ndef volume(width, height, depth):\n    return width * height * depth\n",
    "Apples cost two coins, pears cost three coins, plums cost four coins, and figs cost five coins.",
    "name,age,town\nAnna,31,Graz\nBela,44,Pecs\nCarla,27,Turin\nDavid,52,Brno\n",
)
COPY = tuple(f"{task}\n\n{text}" for text in SOURCE for task in ("Repeat the following word for word:", "Copy this text twice:"))
FREE = (
    "Write a story about a fox.",
    "Why is the sky blue?",
    "Give advice to somebody who moves to a new town.",
    "Describe how bread is made.",
    "What would change if people could fly?",
    "Invent a game for two players with ten stones.",
)
Texts = tuple[str, ...]


@dataclass
class Engine:
    """A runtime that is open."""

    runtime: Runtime
    run: Run

    async def ask(self, prompt: str, n: int, temperature: float, tokens: int) -> tuple[Texts, float]:
        """The texts, and tokens per second."""
        messages = (Message(role="user", content=prompt),)
        began = time.perf_counter()
        made = await self.run.decode(DecodeRequest(messages=messages, n=n, temperature=temperature, seed=7, max_tokens=tokens))
        return tuple(c.text for c in made), sum(c.tokens for c in made) / (time.perf_counter() - began)


async def opened(stack: AsyncExitStack, speculation: dict[str, Any]) -> Engine:
    decoder = {"use": "llamacpp", "context": 512, "parallel": 8, "threads": 1, "reuse_prompts": False, "speculation": speculation}
    tables = {"sampler": {"use": "single"}, "decoders": {"solver": decoder}, "verifiers": {}, "hooks": {}}
    runtime = await stack.enter_async_context(Runtime(PipelineConfig.from_dict(tables)))
    return Engine(runtime, await stack.enter_async_context(runtime.open("speculation", seed=1)))


async def main(options: argparse.Namespace) -> None:
    wanted = {kind: {"drafter": kind} for kind in options.kinds}
    if options.draft:
        wanted["draft-model"] = {"drafter": "draft-model", "model": options.draft}
    async with AsyncExitStack() as stack:
        engines = {"none": await opened(stack, {"drafter": "none"})}
        engines |= {kind: await opened(stack, speculation) for kind, speculation in wanted.items()}
        print(
            f"{'kind':14} {'same text':>10} "
            + " ".join(f"{where:>22}" for where in ("copy n=1", "free n=1", "copy n=8", "free n=8"))
        )
        cells = await measured(engines, options.tokens)
    for kind in wanted:
        row = [f"{ratio:5.2f} x, {right:3.0f} % right" for ratio, right in cells[kind]["cells"]]
        print(f"{kind:14} {cells[kind]['same']:>10} " + " ".join(f"{cell:>22}" for cell in row))


async def measured(engines: dict[str, Engine], tokens: int) -> dict[str, dict[str, Any]]:
    """By kind: how many answers are the same, and (speed ratio, per cent of guesses accepted) by cell."""
    found: dict[str, dict[str, Any]] = defaultdict(lambda: {"cells": [], "same": ""})
    same: dict[str, list[bool]] = defaultdict(list)
    for n, count in ((1, 6), (8, 1)):
        for prompts in (COPY, FREE):
            seconds: dict[str, float] = defaultdict(float)
            before = {kind: engine.runtime.ledger.total for kind, engine in engines.items()}
            for prompt in prompts[:count]:
                for temperature in (0.0, 1.0):
                    plain: Texts = ()
                    for kind, engine in engines.items():
                        texts, rate = await engine.ask(prompt, n, temperature, tokens)
                        plain = plain or texts
                        seconds[kind] += 1 / rate
                        if n == 1:
                            same[kind].append(texts == plain)
            for kind, engine in engines.items():
                now = engine.runtime.ledger.total
                drafted, accepted = now.drafted - before[kind].drafted, now.accepted - before[kind].accepted
                found[kind]["cells"].append((seconds["none"] / seconds[kind], 100 * accepted / max(1, drafted)))
    for kind, answers in same.items():
        found[kind]["same"] = f"{sum(answers)} of {len(answers)}"
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("kinds", nargs="*", default=KINDS)
    parser.add_argument("--tokens", type=int, default=48)
    parser.add_argument("--draft", default="", help="a draft model, by name or path")
    asyncio.run(main(parser.parse_args()))
