"""Stored completions in place of a model."""

from .decoder import Recorded, RecordedConfig
from .tasks import RecordedTasks, RecordedTasksConfig

__all__ = ["Recorded", "RecordedConfig", "RecordedTasks", "RecordedTasksConfig"]
