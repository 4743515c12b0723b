"""The loop that trainers share: on from the last whole checkpoint, a step after the other, until they are done or it is stopped."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias

from k2core.log import get_logger
from k2core.types import TrainReport

from .checkpoints import Checkpoints
from .errors import Halted, TrainingError
from .events import Checkpointed, Evaluated, Skipped, Stepped
from .following.live import Live
from .following.metrics import Metrics, finite
from .options import TrainerOptions
from .saving import replacing
from .working import Stopped, Work

if TYPE_CHECKING:
    from .optimizing import Optimizer

Values: TypeAlias = Mapping[str, float | None]


class Learnt(NamedTuple):
    """What a step was like."""

    values: Values
    """For the step's line in `metrics.jsonl`."""
    tokens: int
    """How many it took, for the pace."""
    fault: str = ""
    """Why training ends after it, for the user; empty where it goes on."""


class Learner(Protocol):
    """What is particular to a trainer. The loop calls all of it, in the training's thread."""

    steps: int
    """How many there are in all."""
    optimizer: Optimizer
    product: str
    """Name of the folder that the training leaves, such as `adapter` or `model`."""

    def begin(self, state: Mapping[str, Any] | None) -> None:
        """Once, before anything else: go on from what `state` gave to a checkpoint, or without one start."""

    def learn(self, step: int) -> Learnt:
        """Make step number `step`, counted from 1. May raise `Stopped` as long as nothing has been changed."""

    def due(self, step: int) -> bool:
        """Whether to measure after so many steps; 0: before the first."""

    def measure(self, step: int) -> Values:
        """What joins the line of the step. It may raise `Stopped`, and is done again then when the training goes on."""

    def state(self) -> Mapping[str, Any]:
        """What a checkpoint needs besides the optimiser's: numbers, texts, lists, dicts and tensors."""

    def write(self, folder: Path) -> None:
        """Put what is trained into a new folder, as decoders load it. Raises `OSError`."""


class Loop:
    """One training: steps, their lines and events, checkpoints, what is shown at a terminal, and the report.

    A checkpoint is written after a step and before anything is measured; what the step logs is in it until its line is written.
    So no interruption, however hard, changes a line or a weight. While gradients are not finite none is written
    until the training ends, as it would take the place of one with better weights.
    """

    def __init__(self, config: TrainerOptions, work: Work, folder: Path, learner: Learner, title: str, trend: str = "loss") -> None:
        """`trend`: the value that is drawn at a terminal."""
        self._config, self._work, self._folder, self._learner = config, work, folder, learner
        self._checkpoints = Checkpoints(folder / "checkpoints", config.checkpoint.keep)
        self._live = Live(learner.steps, shown=config.live, title=title, trend=trend)
        self._step = 0
        self._saved: Path | None = None
        """The checkpoint of this step, once there is one."""
        self._last: Values = {}
        self._unwritten: Values | None = {}
        """What the line of this step begins with, nothing before the first step; None once it is written."""

    def run(self) -> TrainReport:
        """Every step that is left. Raises `Stopped` and `Halted`, then with a checkpoint, `TrainingError` and `DiskError`."""
        with closing(self._resumed()) as self._metrics, self._live:
            try:
                self._record()
                while self._step < self._learner.steps:
                    self._work.check()
                    self._train_step()
            except (Stopped, Halted):
                self._save()
                raise
            checkpoint = self._save()
        return self._report(checkpoint)

    def _resumed(self) -> Metrics:
        """The metrics, cut back to the last whole checkpoint, as is all else; without one to nothing."""
        found = self._checkpoints.latest()
        state = found.state() if found else None
        if found and state:
            self._step, self._saved, self._last = state["step"], found.path, state.get("last", {})
            self._unwritten = state["unwritten"] if "unwritten" in state else _left(state)
            self._learner.optimizer.restore(state["optimizer"])
            get_logger().info("going on from a checkpoint", step=self._step, path=str(found.path))
        self._learner.begin(state)
        return Metrics(self._folder, state["metrics"] if state else 0)

    def _train_step(self) -> None:
        """A step, its checkpoint, and its line."""
        learner = self._learner
        began, skipped = time.perf_counter(), learner.optimizer.skipped
        values, tokens, fault = learner.learn(self._step + 1)
        seconds = time.perf_counter() - began
        self._step, self._saved = self._step + 1, None
        self._unwritten = {**values, "step_seconds": seconds, "tokens_per_second": tokens / seconds, "memory_mb": peak_mb()}
        if learner.optimizer.skipped > skipped:
            where = (f"step {self._step}",)
            self._work.emit(Skipped(reason="gradient not finite", count=learner.optimizer.skipped, examples=where))
        if fault := fault or learner.optimizer.fault:
            raise Halted(fault)
        if not learner.optimizer.in_a_row and self._wanted():
            self._save()
        self._record()

    def _wanted(self) -> bool:
        """Whether there is to be a checkpoint of this step: it is its turn, or something is measured next, which may take long."""
        every, measured = self._config.checkpoint.every, self._learner.due(self._step)
        return (self._step % every == 0 or measured) if every else (measured and self._step == self._learner.steps)

    def _record(self) -> None:
        """Write the line of the step that was made, with what is measured after it, unless it is written."""
        if self._unwritten is None:
            return
        values = dict(self._unwritten)
        if self._learner.due(self._step):
            self._live.say("measuring")
            values |= (found := {name: finite(value) for name, value in self._learner.measure(self._step).items()})
            self._work.emit(Evaluated(step=self._step, metrics=found))
            if self._step == self._learner.steps:
                self._saved = None  # resumed once more, what is done must not be measured again
        if values:
            self._last = self._metrics.log(self._step, **values)
            self._live.update(self._step, self._last)
        if self._unwritten:
            self._work.emit(Stepped(step=self._step, metrics=self._last))
        self._unwritten = None

    def _save(self) -> Path:
        """The checkpoint of the last whole step, written unless it is there."""
        if self._saved is None:
            self._metrics.sync()
            state = {
                **self._learner.state(),
                "step": self._step,
                "last": dict(self._last),
                "unwritten": self._unwritten,
                "metrics": self._metrics.offset,
                "optimizer": self._learner.optimizer.state(),
            }
            product = self._learner.product
            files = (lambda folder: self._learner.write(folder / product)) if self._config.checkpoint.export else None
            self._saved = self._checkpoints.save(self._step, state, files)
            self._work.emit(Checkpointed(step=self._step, path=str(self._saved)))
        return self._saved

    def _report(self, checkpoint: Path) -> TrainReport:
        if not self._learner.optimizer.finite():
            raise TrainingError(f"what was trained is not finite after step {self._step}: begin anew with a lower optimizer.lr")
        target = self._folder / self._learner.product
        with replacing(target) as scratch:
            self._learner.write(scratch)
        files = {target.name: str(target), "checkpoint": str(checkpoint), "metrics": str(self._metrics.path)}
        kept = {name: value for name, value in self._last.items() if value is not None}
        return TrainReport(steps=self._step, metrics=kept, artifacts=files)


def _left(state: Mapping[str, Any]) -> Values | None:
    """`unwritten` of a checkpoint that was made before there was this loop: `grpo` measured after it, in a line of its own."""
    return {} if state.get("evaluated", state["step"]) != state["step"] else None


def peak_mb() -> float:
    """The most memory that this process has held, in MiB."""
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used / (1 << 20 if sys.platform == "darwin" else 1 << 10)
