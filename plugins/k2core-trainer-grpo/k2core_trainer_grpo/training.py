"""The training loop, from the folder to the report."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from k2core_decoder_transformers.loading.loaded import Stopped as LoadingStopped
from k2core_training.checkpoints import Checkpoint, Checkpoints
from k2core_training.errors import TrainingError
from k2core_training.events import Checkpointed, Evaluated, Skipped, Stepped
from k2core_training.following.live import Live
from k2core_training.following.metrics import Metrics
from k2core_training.modelling.config import ModelOptions
from k2core_training.modelling.policy import Policy
from k2core_training.optimizing import Optimizer
from k2core_training.runs import opened
from k2core_training.tasks.curriculum import Curriculum
from k2core_training.working import Stopped, Work

from k2core.errors import ConfigError
from k2core.ports import Session
from k2core.types import Task, TrainReport, Usage

from .config import GrpoConfig
from .evaluating import evaluate
from .keeping import Samples, write_weights
from .prompts import Prompts
from .rollouts import Roller, Rollouts
from .updating import Updater


class Training:
    """One training, in its thread."""

    @classmethod
    def run(cls, work: Work, session: Session, config: GrpoConfig, tasks: Sequence[Task]) -> TrainReport:
        """Train to the end. Raises `ConfigError` for what cannot be trained, `TrainingError` for what cannot go on, `Stopped`."""
        with opened(config, "grpo") as folder:
            made = cls(work, session, config, folder, tasks)
            try:
                made.restore()
                return made.train()
            finally:
                made.close()

    def __init__(self, work: Work, session: Session, config: GrpoConfig, folder: Path, tasks: Sequence[Task]) -> None:
        self.work, self.session, self.config, self.folder = work, session, config, folder
        train, self.validation = _split(tasks)
        if not train:
            raise ConfigError("there are no tasks to train on", "trainer")
        self.prompts = (Prompts if config.order == "passes" else Curriculum)(train, config.seed)
        self.steps = config.steps or -(-len(train) // config.prompts)
        self.policy = _loaded(config.model, work, config.seed)
        self.optimizer = Optimizer(
            self.policy.trainable, config.optimizer, self.steps * config.minibatches * config.epochs
        )  # fmt: skip
        self.roller = Roller(session, config, self.policy.chat.prompt_ids, self._text_of)
        reference = _frozen(config, work) if config.loss.kl else None
        self.updater = Updater(self.policy, self.optimizer, config, self.roller.max_tokens, reference)
        self.checkpoints = Checkpoints(folder / "checkpoints", config.checkpoint.keep)
        self.step = self.saved = self.bad = 0
        self.evaluated = -1
        self.stale = True
        """Whether the decoder has other weights than the policy."""
        self.skipped: Counter[str] = Counter()
        self.usage: dict[str, Usage] = {}
        self.last: dict[str, float | None] = {}
        self.clocks: dict[str, float] = {}
        self.metrics: Metrics | None = None
        self.samples: Samples | None = None

    def _text_of(self, ids: Sequence[int]) -> str:
        return str(self.policy.tokenizer.decode(list(ids), skip_special_tokens=True))

    # the loop

    def train(self) -> TrainReport:
        """Every step from where it stands; stopped, it leaves a checkpoint of the last whole one."""
        config = self.config
        with Live(self.steps, self.step, config.live, "grpo", "reward") as live:
            try:
                while self.step < self.steps:
                    self.work.check()
                    self.evaluate(live)
                    values = self.train_step(self.step + 1)
                    self.step += 1
                    self.log(values, live)
                    if config.checkpoint.every and self.step % config.checkpoint.every == 0:
                        self.save()
                self.evaluate(live)
                self.send_weights()
            except Stopped:
                self.save()
                raise
        path = self.save()
        target = self.folder / ("adapter" if self.policy.is_lora else "model")
        self.policy.save(target)
        metrics = {name: value for name, value in self.last.items() if value is not None}
        return TrainReport(steps=self.step, metrics=metrics, artifacts=self._artifacts(path, target), usage=self.usage)

    def train_step(self, step: int) -> dict[str, float]:
        """Hand the weights over, roll out and judge, update; returns what to log. `Stopped` comes before the update or never."""
        began, self.clocks = time.monotonic(), {}
        with self._clock("weights"):
            self.send_weights()
        with self._clock("rollout"):
            rolled = self._rolled(step)
        self.clocks["reward"], self.clocks["rollout"] = rolled.tail, self.clocks["rollout"] - rolled.tail
        self._book(step, rolled)
        values = _described(rolled)
        if rolled.samples:
            with self._clock("update"):
                values |= self.updater.update(rolled.samples, step)
            self.stale = True
            self._kept().add(
                step, rolled.samples[:: max(1, len(rolled.samples) // max(1, self.config.samples))][: self.config.samples]
            )
        seconds = time.monotonic() - began
        pace = {"seconds": seconds, "tokens_per_second": values.get("tokens", 0.0) / seconds}
        return {**values, **pace, **{f"seconds_{phase}": spent for phase, spent in self.clocks.items()}}

    def _rolled(self, step: int) -> Rollouts:
        before = self.prompts.state()
        try:
            return self.work.ask(self.roller.roll(step, self.prompts.draw, self.prompts.told))
        except BaseException:
            self.prompts.restore(before)
            raise

    def _book(self, step: int, rolled: Rollouts) -> None:
        """Usage and what was left out. Raises `TrainingError` when nothing at all has been rewarded several times in a row."""
        for role, usage in rolled.usage.items():
            self.usage[role] = self.usage.get(role, Usage()) + usage
        self.skipped += rolled.skipped
        for reason in rolled.skipped:
            self.work.emit(Skipped(reason=reason, count=self.skipped[reason], examples=(rolled.reasons[reason],)))
        self.bad = 0 if rolled.samples or not rolled.skipped else self.bad + 1
        if self.bad >= self.config.bad_steps:
            why = "; ".join(f"{reason}: {message}" for reason, message in rolled.reasons.items())
            raise TrainingError(f"no completion could be rewarded in {self.bad} steps in a row (until step {step}): {why}")

    @contextmanager
    def _clock(self, phase: str) -> Iterator[None]:
        began = time.monotonic()
        yield
        self.clocks[phase] = time.monotonic() - began

    def log(self, values: dict[str, float], live: Live) -> None:
        assert self.metrics is not None
        values = {**values, "skipped": float(self.skipped.total())}
        self.last = self.metrics.log(self.step, **values)
        self.work.emit(Stepped(step=self.step, metrics=self.last))
        live.update(self.step, self.last)

    def evaluate(self, live: Live) -> None:
        """Before the first step, every so many steps, and after the last."""
        options = self.config.evaluation
        due = options.every and (self.step % options.every == 0 or self.step == self.steps)
        if not due or not self.validation or self.evaluated == self.step:
            return
        self.send_weights()
        live.say(f"measuring on {min(len(self.validation), options.limit)} tasks")
        tasks, seed, patience = self.validation[: options.limit], self.config.seed, self.config.reward.timeout
        found = self.work.ask(evaluate(self.session, tasks, options.parallel, seed, patience))
        assert self.metrics is not None
        self.evaluated = self.step
        self.work.emit(Evaluated(step=self.step, metrics=self.metrics.log(self.step, **found)))

    def send_weights(self) -> None:
        """Have the decoder decode with what has been trained, unless it does."""
        if not self.stale:
            return
        weights: Any = self.policy.merged()
        if self.config.weights == "folder":
            weights = str(write_weights(self.policy, weights, self.folder / "weights"))
        self.work.ask(self.session.load_weights(self.config.decoder, weights))
        self.stale = False

    # going on

    def restore(self) -> None:
        """Back to the last whole checkpoint, if there is one: weights, optimiser, prompts, counters, files."""
        found: Checkpoint | None = self.checkpoints.latest() if self.config.resume else None
        state = found.state() if found else None
        if state is not None:
            self.step = self.saved = state["step"]
            self.optimizer.restore(state["optimizer"])
            self.prompts.restore(state["prompts"])
            self.evaluated = state["evaluated"]
            self.bad, self.skipped = state["bad"], Counter(state["skipped"])
            self.usage = {role: Usage(**counts) for role, counts in json.loads(state["usage"]).items()}
        self.metrics = Metrics(self.folder, state["metrics"] if state else 0)
        self.samples = Samples(self.folder, state["samples"] if state else 0)

    def save(self) -> Path:
        """A checkpoint of the last whole step, unless it is there."""
        assert self.metrics is not None
        if self.saved == self.step and self.checkpoints.latest():
            return self.checkpoints.folder / f"step-{self.step:08d}"
        self.metrics.sync()
        self._kept().sync()
        state = {
            "step": self.step,
            "optimizer": self.optimizer.state(),
            "prompts": self.prompts.state(),
            "evaluated": self.evaluated,
            "bad": self.bad,
            "skipped": dict(self.skipped),
            "usage": json.dumps({role: usage.model_dump() for role, usage in self.usage.items()}),
            "metrics": self.metrics.offset,
            "samples": self._kept().offset,
        }
        export = self.policy.save_into if self.config.checkpoint.export else None
        path = self.checkpoints.save(self.step, state, export)
        self.saved = self.step
        self.work.emit(Checkpointed(step=self.step, path=str(path)))
        return path

    def _kept(self) -> Samples:
        assert self.samples is not None
        return self.samples

    def _artifacts(self, checkpoint: Path, target: Path) -> dict[str, str]:
        files = {name: str(self.folder / f"{name}.jsonl") for name in ("metrics", "samples")}
        return {target.name: str(target), "checkpoint": str(checkpoint), **files}

    def close(self) -> None:
        for file in (self.metrics, self.samples):
            if file is not None:
                file.close()


def _split(tasks: Sequence[Task]) -> tuple[list[Task], list[Task]]:
    """Tasks to train on, and those whose `meta` says `split = "validation"`."""
    held = [task for task in tasks if task.meta.get("split") == "validation"]
    return [task for task in tasks if task.meta.get("split") != "validation"], held


def _loaded(options: ModelOptions, work: Work, seed: int) -> Policy:
    """The model; what is wrong with its options is a `ConfigError`."""
    try:
        return Policy.load(options, work.stop, seed)
    except LoadingStopped as error:
        raise Stopped(str(error)) from error
    except (ValueError, ConnectionError) as error:
        raise ConfigError(str(error), "trainer.model") from error


def _frozen(config: GrpoConfig, work: Work) -> Policy:
    """What training begins with, without anything to train."""
    policy = _loaded(config.model.model_copy(update={"lora": None, "adapter_use": "merge"}), work, config.seed)
    policy.base.requires_grad_(False)
    return policy


def _described(rolled: Rollouts) -> dict[str, float]:
    """What the rollouts of a step were like."""
    made: dict[str, float] = {
        "groups": rolled.groups,
        "zero_variance": rolled.uniform / rolled.groups if rolled.groups else 0.0,
        "tokens": sum(len(sample.ids) for sample in rolled.samples),
    }
    if not rolled.samples:
        return made
    rewards, lengths = [sample.reward for sample in rolled.samples], [len(sample.ids) for sample in rolled.samples]
    mean = sum(rewards) / len(rewards)
    made |= {
        "reward": mean,
        "reward_std": (sum((reward - mean) ** 2 for reward in rewards) / len(rewards)) ** 0.5,
        "score": sum(sample.score for sample in rolled.samples) / len(rewards),
        "response_length": sum(lengths) / len(lengths),
        "response_length_max": max(lengths),
        "truncated": sum(sample.truncated for sample in rolled.samples) / len(lengths),
    }
    for domain in sorted({sample.task.problem.domain for sample in rolled.samples}):
        own = [sample.score for sample in rolled.samples if sample.task.problem.domain == domain]
        made[f"score_{domain}"] = sum(own) / len(own)
    return made
