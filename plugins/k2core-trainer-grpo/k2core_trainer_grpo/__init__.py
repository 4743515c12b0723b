"""Reinforcement learning with verifiable rewards as a trainer of k2core. Importing this module does not import torch."""

from __future__ import annotations

from collections.abc import Sequence

from k2core.plugin import Plugin, hookimpl
from k2core.ports import Session
from k2core.types import Task, TrainReport

from .config import EvaluationOptions, GrpoConfig, LossOptions, RewardOptions

__all__ = ["EvaluationOptions", "Grpo", "GrpoConfig", "LossOptions", "RewardOptions"]


class Grpo(Plugin):
    """Lets the pipeline's decoder try problems in groups, and makes what its verifiers found better than its siblings likelier."""

    config: GrpoConfig

    @hookimpl
    async def k2_train(self, session: Session, tasks: Sequence[Task]) -> TrainReport:
        """Train, in a thread. Cancelled, it ends after the step's last whole part, with a checkpoint of the last whole step."""
        from k2core_training.working import Work

        work = Work(session)

        def train() -> TrainReport:
            from .training import train as really  # torch takes seconds to import, for which the loop must not stand still

            return really(self.config, work, tasks)

        return await work.run(train)
