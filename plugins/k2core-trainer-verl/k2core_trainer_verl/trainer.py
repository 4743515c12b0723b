"""The trainer `verl`: from the pipeline's tasks and verifiers to verl's files, verl as a child process, and its checkpoint back."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

from k2core_training.data.skips import Skips
from k2core_training.errors import TrainingError
from k2core_training.events import Checkpointed, Skipped, Stepped
from k2core_training.following.live import Live
from k2core_training.following.metrics import Metrics
from k2core_training.runs import opened
from k2core_training.saving import recover, replacing

from k2core.errors import ConfigError
from k2core.events import Event, RunStarted
from k2core.plugin import Plugin, hookimpl
from k2core.ports import Session
from k2core.types import Problem, Task, TrainReport

from .config import VerlConfig
from .grading import check_verifiers, grading_json
from .launching import Folder, answered, interpreter, located, merge, prepare, train
from .metrics import Following, newest, steps_until
from .process import reason, run
from .sources import gather


class Verl(Plugin):
    """Trains with verl on Ray."""

    config: VerlConfig

    def __init__(self, config: VerlConfig | None = None) -> None:
        super().__init__(config)
        self._pipeline: Mapping[str, Any] = {}

    @hookimpl
    def k2_event(self, event: Event) -> None:
        """A run that starts tells the whole configuration: which verifiers there are, how prompts are written."""
        if isinstance(event, RunStarted):
            self._pipeline = event.config

    @hookimpl
    async def k2_train(self, session: Session, tasks: Sequence[Task]) -> TrainReport:
        """Prepare, train, merge. Raises `ConfigError` for what verl would not take, `TrainingError` when it fails on the way."""
        path = self.path or "trainer"
        if not self.config.model.model:
            raise ConfigError("say which model: a folder in Hugging Face's form, or a name on the hub", f"{path}.model.model")
        python = interpreter(self.config, path)
        with opened(self.config.model_copy(update={"python": "", "environment": {}}), "verl") as root:
            folder = Folder(root.absolute())
            folder.verl.mkdir(exist_ok=True)
            recover(folder.model)
            begin = newest(folder.checkpoints)[0] if self.config.resume else 0
            ended = 0 < self.config.steps <= begin  # verl's trainer for conversations would go on all the same
            step, last = (begin, {}) if ended else await self._made(session, folder, python, tasks, path, begin)
            artifacts = {"metrics": str(folder.root / "metrics.jsonl"), "log": str(folder.log)}
            if self.config.checkpoint.export:
                await self._merge(folder, python)
                artifacts["model"] = str(folder.model)
        usual = {name: value for name, value in last.items() if "/" not in name}
        return TrainReport(steps=step, metrics=usual, artifacts=artifacts)

    async def _made(
        self, session: Session, folder: Folder, python: str, tasks: Sequence[Task], path: str, begin: int
    ) -> tuple[int, dict[str, float]]:
        """Prepare and train, from the step `begin` on. Returns the last step, and the newest value of each metric."""
        fresh = not folder.settings.exists()
        try:
            prepared = await self._prepare(session, folder, python, tasks, path, begin)
        except ConfigError:
            if fresh:
                folder.forget()
            raise
        following = await self._train(session, folder, python, prepared, begin)
        return following.step, following.last

    async def _prepare(
        self, session: Session, folder: Folder, python: str, tasks: Sequence[Task], path: str, begin: int
    ) -> dict[str, Any]:
        """Write the data, and have verl's environment check the settings. Returns how to start the training."""
        async with session.open(Problem(prompt="verl"), seed=0):
            """Only to be told the configuration, by `k2_event`."""
        config = located(self.config, path)
        grading = ""
        if config.stage == "rl":
            grading = grading_json(self._pipeline)
            check_verifiers(config.reward.verifier, self._pipeline, path)
        skips = Skips()
        sources = await asyncio.to_thread(gather, config, folder.verl, tasks, self._pipeline, path, skips)
        for reason_, count in skips.counts.items():
            session.emit(Skipped(reason=reason_, count=count, examples=tuple(skips.examples[reason_])))
        child, answer = prepare(config, folder, python, grading, sources, folder.metrics(begin))
        try:
            async with asyncio.timeout(config.cluster.start_timeout):
                status = await run(child)
        except TimeoutError:
            limit = config.cluster.start_timeout
            raise TrainingError(
                f"no answer of verl's environment in {limit:g} s (cluster.start_timeout); see {folder.log}"
            ) from None
        if status or not answer.exists():
            raise TrainingError(f"verl's environment cannot prepare the run: {reason(folder.log)} ({told(status, folder)})")
        return answered(answer, path)

    async def _train(self, session: Session, folder: Folder, python: str, prepared: Mapping[str, Any], begin: int) -> Following:
        source = folder.metrics(begin)
        source.unlink(missing_ok=True)
        metrics = Metrics(folder.root, steps_until(folder.root / "metrics.jsonl", begin) if begin else 0)

        def stepped(step: int, values: dict[str, float]) -> None:
            kept = metrics.log(step, **values)
            live.update(step, kept)
            session.emit(Stepped(step=step, metrics=kept))

        following = Following(
            source,
            folder.checkpoints,
            folder.errors,
            stepped,
            lambda step, path: session.emit(Checkpointed(step=step, path=path)),
            lambda count, first: session.emit(Skipped(reason="answer not graded", count=count, examples=first)),
        )
        trend = "reward" if self.config.stage == "rl" else "loss"
        try:
            with Live(self.config.steps, self.config.live, "verl", trend) as live:
                live.say("starting Ray and the model")
                with tempfile.TemporaryDirectory(prefix="k2ray-", ignore_cleanup_errors=True) as scratch:
                    child = train(self.config, folder, python, prepared, source, scratch)
                    status = await run(child, following.look)
        finally:
            metrics.close()
        if status:
            last = newest(folder.checkpoints)[0]
            kept = f"go on from the checkpoint of step {last} with --resume" if last else "there is no checkpoint yet"
            why = f"{reason(folder.log)} ({kept}; {told(status, folder)})"
            raise TrainingError(f"verl has failed after step {following.step}: {why}")
        return following

    async def _merge(self, folder: Folder, python: str) -> None:
        step, checkpoint = newest(folder.checkpoints)
        if not step:
            raise TrainingError(f"verl has ended without a checkpoint; see {folder.log}")
        with replacing(folder.model) as target:
            status = await run(merge(self.config, folder, python, checkpoint, target))
            if status:
                why = f"{reason(folder.log)} ({told(status, folder)})"
                raise TrainingError(f"the checkpoint of step {step} cannot be merged: {why}")
            origin = {"trainer": "verl", "step": step, "checkpoint": str(checkpoint)}
            (target / "k2core.json").write_text(json.dumps(origin), encoding="utf-8")


def told(status: int, folder: Folder) -> str:
    """How a child has ended, and where to read more."""
    return f"{f'status {status}' if status >= 0 else f'killed by signal {-status}'}; see {folder.log}"
