"""Graders: verifier-only pipelines, one for every task, or for several that are graded alike."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any

from k2core.config import PipelineConfig
from k2core.errors import ConfigError
from k2core.registry import Registry
from k2core.runtime import Runtime
from k2core.toolkit.benchmark import Benchmark
from k2core.types import Candidate, Verdict

from ..records import Graded, Outcome, Referenced, Spent
from ..running.recording import Recorder, add_recorder

DECODERS = "decoders"
"""The table of `[grading]` that is no task's: models that graders ask."""
_NAME = "grader"
_PAUSE = 1.0
"""Seconds before a grader asks again whose model did not answer."""
_DECIDED: Mapping[str, Outcome] = {"correct": "correct", "incorrect": "incorrect", "error": "verifier_error"}


def grader_config(name: str, card: Benchmark, grading: Mapping[str, Any], source: str = "") -> dict[str, Any]:
    """The pipeline that grades a task: the card's grader, `[grading.<task>]` over it, and the decoders that graders may ask.

    That table may also bear the name of the data set or of the task's `source`, such as `jsonl` for files.
    A table that names another `use` is a grader of its own and gets none of the card's options.
    """
    own: Any = next((grading[known] for known in _names(name, card, source) if known in grading), {})
    if not isinstance(own, Mapping):
        raise ConfigError("must be a table of the grader's options", f"grading.{name}")
    use = own.get("use", card.grader.use)
    options = {**(card.grader.options if use == card.grader.use else {}), **own, "use": use}
    config: dict[str, Any] = {"verifiers": {_NAME: options}}
    if decoders := grading.get(DECODERS):
        config |= {"decoders": decoders, "sampler": {"use": "single", "decoder": next(iter(decoders))}}
    return config


def _names(name: str, card: Benchmark, source: str) -> tuple[str, ...]:
    return name, card.name, source or name.partition(":")[0]


class Graders:
    """The graders of some tasks, started and stopped together."""

    def __init__(
        self,
        cards: Mapping[str, Benchmark],
        grading: Mapping[str, Any],
        registry: Registry | None = None,
        sources: Mapping[str, str] | None = None,
    ) -> None:
        """`sources` are the names of the tasks' sources. Raises `ConfigError` when a grader cannot be put together, or when a
        table of `[grading]` belongs to no task."""
        registry, sources = registry or Registry(), sources or {}
        known = {DECODERS}.union(*(_names(name, card, sources.get(name, "")) for name, card in cards.items()))
        for name in grading:
            if name not in known:
                raise ConfigError(
                    f"no task of this evaluation has that name; there are: {', '.join(sorted(cards))}", f"grading.{name}"
                )
        self.patience = 600.0
        """Seconds for which a model that a grader asks may be out of reach."""
        self._runtimes: dict[str, Runtime] = {}
        self._of: dict[str, Runtime] = {}
        self.effective: dict[str, Any] = {}
        """By task: the grader's whole configuration."""
        self.origins: dict[str, str] = {}
        for name, card in cards.items():
            self._add(name, grader_config(name, card, grading, sources.get(name, "")), registry)

    def _add(self, name: str, data: dict[str, Any], registry: Registry) -> None:
        key = json.dumps(data, sort_keys=True, default=str)
        config = PipelineConfig.from_dict(data, source=f"the grader of {name}")
        for slot in registry.assemble(config):
            if slot.origin and slot.role in ("verifier", "decoder"):
                path = slot.path.replace(f"verifiers.{_NAME}", name)
                self.origins[f"grading.{path}"] = slot.origin
        if key not in self._runtimes:
            self._runtimes[key] = Runtime(add_recorder(config, registry) if config.decoders else config, registry=registry)
        self._of[name] = self._runtimes[key]
        effective = self._of[name].effective
        self.effective[name] = {part: effective[part] for part in ("verifiers", DECODERS) if effective.get(part)}

    async def __aenter__(self) -> Graders:
        async with AsyncExitStack() as stack:
            for runtime in self._runtimes.values():
                await stack.enter_async_context(runtime)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def grade(
        self, task: str, row: Referenced, candidates: Sequence[Candidate], own: Mapping[str, float], seed: int
    ) -> tuple[list[Graded], tuple[Spent, ...], list[str]]:
        """What the task's grader says of each candidate, what it spent on asking models, and its warnings.

        `own` are the pipeline's scores.
        """
        runtime = self._of[task]
        recorder = Recorder(trace=False)
        for pause in _pauses(self.patience):
            recorder.forgive()
            with recorder:
                async with runtime.open(row.problem, seed=seed) as run:
                    verdicts = await run.verify(candidates, row.reference, only=_NAME)
            if not recorder.lost:
                break
            await asyncio.sleep(pause)  # a judge's server is down: that is no verdict
        graded = [_graded(c, v, own.get(c.id)) for c, v in zip(candidates, verdicts, strict=True)]
        return graded, recorder.spent(), [f"grader: {warning}" for warning in run.warnings]


def _pauses(patience: float) -> Iterator[float]:
    """Seconds between tries, doubled up to a minute, for as long as the patience lasts; the last is nothing."""
    pause, spent = _PAUSE, 0.0
    while spent < patience:
        yield pause
        spent += pause
        pause = min(60.0, 2 * pause)
    yield 0.0


def _graded(candidate: Candidate, verdict: Verdict, own_score: float | None) -> Graded:
    made, outcome = candidate.completion, outcome_of(candidate, verdict)
    return Graded(
        id=candidate.id,
        text=candidate.text,
        tokens=made.tokens if made else 0,
        finish=made.finish if made else "stop",
        outcome=outcome,
        score=verdict.score if outcome in ("correct", "incorrect") else 0.0,
        answer=verdict.answer,
        key=verdict.key,
        reason=verdict.reason,
        own_score=own_score,
    )


def outcome_of(candidate: Candidate, verdict: Verdict) -> Outcome:
    """A verdict as an outcome. A candidate that was cut off before it had given any answer is `truncated`, not `unparsed`."""
    if verdict.status in _DECIDED:
        return _DECIDED[verdict.status]
    cut = candidate.completion is not None and candidate.completion.finish == "length"
    if cut and verdict.answer is None:
        return "truncated"
    return "unparsed" if verdict.status == "unparsed" else "undecided"
