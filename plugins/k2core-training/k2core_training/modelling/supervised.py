"""The gradient of supervised fine-tuning."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..packing import TokenSequence
from .policy import Policy


@dataclass(frozen=True)
class Supervised:
    """What a batch was like."""

    loss: float
    """Mean of -log p over the targets, in nats."""
    token_accuracy: float
    """Share of the targets that were the likeliest token."""
    targets: int


def accumulate(policy: Policy, sequences: Sequence[TokenSequence], most: int, weight: float = 1.0) -> Supervised:
    """Add the gradient of `weight` times the mean loss over all targets; at most `most` tokens are computed at once."""
    targets, loss, correct = sum(len(sequence.places()) for sequence in sequences), 0.0, 0
    for batch in policy.packs(sequences, most):
        made = policy.cross_entropy(batch, batch.weights * weight / targets)
        made.loss.backward()  # type: ignore[no-untyped-call]
        loss, correct = loss + made.loss.item(), correct + int(made.correct.sum())
    return Supervised(loss / weight, correct / targets, targets)
