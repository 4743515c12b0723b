"""Distils a draft model for speculation. Importing this module loads neither torch nor a model."""

from __future__ import annotations

from collections.abc import Sequence

from k2core.plugin import Plugin, hookimpl
from k2core.ports import Session
from k2core.types import Task, TrainReport

from .config import DraftConfig

__all__ = ["Draft", "DraftConfig"]


class Draft(Plugin):
    """Trains a small model with a target's vocabulary to draw the tokens that the target would draw."""

    config: DraftConfig

    @hookimpl
    async def k2_train(self, session: Session, tasks: Sequence[Task]) -> TrainReport:
        from k2core_training.working import Work

        work = Work(session)

        def train() -> TrainReport:
            from .trainer import train as really  # torch takes seconds to import, for which the loop must not stand still

            return really(self.config, work, tasks)

        return await work.run(train)
