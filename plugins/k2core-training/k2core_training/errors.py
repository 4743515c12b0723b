"""What can go wrong in training, in words for its user."""

from __future__ import annotations

from k2core.errors import K2Error


class TrainingError(K2Error):
    """Training cannot go on: data, gradients or the disk. The message says what was kept and what to do."""


class Halted(TrainingError):
    """Several steps in a row have brought nothing. There is a checkpoint after the last one."""


class DiskError(TrainingError):
    """Something could not be written, such as for want of room."""
