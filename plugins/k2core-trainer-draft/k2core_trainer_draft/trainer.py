"""What a step is: the divergence from the target on some of its rollouts; and acceptance on rollouts that were held back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from k2core_decoder_transformers.loading.loaded import Loaded
from k2core_training.data.skips import Skips
from k2core_training.following.live import Live
from k2core_training.looping import Learnt, Loop, Values
from k2core_training.modelling.forward import forward_for, head_of
from k2core_training.modelling.packed import Packed
from k2core_training.optimizing import Optimizer
from k2core_training.ordering import batch_of, steps_of
from k2core_training.runs import opened
from k2core_training.working import Work

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
    with opened(config, "draft") as folder:
        with Live(config.steps, shown=config.live, title="draft") as live:
            skips = Skips()
            prompts = prompts_of(config.rollouts, tasks, skips)
            live.say("loading the target")
            target = loaded(config.model, work)
            student = made(target.model, config.draft, config.most_mb, config.seed)
            live.say("asking the target")
            rollouts = Rollouts(config.rollouts, folder, target, work, config.seed, skips)
            data, held = parted(rollouts.gathered(prompts), config.rollouts.held)
            live.say("scoring what the target said")
            learner = Learner(config, work, folder, target, student, data, held)
        return Loop(config, work, folder, learner, "draft").run()


class Learner:
    """A student that draws what the target would draw."""

    product = "model"

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
        """`folder` keeps what the target holds likely."""
        self._config, self._student, self._tokenizer, self._data, self._held = config, student, target.tokenizer, data, held
        self._forward, self._weight = forward_for(student, False), head_of(student).weight
        self._target = Target(target.model, config.together, work)
        self._top = self._target.top(data, min(config.top, len(self._weight)), folder / "target") if config.top else None
        self._wanted = {name: self._target.drawn(held, t) for name, t in TEMPERATURES.items()}
        self.steps = config.steps or steps_of(len(data), config.batch, config.epochs)
        self.optimizer = Optimizer(list(student.named_parameters()), config.optimizer, self.steps)

    def begin(self, state: Mapping[str, Any] | None) -> None:
        """Nothing: which rollouts a step takes is a function of its number."""

    def state(self) -> Mapping[str, Any]:
        return {}

    def write(self, folder: Path) -> None:
        save(self._student, self._tokenizer, folder)

    def learn(self, step: int) -> Learnt:
        """An optimiser step on the mean over the tokens of some rollouts."""
        chosen = batch_of(step - 1, len(self._data), self._config.batch, self._config.seed)
        total = sum(len(self._data[place].ids) for place in chosen)
        tokens = sum(len(self._data[place].prompt) + len(self._data[place].ids) for place in chosen)
        loss = 0.0
        for members in packs([len(self._data[place].sequence.ids) for place in chosen], self._config.together):
            some = [chosen[member] for member in members]
            batch = Packed.of([self._data[place].sequence for place in some], self._weight.device)
            made = divergence(self._forward(batch), self._weight, self._aim(some, batch), 1 / total)
            made.backward()  # type: ignore[no-untyped-call]
            loss += made.item()
        info = self.optimizer.step()
        return Learnt({"loss": loss, "lr": info.lr, "grad_norm": info.grad_norm, "targets": total}, tokens)

    def _aim(self, places: Sequence[int], batch: Packed) -> Aim:
        if self._top is None:
            return self._target.whole(batch)
        import torch

        some, device = [self._top[place] for place in places], self._weight.device
        return Top(torch.cat([one.ids for one in some]).to(device), torch.cat([one.probs for one in some]).to(device))

    def due(self, step: int) -> bool:
        every = self._config.measure
        return step > 0 and (step == self.steps or (every > 0 and step % every == 0))

    def measure(self, step: int) -> Values:
        """The share of the tokens of held-back rollouts at which draft and target would draw the same, at T = 1 and greedily."""
        found: dict[str, float] = {}
        for name, temperature in TEMPERATURES.items():
            ours = drawn(self._forward, self._weight, self._held, temperature, self._config.together)
            pairs = [pair for mine, its in zip(ours, self._wanted[name], strict=True) for pair in zip(mine, its, strict=True)]
            found[name] = sum(mine == its for mine, its in pairs) / len(pairs)
        return found
