"""The training: steps on packed samples, measurements on held-out ones, checkpoints, and what is left at the end."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from k2core_decoder_transformers.loading.loaded import Stopped as LoadingStopped
from k2core_training.checkpoints import Checkpoints
from k2core_training.data.prepared import Prepared
from k2core_training.events import Checkpointed, Evaluated, Skipped, Stepped
from k2core_training.following.live import Live
from k2core_training.following.metrics import Metrics
from k2core_training.measuring import accuracy
from k2core_training.modelling.packed import Packed
from k2core_training.modelling.policy import Policy
from k2core_training.optimizing import Optimizer
from k2core_training.ordering import batch_of, steps_of
from k2core_training.packing import TokenSequence, pack
from k2core_training.runs import opened
from k2core_training.working import Stopped, Work

from k2core.errors import ConfigError
from k2core.log import get_logger
from k2core.types import Task, TrainReport

from .config import SftConfig
from .sources import prepared


def train(config: SftConfig, work: Work, tasks: Sequence[Task] = ()) -> TrainReport:
    """All of it, in the training's thread. Raises `ConfigError`, `TrainingError`, `DiskError`, and `Stopped`."""
    with opened(config, "sft") as folder:
        with Live(config.steps, shown=config.live, title="sft") as live:
            live.say("loading the model")
            policy = loaded(config, work)
            live.say("preparing the data")
            data, held = prepared(config, policy, folder, work)
        return Training(config, work, folder, policy, (data, held), tasks).run()


def loaded(config: SftConfig, work: Work) -> Policy:
    """The model. What is wrong with its options is a `ConfigError`."""
    try:
        return Policy.load(config.model, work.stop, config.seed)
    except LoadingStopped as error:
        raise Stopped(str(error)) from error
    except (ValueError, ConnectionError) as error:
        raise ConfigError(str(error), "trainer.model") from error


class Training:
    """One training on its way."""

    def __init__(
        self, config: SftConfig, work: Work, folder: Path, policy: Policy, data: tuple[Prepared, Prepared], tasks: Sequence[Task]
    ) -> None:
        self._config, self._work, self._folder, self._policy = config, work, folder, policy
        self._data, self._held = data
        self._tasks = [task for task in tasks if task.meta.get("split") == "validation"][: config.validation.tasks]
        self._steps = config.steps or steps_of(len(self._data), config.batch, config.epochs)
        self._optimizer = Optimizer(policy.trainable, config.optimizer, self._steps)
        self._checkpoints = Checkpoints(folder / "checkpoints", config.checkpoint.keep)
        self._step, self._tokens, self._saved = 0, 0, -1
        self._last: dict[str, float | None] = {}
        self._metrics = self._resumed()

    def _resumed(self) -> Metrics:
        """Go back to the last whole checkpoint, if there is one; what was measured after it is cut off."""
        found = self._checkpoints.latest()
        if found is None:
            return Metrics(self._folder, 0)
        state = found.state()
        self._optimizer.restore(state["optimizer"])
        self._step, self._tokens, self._last, self._saved = state["step"], state["tokens"], dict(state["last"]), state["step"]
        get_logger().info("going on from a checkpoint", step=self._step, path=str(found.path))
        return Metrics(self._folder, state["metrics"])

    def run(self) -> TrainReport:
        """The steps that are left, and what is left at the end."""
        with ExitStack() as stack:
            stack.callback(self._metrics.close)
            live = stack.enter_context(Live(self._steps, shown=self._config.live, title="sft"))
            while self._step < self._steps:
                if self._work.stopping:
                    self._save()
                    raise Stopped("the training was stopped")
                self._one(live)
            self._save()
        target = self._folder / ("adapter" if self._policy.is_lora else "model")
        self._policy.save(target)
        kept = {name: value for name, value in self._last.items() if value is not None}
        return TrainReport(steps=self._step, metrics=kept, artifacts={target.name: str(target), "metrics": str(self._metrics.path)})

    def _one(self, live: Live) -> None:
        """A step, its measurements and its checkpoint."""
        began = time.perf_counter()
        values, tokens = self._learn()
        self._step += 1
        seconds = time.perf_counter() - began
        values |= {"step_seconds": seconds, "tokens_per_second": tokens / seconds, "memory_mb": peak_mb()}
        if self._due(self._config.validation.every):
            values |= self._measured()
        self._last = self._metrics.log(self._step, **values)
        self._work.emit(Stepped(step=self._step, metrics=self._last))
        live.update(self._step, self._last)
        if self._config.checkpoint.every and self._step % self._config.checkpoint.every == 0:
            self._save()

    def _due(self, every: int) -> bool:
        due = self._step == self._steps or (every > 0 and self._step % every == 0)
        return due and bool(len(self._held) or (self._config.decoder and self._tasks))

    def _learn(self) -> tuple[dict[str, float | None], int]:
        """An optimiser step: what was measured in it, and how many tokens it took."""
        chosen = batch_of(self._step, len(self._data), self._config.batch, self._config.seed)
        sequences = [self._data[index] for index in chosen]
        total = sum(len(sequence.places()) for sequence in sequences)
        loss, correct = 0.0, 0
        for batch in packs(sequences, self._config.together, self._policy):
            made = self._policy.cross_entropy(batch, batch.weights / total)
            made.loss.backward()  # type: ignore[no-untyped-call]
            loss, correct = loss + made.loss.item(), correct + int(made.correct.sum())
        info, skipped = self._optimizer.step(), self._optimizer.skipped
        if info.skipped:
            self._work.emit(Skipped(reason="gradient not finite", count=skipped, examples=(f"step {self._step + 1}",)))
        tokens = sum(len(sequence.ids) for sequence in sequences)
        self._tokens += tokens
        epoch = (self._step + 1) / steps_of(len(self._data), self._config.batch, 1)
        return {
            "loss": loss,
            "token_accuracy": correct / total,
            "lr": info.lr,
            "grad_norm": info.grad_norm,
            "tokens": self._tokens,
            "targets": total,
            "epoch": epoch,
            "skipped": skipped,
        }, tokens

    def _measured(self) -> dict[str, float | None]:
        """Loss and accuracy a token on what was held out, and how many tasks the pipeline solves with these weights."""
        found: dict[str, float | None] = {}
        if sequences := [self._held[index] for index in range(min(len(self._held), self._config.validation.most))]:
            found |= measure(self._policy, sequences, self._config.together)
        if self._config.decoder and self._tasks:
            work, options = self._work, self._config.validation
            work.ask(work.session.load_weights(self._config.decoder, self._policy.merged()))
            found |= work.ask(accuracy(work.session, self._tasks, options.parallel, self._config.seed))
        self._work.emit(Evaluated(step=self._step, metrics=found))
        return {f"eval_{name}": value for name, value in found.items()}

    def _save(self) -> None:
        if self._saved == self._step:
            return
        self._metrics.sync()
        state: Mapping[str, Any] = {
            "step": self._step,
            "tokens": self._tokens,
            "last": self._last,
            "metrics": self._metrics.offset,
            "optimizer": self._optimizer.state(),
        }
        export = self._policy.save_into if self._config.checkpoint.export else None
        path = self._checkpoints.save(self._step, state, export)
        self._saved = self._step
        self._work.emit(Checkpointed(step=self._step, path=str(path)))


def packs(sequences: list[TokenSequence], most: int, policy: Policy) -> Iterator[Packed]:
    """The sequences in packs of at most so many tokens."""
    for members in pack([len(sequence.ids) for sequence in sequences], most):
        yield policy.packed([sequences[index] for index in members])


@torch.no_grad()
def measure(policy: Policy, sequences: list[TokenSequence], most: int) -> dict[str, float | None]:
    """`loss` and `token_accuracy` over the targets of the sequences."""
    loss, correct, total = 0.0, 0, 0
    for batch in packs(sequences, most, policy):
        made = policy.cross_entropy(batch)
        loss, correct, total = loss + made.loss.item(), correct + int(made.correct.sum()), total + len(batch.labels)
    return {"loss": loss / total, "token_accuracy": correct / total}


def peak_mb() -> float:
    """The most memory that this process has held, in MiB."""
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used / (1 << 20 if sys.platform == "darwin" else 1 << 10)
