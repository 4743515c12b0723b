"""The training: rollouts, what the target holds likely in them, steps, and acceptance on rollouts that were held back."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from k2core_decoder_transformers.loading.loaded import Loaded
from k2core_training.checkpoints import Checkpoints
from k2core_training.events import Checkpointed, Evaluated, Skipped, Stepped
from k2core_training.following.live import Live
from k2core_training.following.metrics import Metrics
from k2core_training.modelling.forward import forward_for, head_of
from k2core_training.modelling.packed import Packed
from k2core_training.optimizing import Optimizer
from k2core_training.ordering import batch_of, steps_of
from k2core_training.runs import opened
from k2core_training.saving import replacing
from k2core_training.working import Stopped, Work

from k2core.log import get_logger
from k2core.types import Task, TrainReport

from .config import DraftConfig
from .loss import Aim, Top, divergence
from .rollouts import Rollout, Rollouts, packs, parted, prompts_of
from .student import made, save
from .target import Target, drawn, loaded

TEMPERATURES = {"acceptance": 1.0, "acceptance_greedy": 0.0}
"""At which acceptance is measured, by the name of the value."""


def train(config: DraftConfig, work: Work, tasks: Sequence[Task]) -> TrainReport:
    """All of it, in the training's thread. Raises `ConfigError`, `TrainingError`, `DiskError` and `Stopped`."""
    with opened(config, "draft") as folder, Live(config.steps, shown=config.live, title="draft") as live:
        prompts = prompts_of(config.rollouts, tasks, work)
        live.say("loading the target")
        target = loaded(config.model, work)
        student = made(target.model, config.draft, config.most_mb, config.seed)
        live.say("asking the target")
        end = int(target.tokenizer.eos_token_id)
        rollouts = Rollouts(config.rollouts, folder, target.chat, target.tokenizer, end, work, config.seed)
        data, held = parted(rollouts.gathered(prompts), config.rollouts.held)
        live.say("scoring what the target said")
        return Training(config, work, folder, target, student, data, held).run()


class Training:
    """One training on its way."""

    def __init__(
        self,
        config: DraftConfig,
        work: Work,
        folder: Path,
        target: Loaded,
        student: Any,
        data: Sequence[Rollout],
        held: Sequence[Rollout],
    ) -> None:
        self._config, self._work, self._folder = config, work, folder
        self._student, self._tokenizer, self._data, self._held = student, target.tokenizer, data, held
        self._forward, self._weight = forward_for(student, False), head_of(student).weight
        self._target = Target(target.model, config.together, work)
        self._top = self._target.top(data, min(config.top, len(self._weight)), folder / "target") if config.top else None
        self._wanted = {name: self._target.drawn(held, t) for name, t in TEMPERATURES.items()}
        self._steps = config.steps or steps_of(len(data), config.batch, config.epochs)
        self._optimizer = Optimizer(list(student.named_parameters()), config.optimizer, self._steps)
        self._checkpoints = Checkpoints(folder / "checkpoints", config.checkpoint.keep)
        self._step, self._saved = 0, -1
        self._last: dict[str, float | None] = {}
        self._metrics = self._resumed()

    def _resumed(self) -> Metrics:
        """Go back to the last whole checkpoint, if there is one; what was measured after it is cut off."""
        found = self._checkpoints.latest()
        if found is None:
            return Metrics(self._folder, 0)
        state = found.state()
        self._optimizer.restore(state["optimizer"])
        self._step, self._last, self._saved = state["step"], dict(state["last"]), state["step"]
        get_logger().info("going on from a checkpoint", step=self._step, path=str(found.path))
        return Metrics(self._folder, state["metrics"])

    def run(self) -> TrainReport:
        """The steps that are left, and the model at the end."""
        with ExitStack() as stack:
            stack.callback(self._metrics.close)
            live = stack.enter_context(Live(self._steps, shown=self._config.live, title="draft"))
            while self._step < self._steps:
                if self._work.stopping:
                    self._save()
                    raise Stopped("the training was stopped")
                self._one(live)
            self._save()
        target = self._folder / "model"
        with replacing(target) as scratch:
            save(self._student, self._tokenizer, scratch)
        kept = {name: value for name, value in self._last.items() if value is not None}
        return TrainReport(steps=self._step, metrics=kept, artifacts={"model": str(target), "metrics": str(self._metrics.path)})

    def _one(self, live: Live) -> None:
        """A step, its measurements and its checkpoint."""
        began = time.perf_counter()
        values, tokens = self._learn()
        self._step += 1
        seconds = time.perf_counter() - began
        values |= {"step_seconds": seconds, "tokens_per_second": tokens / seconds}
        if self._step == self._steps or (self._config.measure and self._step % self._config.measure == 0):
            found = self._measured()
            self._work.emit(Evaluated(step=self._step, metrics=found))
            values |= found
        self._last = self._metrics.log(self._step, **values)
        self._work.emit(Stepped(step=self._step, metrics=self._last))
        live.update(self._step, self._last)
        if self._config.checkpoint.every and self._step % self._config.checkpoint.every == 0:
            self._save()

    def _learn(self) -> tuple[dict[str, float | None], int]:
        """An optimiser step: what was measured in it, and how many tokens it took."""
        chosen = batch_of(self._step, len(self._data), self._config.batch, self._config.seed)
        total = sum(len(self._data[place].ids) for place in chosen)
        tokens = sum(len(self._data[place].prompt) + len(self._data[place].ids) for place in chosen)
        loss = 0.0
        for members in packs([len(self._data[place].sequence.ids) for place in chosen], self._config.together):
            some = [chosen[member] for member in members]
            batch = Packed.of([self._data[place].sequence for place in some], self._weight.device)
            made = divergence(self._forward(batch), self._weight, self._aim(some, batch), 1 / total)
            made.backward()  # type: ignore[no-untyped-call]
            loss += made.item()
        info = self._optimizer.step()
        if info.skipped:
            skipped = self._optimizer.skipped
            self._work.emit(Skipped(reason="gradient not finite", count=skipped, examples=(f"step {self._step + 1}",)))
        return {"loss": loss, "lr": info.lr, "grad_norm": info.grad_norm, "targets": total}, tokens

    def _aim(self, places: Sequence[int], batch: Packed) -> Aim:
        if self._top is None:
            return self._target.whole(batch)
        import torch

        some, device = [self._top[place] for place in places], self._weight.device
        return Top(torch.cat([one.ids for one in some]).to(device), torch.cat([one.probs for one in some]).to(device))

    def _measured(self) -> dict[str, float | None]:
        """The share of the tokens of held-back rollouts at which draft and target would draw the same, at T = 1 and greedily."""
        found: dict[str, float | None] = {}
        for name, temperature in TEMPERATURES.items():
            ours = drawn(self._forward, self._weight, self._held, temperature, self._config.together)
            pairs = [pair for mine, its in zip(ours, self._wanted[name], strict=True) for pair in zip(mine, its, strict=True)]
            found[name] = sum(mine == its for mine, its in pairs) / len(pairs)
        return found

    def _save(self) -> None:
        if self._saved == self._step:
            return
        self._metrics.sync()
        state: Mapping[str, Any] = {
            "step": self._step,
            "last": self._last,
            "metrics": self._metrics.offset,
            "optimizer": self._optimizer.state(),
        }
        files = (lambda folder: save(self._student, self._tokenizer, folder / "model")) if self._config.checkpoint.export else None
        path = self._checkpoints.save(self._step, state, files)
        self._saved = self._step
        self._work.emit(Checkpointed(step=self._step, path=str(path)))
