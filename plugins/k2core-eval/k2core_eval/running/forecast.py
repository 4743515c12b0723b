"""What an evaluation will cost at most, and probably, before it is begun.

The pipeline is run on some of the problems with decoders that ask no model: they write down what is asked for and answer
each time something else, so that nothing agrees and nothing ends early. The bound takes every call to be as long as it may be.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from k2core.config import PipelineConfig
from k2core.errors import K2Error, explain
from k2core.plugin import Plugin, PluginConfig, hookimpl
from k2core.registry import Registry
from k2core.runtime import Runtime
from k2core.types import Completion, DecodeRequest, Problem

from ..records import Sample

BYTES = 4
"""Bytes of a prompt that are taken for a token."""
MOST_PROMPTS = 16
"""Problems that the forecast looks at."""
_MARK = re.compile(r"⟦(\d+)⟧")


@dataclass
class Tokens:
    """Tokens and their price."""

    prompt: float = 0.0
    completion: float = 0.0
    cost: float = 0.0

    def add(self, prompt: float, completion: float, cost: float) -> None:
        self.prompt += prompt
        self.completion += completion
        self.cost += cost


@dataclass
class Forecast:
    """For all samples, by role. `basis` says in words what it rests on."""

    samples: int
    basis: str
    roles: dict[str, Tokens] = field(default_factory=lambda: defaultdict(Tokens))

    def text(self) -> str:
        parts = [f"{role} {_short(t.prompt)} + {_short(t.completion)}" for role, t in sorted(self.roles.items())]
        cost = sum(t.cost for t in self.roles.values())
        tail = f"; cost {cost:.4g}" if cost else ""
        return f"{', '.join(parts) or 'no'} tokens (prompt + completion) for {self.samples:,} samples{tail}; {self.basis}"


async def bound(config: PipelineConfig, problems: Sequence[Problem], samples: int, registry: Registry | None = None) -> Forecast:
    """The most that `samples` runs can use, judged by these problems."""
    asked = list[tuple[DecodeRequest, float]]()
    registry = registry or Registry()
    registry.add("decoder", "forecast", _recording(asked))
    async with Runtime(_offline(config), registry=registry) as runtime:
        trouble = ""
        for problem in problems:
            try:
                await runtime.solve(problem, seed=0)
            except K2Error as error:  # some pipelines cannot work on made-up answers
                trouble = f"; it could not be followed to the end: {explain(error)}"
    basis = f"at most, as {len(problems)} prompts at {BYTES} bytes a token and every completion as long as it may be make it"
    forecast = Forecast(samples, basis + trouble)
    for request, prompt in asked:
        completion = request.n * request.max_tokens
        price = config.prices.get(request.decoder)
        cost = (prompt * price.prompt + completion * price.completion) / 1e6 if price else 0.0
        scale = samples / len(problems)
        forecast.roles[request.role].add(prompt * scale, completion * scale, cost * scale)
    return forecast


def expectation(samples: Iterable[Sample], total: int) -> Forecast | None:
    """What `total` samples will use if they go on as those that are there; None when there is none."""
    sums: dict[str, Tokens] = defaultdict(Tokens)
    count = 0
    for sample in samples:
        count += 1
        for one in sample.spent:
            sums[one.role].add(one.usage.prompt_tokens, one.usage.completion_tokens, one.usage.cost)
    if not count:
        return None
    forecast = Forecast(total, f"expected, as the {count:,} samples that are there have used on average")
    for role, tokens in sums.items():
        forecast.roles[role].add(*(value * total / count for value in (tokens.prompt, tokens.completion, tokens.cost)))
    return forecast


def _offline(config: PipelineConfig) -> PipelineConfig:
    """Without hooks, with decoders that ask nobody, and with a sampler that remembers nothing of it."""
    data = config.model_dump(exclude_unset=True)
    data["decoders"] = {name: {"use": "forecast"} for name in config.decoders}
    data["hooks"] = {}
    if data.get("sampler", {}).get("memory"):
        data["sampler"]["memory"] = ""
    return PipelineConfig.from_dict(data)


def _recording(asked: list[tuple[DecodeRequest, float]]) -> type[Plugin]:
    """A decoder whose answers stand for ones of full length: where one is part of a later prompt, it counts as that."""
    lengths: dict[int, int] = {}

    class Recording(Plugin):
        config: RecordingConfig
        calls_tools = True

        @hookimpl
        async def k2_decode(self, request: DecodeRequest) -> Sequence[Completion]:
            text = "\n".join(message.content for message in request.messages)
            inside = sum(lengths.get(int(number), 0) for number in _MARK.findall(text))
            asked.append((request, len(text.encode("utf-8", "replace")) / BYTES + inside))
            return [_answer(request, lengths) for _ in range(request.n)]

    return Recording


class RecordingConfig(PluginConfig):
    """There is nothing to set."""


def _answer(request: DecodeRequest, lengths: dict[int, int]) -> Completion:
    number = len(lengths)
    lengths[number] = request.max_tokens
    return Completion(text=f"⟦{number}⟧ \\boxed{{{number}}}", tokens=1)


def _short(count: float) -> str:
    for unit, name in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if count >= unit:
            return f"{count / unit:.3g}{name}"
    return f"{count:.0f}"
