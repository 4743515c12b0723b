"""Decode rate of k2core with the embedded decoder, against xllamacpp called directly.

Both sides load the same model with the same settings and generate the same tokens: a run of k2core (`Runtime.solve` with
best-of-n where that sampler is installed, else `run.decode`) is followed or preceded by the same chat request, same seed, given
to `xllamacpp.Server.handle_chat_completions`. The pairs are interleaved and change order, so that whatever else the machine does
hits both. A rate is tokens over wall time, from before the call to after its last token, prompt included. `ratio` is the median
over the pairs, between its `least` and `most`; `processor` is the median ratio of processor time, which other work disturbs less;
`same` says in how many pairs both sides made equally many tokens.

    python benchmarks/decode_llamacpp.py --repeats 7 --tokens 64
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xllamacpp  # type: ignore[import-untyped] # it ships no types
from k2core_decoder_llamacpp import LlamaCppConfig, cores, engine

from k2core import DecodeRequest, Event, Message, PipelineConfig, Plugin, Problem, Registry, Runtime, hookimpl
from k2core.plugin import PluginConfig

PROMPT = "A farmer has 17 sheep, buys 9 more and sells 5. How many sheep does the farmer have? Explain every step."
CHOICES = (1, 3, 8)


@dataclass(frozen=True)
class Run:
    """What one side did."""

    tokens: int
    seconds: float
    processor: float
    """Seconds of processor time of the whole process."""

    @property
    def rate(self) -> float:
        """Tokens a second."""
        return self.tokens / self.seconds


class Requests(Plugin):
    """Remembers the last request that went to a decoder."""

    config: PluginConfig
    last: DecodeRequest

    @hookimpl
    def k2_event(self, event: Event) -> None:
        if event.kind == "call_started":
            type(self).last = event.request  # type: ignore[attr-defined] # the event of that kind has one


def pipeline(options: argparse.Namespace, n: int, threads: int) -> tuple[PipelineConfig, bool]:
    """The pipeline, and whether it samples by best-of-n."""
    sampled = "best-of-n" in Registry().names("sampler")
    sampler = {"use": "best-of-n", "n": n, "batch": "all", "max_tokens": options.tokens} if sampled else {"use": "single"}
    decoder = {"use": "llamacpp", "model": options.model, "threads": threads, "parallel": n, "context": 1024}
    tables: dict[str, Any] = {"sampler": sampler, "decoders": {"solver": decoder}, "verifiers": {}, "hooks": {"requests": {}}}
    return PipelineConfig.from_dict(tables), sampled


async def through_k2core(runtime: Runtime, sampled: bool, n: int, tokens: int, seed: int) -> Run:
    """One problem; the tokens are the ledger's."""
    before, began, processor = runtime.ledger.total.completion_tokens, time.perf_counter(), time.process_time()
    if sampled:
        await runtime.solve(Problem(prompt=PROMPT), seed=seed)
    else:
        async with runtime.open(Problem(prompt=PROMPT), seed=seed) as run:
            await run.decode(DecodeRequest(messages=(Message(role="user", content=PROMPT),), n=n, max_tokens=tokens, seed=seed))
    tokens_made = runtime.ledger.total.completion_tokens - before
    return Run(tokens_made, time.perf_counter() - began, time.process_time() - processor)


def directly(server: Any, request: DecodeRequest) -> Run:
    """The same request without k2core; the tokens are those that llama.cpp reports for each choice."""
    counted = 0

    def count(chunk: dict[str, Any]) -> None:
        nonlocal counted
        counted += chunk.get("usage", {}).get("completion_tokens", 0)

    body = {
        "messages": [{"role": m.role, "content": m.content} for m in request.messages],
        "stream": True,
        "stream_options": {"include_usage": True},
        "n": request.n,
        "max_tokens": request.max_tokens,
        "temperature": request.temperature,
        "top_p": request.top_p,
        "top_k": 0,
        "min_p": 0.0,
        "seed": request.seed,
    }
    began, processor = time.perf_counter(), time.process_time()
    server.handle_chat_completions(body, count)
    return Run(counted, time.perf_counter() - began, time.process_time() - processor)


async def compare(options: argparse.Namespace, n: int, threads: int) -> list[tuple[Run, Run]]:
    """Pairs of a run through k2core and one without."""
    config, sampled = pipeline(options, n, threads)
    registry = Registry()
    registry.add("hook", "requests", Requests)
    path = engine.resolve(options.model, threading.Event())
    settings = LlamaCppConfig(model=str(path), threads=threads, parallel=n, context=1024)
    pairs = []
    with tempfile.TemporaryDirectory() as folder:
        server = xllamacpp.Server(engine.parameters(settings, threads, str(Path(folder) / "k2.sock")))
        async with Runtime(config, registry=registry) as runtime:
            for repeat in range(-1, options.repeats):
                k2 = await through_k2core(runtime, sampled, n, options.tokens, seed=repeat + 2)
                direct = await asyncio.to_thread(directly, server, Requests.last)
                if repeat % 2:  # the other way round, with the same request
                    k2 = await through_k2core(runtime, sampled, n, options.tokens, seed=repeat + 2)
                if repeat >= 0:
                    pairs.append((k2, direct))
    return pairs


def report(n: int, pairs: Sequence[tuple[Run, Run]]) -> str:
    """A line of the table."""
    k2, direct = (statistics.median(pair[side].rate for pair in pairs) for side in (0, 1))
    ratios = sorted(a.rate / b.rate for a, b in pairs)
    same = sum(a.tokens == b.tokens for a, b in pairs)
    processor = statistics.median(a.processor / b.processor for a, b in pairs)
    spread = f"{ratios[0]:>8.3f} {ratios[-1]:>8.3f}"
    return f"{n:>3} {k2:>12.1f} {direct:>12.1f} {statistics.median(ratios):>8.3f} {spread} {processor:>9.3f} {same:>5}/{len(pairs)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2-135m-instruct", help="known name or GGUF file")
    parser.add_argument("--repeats", type=int, default=7, help="measured pairs for each n")
    parser.add_argument("--tokens", type=int, default=64, help="most tokens of a completion")
    parser.add_argument("--threads", type=int, default=0, help="threads of both sides; 0: as the decoder would choose")
    options = parser.parse_args()
    threads = options.threads or cores.measure()
    print(f"{options.repeats} pairs each, {options.tokens} tokens a completion, {threads} thread(s)")
    print(f"{'n':>3} {'k2core tok/s':>12} {'direct tok/s':>12} {'ratio':>8} {'least':>8} {'most':>8} {'processor':>9} {'same':>7}")
    for n in CHOICES:
        print(report(n, asyncio.run(compare(options, n, threads))), flush=True)


if __name__ == "__main__":
    main()
