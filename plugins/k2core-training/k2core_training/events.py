"""What happens in a training, told to the pipeline's observers with `session.emit`."""

from __future__ import annotations

from collections.abc import Mapping

from k2core.events import Event


class Stepped(Event):
    """An optimiser step was made."""

    kind = "train_stepped"
    step: int
    """Counted from 1."""
    metrics: Mapping[str, float | None] = {}
    """As in `metrics.jsonl`; None where a value is not finite."""


class Evaluated(Event):
    """The model was measured on held-out data."""

    kind = "train_evaluated"
    step: int
    """0: before the first."""
    metrics: Mapping[str, float | None] = {}
    """As in `metrics.jsonl`; None where a value is not finite."""


class Checkpointed(Event):
    """A whole checkpoint is on the disk."""

    kind = "train_checkpointed"
    step: int
    path: str


class Skipped(Event):
    """Rows, samples or steps were left out."""

    kind = "train_skipped"
    reason: str
    """Such as `duplicate`, `over-long`, `gradient not finite`."""
    count: int
    """How many so far, for this reason."""
    examples: tuple[str, ...] = ()
    """The first of them, each with its file and line."""
