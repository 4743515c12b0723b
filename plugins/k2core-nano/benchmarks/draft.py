"""What the draft model brings on k2-nano's own reasoning: is the text the same, how many guesses are right, how much faster is it?

    python benchmarks/draft.py [--decoder llamacpp|transformers] [--n 34] [--choices 1 3] [--draft k2-nano-draft]

Problems of all families, test split, with the prompts of the embedded pipeline. The decoder without and with the draft model has a
process each, so that neither takes computing time from the other; they are asked all problems in turn, and who is first alternates
by round. Rates are tokens over seconds: of whole requests, prompt included, and of decoding alone, the tokens after the first and
the time since that. The ratio's interval is a bootstrap over problems. Texts are compared for the same seeds.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import random
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from typing import Any

from k2core_nano.data import pipeline
from k2core_nano.tasks import NanoTasks
from k2core_sampler.prompt import solver_messages

from k2core import DecodeRequest, Message, PipelineConfig, Runtime

Speculations = dict[str, dict[str, Any]]
Chats = list[tuple[Message, ...]]


def speculations(draft: str, most: int, confidence: float | None) -> Speculations:
    """The option `speculation` of each engine."""
    more = {} if confidence is None else {"confidence": confidence}
    return {"none": {"drafter": "none"}, "draft": {"drafter": "draft-model", "model": draft, "most": most, **more}}


@dataclass
class Work:
    """Tokens and the seconds that they took; one element a request: of all problems, then again in the next round."""

    tokens: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def rate(self, problems: Sequence[int]) -> float:
        return sum(self.tokens[i] for i in problems) / sum(self.seconds[i] for i in problems)

    def add(self, tokens: int, seconds: float) -> None:
        self.tokens.append(tokens)
        self.seconds.append(seconds)


@dataclass(frozen=True)
class Answer:
    """To one request."""

    texts: list[str]
    tokens: int
    seconds: float
    since_first: float
    """Seconds since the first token."""
    drafted: int
    accepted: int


class Server:
    """In a process of its own: a runtime that is open."""

    def __init__(self, options: argparse.Namespace, speculation: dict[str, Any]) -> None:
        decoder = {"use": options.decoder, "model": options.model, "context": 512, "parallel": 8, "speculation": speculation}
        tables = {"sampler": {"use": "single"}, "decoders": {"solver": decoder}, "verifiers": {}, "hooks": {}}
        self._loop = asyncio.new_event_loop()
        self._runtime = Runtime(PipelineConfig.from_dict(tables))
        self._loop.run_until_complete(self._runtime.__aenter__())
        self._run = self._loop.run_until_complete(self._runtime.open("draft", seed=1).__aenter__())

    def ask(self, messages: tuple[Message, ...], n: int, temperature: float) -> Answer:
        request = DecodeRequest(messages=messages, n=n, temperature=temperature, seed=7, max_tokens=224)
        before, began = self._runtime.ledger.total, time.perf_counter()
        made = self._loop.run_until_complete(self._run.decode(request))
        seconds, now = time.perf_counter() - began, self._runtime.ledger.total
        return Answer(
            [f"{one.reasoning}\0{one.text}" for one in made],
            sum(one.tokens for one in made),
            seconds,
            max(one.timing.total for one in made) - min(one.timing.first_token or 0 for one in made),
            now.drafted - before.drafted,
            now.accepted - before.accepted,
        )


_server: Server | None = None


def serve(options: argparse.Namespace, speculation: dict[str, Any]) -> None:
    global _server
    _server = Server(options, speculation)


def served(messages: tuple[Message, ...], n: int, temperature: float) -> Answer:
    assert _server is not None
    return _server.ask(messages, n, temperature)


@dataclass
class Engine:
    """A process with a decoder, and what it has done."""

    process: ProcessPoolExecutor
    requests: Work = field(default_factory=Work)
    decoding: Work = field(default_factory=Work)
    drafted: int = 0
    accepted: int = 0

    @classmethod
    def start(cls, options: argparse.Namespace, speculation: dict[str, Any]) -> Engine:
        return cls(ProcessPoolExecutor(1, get_context("spawn"), serve, (options, speculation)))

    def ask(self, messages: tuple[Message, ...], n: int, temperature: float) -> list[str]:
        answer = self.process.submit(served, messages, n, temperature).result()
        self.requests.add(answer.tokens, answer.seconds)
        self.decoding.add(answer.tokens - n, answer.since_first)
        self.drafted, self.accepted = self.drafted + answer.drafted, self.accepted + answer.accepted
        return answer.texts

    def forget(self) -> None:
        self.requests, self.decoding, self.drafted, self.accepted = Work(), Work(), 0, 0


def chats(count: int, seed: int) -> Chats:
    """As the embedded pipeline asks."""
    sampler = pipeline()["sampler"]
    options = {name: sampler[name] for name in ("system", "instructions") if name in sampler}
    tasks = itertools.islice(NanoTasks().k2_tasks("all", "test", count, seed), count)
    return [solver_messages(task.problem, **options) for task in tasks]


def compared(none: Work, draft: Work, problems: int, draws: int = 2000) -> str:
    """Both rates, how many times that of `none` that of `draft` is, and its 95 % interval over problems."""
    everything = range(len(none.seconds))

    def times(places: Sequence[int]) -> float:
        return draft.rate(places) / none.rate(places)

    def drawn(dice: random.Random) -> list[int]:
        """Some problems, in all rounds."""
        return [place for problem in dice.choices(range(problems), k=problems) for place in everything[problem::problems]]

    dice = random.Random(0)
    found = sorted(times(drawn(dice)) for _ in range(draws))
    interval = f"[{found[int(0.025 * draws)]:.2f}, {found[int(0.975 * draws)]:.2f}]"
    return f"{none.rate(everything):8.1f} {draft.rate(everything):8.1f} {times(everything):6.2f} {interval}"


def measured(engines: dict[str, Engine], asked: Chats, n: int, temperature: float, rounds: int) -> str:
    texts: dict[str, list[str]] = {}
    for engine in engines.values():
        engine.forget()
    for turn in range(rounds):
        for name in sorted(engines, reverse=bool(turn % 2)):
            texts[name] = [text for messages in asked for text in engines[name].ask(messages, n, temperature)]
    same = sum(map(str.__eq__, texts["none"], texts["draft"]))
    none, draft = engines["none"], engines["draft"]
    right, of_text = draft.accepted / max(1, draft.drafted), draft.accepted / max(1, sum(draft.requests.tokens))
    return (
        f"{n:2} {temperature:5.2f} requests {compared(none.requests, draft.requests, len(asked))} "
        f"{right:7.1%} {of_text:7.1%} {same:5} of {n * len(asked)}\n"
        f"         decoding {compared(none.decoding, draft.decoding, len(asked))}"
    )


def main(options: argparse.Namespace) -> None:
    asked = chats(options.n, options.seed)
    wanted = speculations(options.draft, options.most, options.confidence)
    engines = {name: Engine.start(options, speculation) for name, speculation in wanted.items()}
    for engine in engines.values():
        for messages in asked[:3]:
            engine.ask(messages, 1, 0.0)
    print(" N     T             tok/s  + draft  ratio     interval   right of text   the same")
    for n in options.choices:
        for temperature in (0.0, 0.6):
            print(measured(engines, asked, n, temperature, options.rounds), flush=True)
    for engine in engines.values():
        engine.process.shutdown()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--decoder", choices=["llamacpp", "transformers"], default="llamacpp")
    parser.add_argument("--model", default="k2-nano")
    parser.add_argument("--draft", default="k2-nano-draft", help="name, folder, or for llamacpp a GGUF file")
    parser.add_argument("--most", type=int, default=8, help="tokens drafted at a time, at most")
    parser.add_argument("--confidence", type=float, help="llamacpp: it stops drafting at a token that it holds for less likely")
    parser.add_argument("--n", type=int, default=34, help="problems")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--choices", type=int, nargs="+", default=[1, 3])
    parser.add_argument("--seed", type=int, default=0)
    main(parser.parse_args())
