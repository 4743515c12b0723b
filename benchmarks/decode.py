"""Tokens a second and peak memory of the decoders of this machine, side by side.

    python benchmarks/decode.py --engines ours,transformers,llamacpp

Each engine lives in a process of its own and answers when it is its turn: the rounds are interleaved, and medians of the rounds
are shown. Only ratios within one run mean something. Prompts and temperature are those of `examples/smollm2.toml`'s sampler; the
questions are made-up word problems, or those of --questions FILE (JSON lines with `problem`).
--vllm PYTHON adds vLLM (k2core-decoder-vllm) with the interpreter of its environment. --speculation compares drafters instead, on
text that is copied, on text that is asked to be copied but is reworded, and on free text. --device cuda --bandwidth GB/s adds the
share of the hardware's memory bandwidth that reading the weights takes.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

QUESTIONS = [
    question
    for i in range(3, 23, 2)
    for question in (
        f"A gardener plants {i} rows of 12 tulips. A quarter of them do not grow. How many tulips grow?",
        f"Nora reads {i} pages on Monday and twice as many on Tuesday. The book has 120 pages. How many are left?",
        f"A ferry carries {5 * i} cars a trip and makes 6 trips a day. How many cars does it carry in a week?",
        f"Tickets cost {i + 4} coins for adults and {i} for children. What do 3 adults and 4 children pay?",
    )
]
PROSE = (
    "The old clock in the hall struck nine when Martha came down the stairs. She carried a lamp in her left hand and three "
    "letters in her right. Nobody had slept that night, and the dog had not stopped barking since the bell rang at the gate. "
    "Outside, a man in a grey coat walked up and down in the snow. He looked at his watch, then at the windows, then at his watch "
    "again. When the door opened at last, he took off his hat and said that the bridge was gone, and the road with it."
)
CODE = """def total(prices, discount):
    \"\"\"The sum of the prices after the discount.\"\"\"
    result = 0
    for price in prices:
        result = result + price * (1 - discount)
    return result


def average(prices, discount):
    \"\"\"The mean price after the discount.\"\"\"
    if not prices:
        return 0
    return total(prices, discount) / len(prices)
"""
LIST = ", ".join(f"item {i} costs {3 * i + 2} coins" for i in range(1, 13)) + "."
FREE = "Write a story about a fox that crosses a frozen lake at night."
TEXTS = {
    "copied": [
        (f"Copy this text five times, word for word:\n\n{text}", f"{text}\n\n{text}\n\n{text[:20]}") for text in (PROSE, CODE)
    ],
    "reworded": [(f"Repeat this list word for word, ten times: {LIST}", "")],
    "free": [(FREE, "")],
}
"""For --speculation, questions with answers that have been begun. A small model asked to copy rewords unless it has begun well."""
SPECULATIONS: dict[str, dict[str, Any]] = {
    "none": {"drafter": "none"},
    "prompt-lookup": {"drafter": "prompt-lookup"},
    "sibling": {"drafter": "sibling"},
}


def prompts(questions: Sequence[str]) -> list[dict[str, Any]]:
    """What the sampler of `examples/smollm2.toml` asks a decoder for each question."""
    from k2core_sampler.prompt import Example, solver_messages

    from k2core import Problem
    from k2core.config import read_tables

    table = read_tables(Path(__file__).parents[1] / "examples" / "smollm2.toml")["sampler"]
    examples = [Example.model_validate(one) for one in table["examples"]]
    chats = [solver_messages(Problem(prompt=question), examples=examples) for question in questions]
    heat = {name: table[name] for name in ("temperature", "top_p")}
    return [{"messages": [{"role": m.role, "content": m.content} for m in chat], **heat} for chat in chats]


def plain(question: str, begun: str = "") -> dict[str, Any]:
    messages = [{"role": "user", "content": question}, {"role": "assistant", "content": begun}]
    return {"messages": messages[: 2 if begun else 1], "continue_last": bool(begun), "temperature": 0.6, "top_p": 0.95}


# one engine, in a process of its own


async def serve(name: str, options: dict[str, Any]) -> None:
    """Answer lines of JSON, {messages, n, tokens, seed, temperature, top_p, perhaps continue_last}, until the input ends.

    An answer is {tokens, seconds, cpu seconds, peak MiB, drafted, accepted}.
    """
    ask = await (generate(options) if name == "transformers" else decoder(name, options))
    print(json.dumps({"ready": True}), flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        began, worked = time.perf_counter(), time.process_time()
        found = await ask(json.loads(line))
        found |= {"seconds": time.perf_counter() - began, "cpu": time.process_time() - worked}
        found["peak"] = _peak()
        print(json.dumps(found), flush=True)


def _peak() -> float:
    """MiB at most, of this process and its children, whose peaks need not have come at the same time."""
    import psutil

    peaks = [resource.getrusage(resource.RUSAGE_SELF).ru_maxrss]
    for child in psutil.Process().children(recursive=True):
        lines = Path(f"/proc/{child.pid}/status").read_text().splitlines()
        peaks += [int(line.split()[1]) for line in lines if line.startswith("VmHWM:")]
    return sum(peaks) / 1024


async def decoder(use: str, options: dict[str, Any]) -> Any:
    from k2core import DecodeRequest, Message, PipelineConfig, Problem, Runtime

    name = "transformers" if use == "ours" else use
    tables = {"sampler": {"use": "single"}, "verifiers": {}, "decoders": {"solver": {"use": name, **options}}}
    runtime = Runtime(PipelineConfig.from_dict(tables))
    await runtime.start()

    async def ask(item: dict[str, Any]) -> dict[str, Any]:
        async with runtime.open(Problem(prompt="benchmark")) as run:
            request = DecodeRequest(
                messages=tuple(Message(**turn) for turn in item["messages"]),
                n=item["n"],
                max_tokens=item["tokens"],
                seed=item["seed"],
                temperature=item["temperature"],
                top_p=item["top_p"],
                continue_last=item.get("continue_last", False),
            )
            made = await run.decode(request)
            usage = run.usage["solve"]
            return {"tokens": sum(c.tokens for c in made), "drafted": usage.drafted, "accepted": usage.accepted}

    return ask


async def generate(options: dict[str, Any]) -> Any:
    """`transformers.generate(num_return_sequences=N)` on the same weights."""
    import torch
    from k2core_decoder_transformers import TransformersConfig
    from k2core_decoder_transformers.loading import load

    if threads := options.pop("threads", 0):
        torch.set_num_threads(threads)
    options.pop("speculation", None)
    loaded: Any = load(TransformersConfig(**options))
    device = next(loaded.model.parameters()).device

    async def ask(item: dict[str, Any]) -> dict[str, Any]:
        ids = loaded.tokenizer.apply_chat_template(
            item["messages"], add_generation_prompt=True, return_tensors="pt", return_dict=True
        ).to(device)
        torch.manual_seed(item["seed"])
        with torch.inference_mode():
            out = loaded.model.generate(
                **ids,
                do_sample=True,
                temperature=item["temperature"],
                top_p=item["top_p"],
                top_k=0,
                num_return_sequences=item["n"],
                max_new_tokens=item["tokens"],
            )
        rows = out[:, ids["input_ids"].shape[1] :].tolist()
        return {"tokens": sum(_length(row, loaded.eos) for row in rows)}

    return ask


def _length(row: list[int], eos: frozenset[int]) -> int:
    return next((place + 1 for place, token in enumerate(row) if token in eos), len(row))


# the bench


class Server:
    """One engine's process."""

    def __init__(self, label: str, name: str, options: dict[str, Any], python: str = sys.executable) -> None:
        self.label = label
        command = [python, __file__, "--serve", name, "--options", json.dumps(options)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._line()

    def _line(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        while line := self.process.stdout.readline():
            if line.startswith("{"):
                return dict(json.loads(line))
        raise RuntimeError(f"{self.label} ended with status {self.process.wait()}")

    def ask(self, **item: Any) -> dict[str, Any]:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(item) + "\n")
        self.process.stdin.flush()
        return self._line()

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def measure(
    servers: list[Server], items: list[dict[str, Any]], ns: list[int], tokens: int, rounds: int
) -> dict[tuple[str, int], list[dict[str, Any]]]:
    """Interleaved: every engine answers the same question before the next is asked, and none twice while there are others."""
    found: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for server in servers:
        server.ask(**items[-1], n=1, tokens=4, seed=0)
    for turn in range(rounds):
        for place, n in enumerate(ns):
            item = items[(turn + place * rounds) % len(items)]  # every count of completions meets every item, if there are few
            for server in servers if turn % 2 == 0 else servers[::-1]:
                answer = server.ask(**item, n=n, tokens=tokens, seed=turn)
                found.setdefault((server.label, n), []).append(answer)
    return found


def table(found: dict[tuple[str, int], list[dict[str, Any]]], ns: list[int], base: str, given: argparse.Namespace) -> None:
    clock, bandwidth = "cpu" if given.cpu else "seconds", given.bandwidth
    labels = list(dict.fromkeys(label for label, _ in found))
    print(f"{'engine':<16}" + "".join(f"{f'N={n}':>9}{'ratio':>7}" for n in ns) + f"{'MiB':>8}{'accepted':>14}")
    for label in labels:
        line = f"{label:<16}"
        for n in ns:
            speeds, bases = _speeds(found[label, n], clock), _speeds(found[base, n], clock)
            ratio = statistics.median(one / other for one, other in zip(speeds, bases, strict=True))
            line += f"{statistics.median(speeds):>9.1f}{ratio:>7.2f}"
        peak = max(item["peak"] for n in ns for item in found[label, n])
        print(line + f"{peak:>8.0f}{' '.join(_accepted(found[label, n]) for n in ns):>14}")
        if bandwidth:
            steps = [statistics.median(_speeds(found[label, n], clock)) / n for n in ns]
            print(f"{'  bandwidth':<16}" + "".join(f"{given.weights * step / bandwidth:>16.3f}" for step in steps))


def _accepted(items: list[dict[str, Any]]) -> str:
    """The share of what was drafted."""
    drafted = sum(item.get("drafted", 0) for item in items)
    return f"{sum(item.get('accepted', 0) for item in items) / drafted:.2f}" if drafted else "-"


def _speeds(items: list[dict[str, Any]], clock: str) -> list[float]:
    return [item["tokens"] / item[clock] for item in items]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engines", default="ours,transformers,llamacpp")
    parser.add_argument("--model", default="smollm2-135m-instruct")
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--bandwidth", type=float, default=0.0, help="the hardware's memory bandwidth, GB/s")
    parser.add_argument("--weights", type=float, default=0.269, help="bytes of the weights that a step reads, GB")
    parser.add_argument("--ns", default="1,3,8,16")
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--questions", help="a file of JSON lines with `problem`")
    cpu = "tokens a second of processor time: with --threads 1, where others use the machine; not for vLLM, which is several"
    parser.add_argument("--cpu", action="store_true", help=cpu)
    parser.add_argument("--vllm", metavar="PYTHON")
    parser.add_argument("--vllm-model", default="", help="a folder with the same weights")
    parser.add_argument("--vllm-eager", action="store_true", help="without compilation: it starts sooner")
    parser.add_argument("--speculation", action="store_true")
    parser.add_argument("--texts", default=",".join(TEXTS), help="those that --speculation decodes")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    parser.add_argument("--options", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        asyncio.run(serve(given.serve, json.loads(given.options)))
        return
    bench(given)


def vllm_options(given: argparse.Namespace, parallel: int) -> dict[str, Any]:
    """vLLM as it is fastest on this device; --vllm-eager leaves its compilation out, which takes minutes."""
    engine = {"dtype": given.dtype, "max_num_seqs": parallel, "enforce_eager": given.vllm_eager}
    options: dict[str, Any] = {"model": given.vllm_model or given.model, "context": 1024, "engine": engine}
    if given.device == "cpu":
        cores = sorted(os.sched_getaffinity(0))
        bind = f"{cores[0]}-{cores[given.threads - 1 if given.threads else -1]}"
        options["environment"] = {"VLLM_CPU_KVCACHE_SPACE": "2", "VLLM_CPU_OMP_THREADS_BIND": bind}
    return options


def bench(given: argparse.Namespace) -> None:
    ns = [int(n) for n in given.ns.split(",")]
    torch_options = {"model": given.model, "dtype": given.dtype, "device": given.device, "threads": given.threads, "context": 1024}
    servers: list[Server] = []
    try:
        if given.speculation:
            for name, options in SPECULATIONS.items():
                servers.append(Server(name, "ours", {**torch_options, "speculation": options}))
            for title in given.texts.split(","):
                texts = TEXTS[title]
                print(title, flush=True)
                table(measure(servers, [plain(*text) for text in texts], ns, given.tokens, given.rounds), ns, "none", given)
            return
        for name in given.engines.split(","):
            options = {"model": given.model, "context": 1024, "parallel": max(ns)} if name == "llamacpp" else torch_options
            servers.append(Server(name, name, {**options, "speculation": SPECULATIONS["none"]} if name == "ours" else options))
        if given.vllm:
            servers.append(Server("vllm", "vllm", vllm_options(given, max(ns)), given.vllm))
        lines = Path(given.questions).read_text().splitlines()[: given.rounds * len(ns) + 1] if given.questions else []
        items = prompts([json.loads(line)["problem"] for line in lines] or QUESTIONS)
        base = "transformers" if "transformers" in given.engines else servers[0].label
        table(measure(servers, items, ns, given.tokens, given.rounds), ns, base, given)
    finally:
        for server in servers:
            server.close()


if __name__ == "__main__":
    main()
