"""Cancellations and faults at random on any decoder: does anything stay behind, and is the next answer the same as before?

`python benchmarks/faults.py [--config FILE] [--decoder NAME] [--times 1000] [--seed 0] [--tokens 24]`. The file is a pipeline's
configuration; without one, the embedded model. Each time one of: a request that is let through, one cancelled at a random moment,
one that times out, two at once of which one is cancelled, a bad request (refused, or else simply answered). It prints how far it
is, then a table; status 1 where something is amiss. Memory is the resident set of this process and its children after a garbage
collection; its slope is the least-squares line through the second half of the way, in bytes a request, with its standard error.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import random
import statistics
import sys
import threading
import time
import tomllib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from k2core import DecodeRequest, Message, PipelineConfig, Run, Runtime

WORDS = "the fox said three apples cost seven coins and then repeat after me: one two one two naïve 日本 🦊 x = 4 + 5".split()
BAD: tuple[dict[str, Any], ...] = ({"n": 0}, {"max_tokens": 0}, {"temperature": float("nan")}, {"top_p": 7.0}, {"messages": ()})
SLACK = 256
"""Bytes a request by which memory may rise, beyond two standard errors."""
LEDGER = ("started", "served", "cancelled", "failed")


@dataclass(frozen=True)
class Held:
    """What the process holds."""

    rss: int
    threads: int
    """Without those of asyncio's pool, which grows to a fixed number as they are needed."""
    children: int
    files: int
    tasks: int

    @classmethod
    def now(cls) -> Held:
        gc.collect()
        me = psutil.Process()
        children = me.children(recursive=True)
        rss = me.memory_info().rss + sum(child.memory_info().rss for child in children)
        pool = sum(thread.name.startswith("asyncio_") for thread in threading.enumerate())
        return cls(rss, me.num_threads() - pool, len(children), me.num_fds(), len(asyncio.all_tasks()))


@dataclass
class Faults:
    """One run of the benchmark."""

    run: Run
    decoder: str
    tokens: int
    dice: random.Random
    outcomes: Counter[str] = field(default_factory=Counter)

    def request(self, **options: Any) -> DecodeRequest:
        length = self.dice.choices((3, 10, 40, 150), (8, 8, 3, 1))[0]
        words = " ".join(self.dice.choices(WORDS, k=length))
        base = {
            "messages": (Message(role="user", content=words),),
            "n": self.dice.choice((1, 1, 1, 2, 5)),
            "max_tokens": self.dice.randint(1, self.tokens),
            "temperature": self.dice.choice((0.0, 0.7, 1.0)),
            "stop": self.dice.choice(((), (), ("the",))),
            "seed": self.dice.getrandbits(30),
            "decoder": self.decoder,
        }
        return DecodeRequest(**{**base, **options})

    async def fixed(self) -> list[str]:
        """Answers that must not change: a greedy one, and one at temperature 1 with a seed."""
        messages = (Message(role="user", content="Write a story about a fox."),)
        said = []
        for temperature in (0.0, 1.0):
            options: dict[str, Any] = {"messages": messages, "max_tokens": 16, "temperature": temperature, "stop": (), "seed": 5}
            said += [c.text for c in await self.run.decode(self.request(n=1, **options))]
        return said

    async def once(self) -> None:
        """One request, of a kind drawn at random."""
        kind = self.dice.choices((self._plain, self._cancelled, self._late, self._pair, self._bad), (2, 5, 1, 2, 1))[0]
        await kind()

    async def _plain(self) -> None:
        made = await self.run.decode(self.request())
        self.outcomes["answered"] += 1
        assert all(c.tokens <= self.tokens for c in made)

    async def _cancelled(self) -> None:
        await self._cancel(asyncio.create_task(self.run.decode(self.request())))

    async def _cancel(self, task: asyncio.Task[Any]) -> None:
        await asyncio.sleep(self.dice.choice((0.0, self.dice.uniform(0, 0.02), self.dice.uniform(0, 0.4))))
        task.cancel()
        results = await asyncio.gather(task, return_exceptions=True)
        self._count(results[0], "answered before it was cancelled")

    async def _late(self) -> None:
        try:
            async with asyncio.timeout(self.dice.uniform(0, 0.2)):
                await self.run.decode(self.request())
        except TimeoutError:
            self.outcomes["timed out"] += 1
        else:
            self.outcomes["answered in time"] += 1

    async def _pair(self) -> None:
        other = asyncio.create_task(self.run.decode(self.request()))
        await self._cancel(asyncio.create_task(self.run.decode(self.request())))
        await other
        self.outcomes["answered beside it"] += 1

    async def _bad(self) -> None:
        results = await asyncio.gather(self.run.decode(self.request(**self.dice.choice(BAD))), return_exceptions=True)
        self._count(results[0], "bad but answered")

    def _count(self, result: Any, answered: str) -> None:
        if isinstance(result, asyncio.CancelledError):
            self.outcomes["cancelled"] += 1
        elif isinstance(result, Exception):
            self.outcomes[f"refused: {str(result)[:70]}"] += 1
        else:
            self.outcomes[answered] += 1


def slope(points: list[tuple[int, int]]) -> tuple[float, float]:
    """Bytes a request and their standard error, by least squares over the second half of (request, bytes)."""
    at, rss = zip(*points[len(points) // 2 :], strict=True)
    line = statistics.linear_regression(at, rss)
    rest = sum((y - line.intercept - line.slope * x) ** 2 for x, y in zip(at, rss, strict=True))
    spread = statistics.pvariance(at) * len(at)
    return line.slope, (rest / max(1, len(at) - 2) / spread) ** 0.5


def default() -> dict[str, Any]:
    decoder = {"use": "llamacpp", "context": 1024, "parallel": 4, "threads": 1, "reuse_prompts": False}
    return {"sampler": {"use": "single"}, "decoders": {"solver": decoder}, "verifiers": {}, "hooks": {}}


async def main(options: argparse.Namespace) -> int:
    tables = tomllib.loads(options.config.read_text()) if options.config else default()
    config = PipelineConfig.from_dict({**tables, "hooks": {}})
    name = options.decoder or next(iter(config.decoders))
    async with Runtime(config) as runtime, runtime.open("faults", seed=options.seed) as run:
        faults = Faults(run, name, options.tokens, random.Random(options.seed))
        before_text = [await faults.fixed(), await faults.fixed()][1]
        for _ in range(max(5, options.times // 50)):  # what is made once only, pools and caches
            await faults.once()
        before, points, began = Held.now(), [], time.monotonic()
        step = max(1, options.times // 50)
        for i in range(1, options.times + 1):
            await faults.once()
            if i % step == 0:
                points.append((i, Held.now().rss))
            if i % max(1, options.times // 10) == 0:
                print(f"{i:6} after {time.monotonic() - began:5.0f} s, {points[-1][1] / 2**20:.1f} MiB", flush=True)
        await asyncio.sleep(0.5)
        after_text, after = await faults.fixed(), Held.now()
        usage = runtime.ledger.total
        balance = {field: getattr(usage, field) for field in LEDGER}
    for old, new in zip(before_text, after_text, strict=True):
        if old != new:
            print(f"was    {old!r}\nis now {new!r}")
    return report(faults, before, after, slope(points), before_text == after_text, balance)


def report(faults: Faults, before: Held, after: Held, rise: tuple[float, float], same: bool, balance: dict[str, int]) -> int:
    for outcome, count in sorted(faults.outcomes.items()):
        print(f"{count:6}  {outcome}")
    first, last = before.rss / 2**20, after.rss / 2**20
    print(f"resident memory {first:.1f} -> {last:.1f} MiB, second half {rise[0]:+.0f} ± {rise[1]:.0f} bytes a request")
    checks = {
        "memory flat": rise[0] <= SLACK + 2 * rise[1],
        **{f"{what} {getattr(before, what)} -> {getattr(after, what)}": getattr(after, what) <= getattr(before, what)
           for what in ("threads", "children", "files", "tasks")},
        f"ledger settled {balance}": balance["started"] == balance["served"] + balance["cancelled"] + balance["failed"],
        "the next answers are as before": same,
    }  # fmt: skip
    for what, fine in checks.items():
        print(f"{'ok' if fine else 'FAILED':8}{what}")
    return 0 if all(checks.values()) else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--config", type=Path, help="a pipeline's configuration, TOML")
    parser.add_argument("--decoder", default="", help="which of its decoders; the first one if none is named")
    parser.add_argument("--times", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tokens", type=int, default=24, help="tokens of an answer, at most")
    sys.exit(asyncio.run(main(parser.parse_args())))
