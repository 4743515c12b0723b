"""A pipeline with a tiny model, a rule for a verifier and the trainer; also a program, which tests kill."""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

from k2core_trainer_grpo import Grpo

from k2core import Candidate, PipelineConfig, Plugin, PluginConfig, Problem, Registry, Runtime, Task, TrainReport, Verdict, hookimpl
from k2core.events import Event
from k2core.testing import FakeDecoder

LETTER = "e"


def model(folder: Path, **options: Any) -> Path:
    from tiny_models import tiny  # which a test finds, and the program does not need

    made: Path = tiny().make(folder, **{"spread": 0.2, "context": 1024, **options})
    return made


class RuleConfig(PluginConfig):
    pass


class Rule(Plugin):
    """The share of a text's characters that are the letter; a subclass may do worse."""

    config: RuleConfig
    listwise: ClassVar[bool] = False

    @hookimpl
    async def k2_verify(self, candidates: Sequence[Candidate], reference: str | None) -> Sequence[Verdict]:
        return [await self.judge(candidate) for candidate in candidates]

    async def judge(self, candidate: Candidate) -> Verdict:
        text = candidate.text
        return Verdict(candidate_id=candidate.id, status="correct", score=text.count(LETTER) / max(1, len(text)))


class Ears(Plugin):
    """Tells a function every event."""

    config: RuleConfig
    told: ClassVar[Callable[[Event], None]]

    @hookimpl
    def k2_event(self, event: Event) -> None:
        type(self).told(event)


def tasks(count: int = 6) -> list[Task]:
    domains = ("math", "words")
    return [
        Task(problem=Problem(prompt=f"How many plums are {n} and {n}?", domain=domains[n % 2]), reference=str(2 * n))
        for n in range(count)
    ]


def tables(folder: Path, out: Path, **trainer: Any) -> dict[str, Any]:
    options = {
        "use": "grpo",
        "out": str(out),
        "live": False,
        "prompts": 3,
        "group": 4,
        "max_tokens": 12,
        "steps": 4,
        "model": {"model": str(folder), "dtype": "float32", "threads": 1},
        "optimizer": {"lr": 1e-3, "schedule": "constant"},
        "checkpoint": {"every": 1},
    }
    decoder = {"use": "transformers", "model": str(folder), "dtype": "float32", "threads": 1, "context": 1024}
    return {
        "sampler": {"use": "single", "max_tokens": 16},
        "decoders": {"solver": decoder},
        "verifiers": {"rule": {}},
        "trainer": merged(options, trainer),
    }


def merged(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    both = {k: merged(one[k], other[k]) if isinstance(one.get(k), dict) and isinstance(other[k], dict) else other[k] for k in other}
    return {**one, **both}


def runtime(config: dict[str, Any], rule: type[Plugin] = Rule, told: Callable[[Event], None] | None = None) -> Runtime:
    registry = Registry()
    registry.add("verifier", "rule", rule)
    registry.add("trainer", "grpo", Grpo)
    registry.add("decoder", "fake", FakeDecoder)
    if told is not None:
        registry.add("hook", "ears", type("Ears", (Ears,), {"told": staticmethod(told), "__module__": __name__}))
        config = {**config, "hooks": {"ears": {}}}
    return Runtime(PipelineConfig.from_dict(config), registry=registry)


def train(
    config: dict[str, Any],
    given: Sequence[Task] | None = None,
    rule: type[Plugin] = Rule,
    told: Callable[[Event], None] | None = None,
) -> TrainReport:
    async def main() -> TrainReport:
        async with runtime(config, rule, told) as made:
            return await made.train(tasks() if given is None else given)

    return asyncio.run(main())


def metrics(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("config")
    given = parser.parse_args()
    train(json.loads(given.config))
