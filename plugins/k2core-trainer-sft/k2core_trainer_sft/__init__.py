"""Supervised fine-tuning on chains of thought. Importing this module loads neither torch nor a model."""

from __future__ import annotations

from collections.abc import Sequence

from k2core.plugin import Plugin, hookimpl
from k2core.ports import Session
from k2core.types import Task, TrainReport

from .config import SftConfig

__all__ = ["Sft", "SftConfig"]


class Sft(Plugin):
    """Trains a model to say what the assistant says in chats, reasoning included."""

    config: SftConfig

    @hookimpl
    async def k2_train(self, session: Session, tasks: Sequence[Task]) -> TrainReport:
        from k2core_training.working import Work

        work = Work(session)

        def train() -> TrainReport:
            from .trainer import train as really  # torch takes seconds to import, for which the loop must not stand still

            return really(self.config, work, tasks)

        return await work.run(train)
