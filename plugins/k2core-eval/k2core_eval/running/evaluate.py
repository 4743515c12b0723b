"""One evaluation from its settings to its finished folder."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from k2core.config import validated
from k2core.errors import ConfigError, K2Error, explain
from k2core.registry import Registry
from k2core.types import Problem

from ..records import Manifest, Spent, TaskRun
from ..scoring.client import Scorer
from ..store.folder import MANIFEST, Folder
from ..store.layout import DONE, OPEN, Layout
from ..store.lock import locked
from .attempts import Attempts, Interrupted
from .executor import Executor
from .forecast import MOST_PROMPTS, Forecast, bound, expectation
from .gate import Gate, OutOfPatience
from .jobs import jobs, spread
from .local import LocalExecutor
from .loop import Loop
from .manifest import manifest_of, settle
from .progress import Progress
from .settings import Settings

_SEVERAL = 4
"""So many failed tries in a row hold back further work, or twice the concurrency if that is more."""
_FORECAST = 10.0
"""Seconds that the forecast may take."""


@dataclass
class Ended:
    """How it went."""

    complete: bool
    failed: int
    """Samples written as `infrastructure`."""
    text: str = ""
    """The figures, for people."""
    trouble: str = ""
    """Why it is not complete."""


async def evaluate(
    settings: Settings, registry: Registry | None = None, executor: Executor | None = None, origin: str = ""
) -> Ended:
    """Run what is still to do, by an `executor` other than the settings' if one is given; `origin` as in `Manifest`.

    Raises `ConfigError` before anything has been asked of a model, and `K2Error` or `OSError` when it cannot go on.
    """
    check(settings)
    folder, registry = Folder(settings.out), registry or Registry()
    with locked(folder.path) as lock, Progress() as progress:
        async with Scorer(lock, lambda reason: progress.say(f"{reason}; another takes over")) as scorer:
            opened, _ = await scorer.setup(open_message(settings, folder.path))
            manifest = manifest_of(settings, opened, registry, origin)
            settle(folder, manifest)
            asks = executor is None
            executor = executor or executor_of(settings, registry)
            return await _Evaluation(settings, folder, manifest, scorer, executor, progress).run(registry if asks else None)


async def foresee(settings: Settings) -> list[Forecast]:
    """What it will take at most and, where there are samples already, probably. Asks no model and writes nothing that stays."""
    check(settings)
    with tempfile.TemporaryDirectory() as place:
        async with Scorer() as scorer:
            opened, _ = await scorer.setup(open_message(settings, Path(place)))
            layout = Layout([validated(TaskRun, task) for task in opened["tasks"]])
            forecasts = [await bound(settings.config, await some(scorer, layout), layout.total)]
            manifest = manifest_of(settings, opened)
    folder = Folder(settings.out)
    if folder.file(MANIFEST).exists() and folder.manifest() == manifest:
        expected = expectation(folder.samples(), layout.total)
        forecasts += [expected] if expected else []
    return forecasts


async def some(scorer: Scorer, layout: Layout) -> list[Problem]:
    """A few problems, spread evenly over all tasks."""
    many = min(MOST_PROMPTS, max(3, layout.total // 100))  # it is to cost nothing beside the evaluation itself
    ids = dict.fromkeys(layout.id(number)[:2] for number in spread(layout.total, many))
    asked = [scorer.tell({"do": "problem_lines", "task": task, "start": place, "count": 1}) for task, place in ids]
    return [Problem.model_validate_json((await one)[1]) for one in asked]


def open_message(settings: Settings, folder: Path) -> dict[str, Any]:
    """What the scorer must know to load tasks and graders."""
    return {
        "do": "open",
        "folder": str(folder),
        "tasks": list(settings.tasks),
        "configured": settings.sources,
        "grading": settings.grading,
        "data": settings.data,
        "limit": settings.limit,
        "seed": settings.seed,
        "repeats": settings.repeats,
        "patience": settings.patience,
    }


def executor_of(settings: Settings, registry: Registry | None = None) -> Executor:
    """Where the settings want the pipeline to run."""
    if settings.executor == "ray":
        from .ray import RayExecutor

        return RayExecutor(settings.config, concurrency=settings.concurrency, address=settings.address, workers=settings.workers)
    return LocalExecutor(settings.config, registry)


def head_of(manifest: Manifest) -> bytes:
    """The first line of `traces.jsonl`."""
    plugins = {path: origin for path, origin in manifest.plugins.items() if not path.startswith(("grading.", "tasks."))}
    head = {"kind": "pipeline", "config": manifest.config, "plugins": plugins}
    return json.dumps(head, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace") + b"\n"


class _Evaluation:
    def __init__(
        self, settings: Settings, folder: Folder, manifest: Manifest, scorer: Scorer, executor: Executor, progress: Progress
    ) -> None:
        self._settings, self._folder, self._manifest, self._scorer = settings, folder, manifest, scorer
        self._executor, self._progress = executor, progress
        self._layout = Layout(manifest.tasks)

    async def run(self, registry: Registry | None) -> Ended:
        """With a registry, a forecast comes first."""
        begun, states = await self._begin()
        attempts = Attempts(self._folder)
        left = attempts.open(self._layout, states, begun["dropped"])
        self._progress.start(self._layout.total, states.count(DONE))
        self._tell(left, begun["dropped"])
        trouble = ""
        try:
            if OPEN in states:
                if registry:
                    await self._foresee(states.count(OPEN), registry)
                async with self._executor as executor:
                    trouble = await self._loop(executor, attempts, states)
            ended, _ = await self._scorer.ask({"do": "finish"})
        finally:
            attempts.close()
        return Ended(ended["complete"], ended["failed"], ended["text"], trouble)

    async def _begin(self) -> tuple[Mapping[str, Any], bytes]:
        tasks = [task.model_dump(mode="json") for task in self._manifest.tasks]
        begin = {"do": "begin", "folder": str(self._folder.path), "tasks": tasks, "again": True}
        return await self._scorer.setup(begin, head_of(self._manifest), {**begin, "again": False})

    def _tell(self, left: Interrupted, dropped: int) -> None:
        progress = self._progress
        if progress.finished:
            progress.say(f"going on: {progress.finished} of {progress.total} samples are there")
        if left.samples:
            progress.say(
                f"{left.samples} runs have been interrupted so far; they are made again, and what they had spent is not known"
            )
        if dropped:
            progress.say(f"{dropped} samples had failed for want of infrastructure and are tried again")

    async def _foresee(self, samples: int, registry: Registry) -> None:
        try:
            async with asyncio.timeout(_FORECAST):
                forecast = await bound(self._settings.config, await some(self._scorer, self._layout), samples, registry)
        except (K2Error, TimeoutError) as error:
            self._progress.say(f"no forecast: {explain(error)}")
        else:
            self._progress.say(f"forecast: {forecast.text()}")

    async def _loop(self, executor: Executor, attempts: Attempts, states: bytes) -> str:
        settings, progress = self._settings, self._progress
        gate = Gate(max(_SEVERAL, 2 * settings.concurrency), settings.patience, progress.say)
        loop = Loop(executor, self._scorer, attempts, progress, gate, settings.concurrency, peek=settings.peek)
        try:
            await loop.run(jobs(self._scorer, self._layout, states, settings.seed, settings.probe))
        except OutOfPatience as error:
            return str(error)
        finally:
            attempts.note("ended", abandoned=_tokens(getattr(executor, "abandoned", ())))
        return ""


def _tokens(spent: tuple[Spent, ...] | list[Spent]) -> dict[str, int]:
    """Tokens by role."""
    tokens: dict[str, int] = {}
    for one in spent:
        tokens[one.role] = tokens.get(one.role, 0) + one.usage.tokens
    return tokens


def check(settings: Settings) -> None:
    """Raise `ConfigError` for numbers that make no sense."""
    for name, value, least in (
        ("--repeats", settings.repeats, 1),
        ("--concurrency", settings.concurrency, 1),
        ("--limit", settings.limit, 1),
        ("--patience", settings.patience, 0),
        ("--probe", settings.probe, 0),
        ("--ray-workers", settings.workers, 0),
    ):
        if value is not None and value < least:
            raise ConfigError(f"must be at least {least}, not {value}", name)
    if not 0 <= settings.seed < 2**31:
        raise ConfigError(f"must be from 0 to {2**31 - 1}, not {settings.seed}", "--seed")
