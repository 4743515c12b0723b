"""Rewards before they become advantages. Pure functions, no torch."""

from __future__ import annotations

from collections.abc import Sequence

TOLERANCE = 1e-6
"""Rewards that are no further apart are the same."""


def uniform(rewards: Sequence[float]) -> bool:
    """Whether all rewards of a group are the same, so that no advantage is left (Yu et al. 2025, DAPO, arXiv:2503.14476, 3.2)."""
    return not rewards or max(rewards) - min(rewards) <= TOLERANCE


def overlong_penalty(tokens: int, most: int, buffer: int, factor: float = 1.0) -> float:
    """0 up to `most - buffer` tokens, then linearly down to `-factor` at `most` (Yu et al. 2025, DAPO, eq. 13).

    `buffer` 0 punishes nothing.
    """
    return -factor * min(1.0, max(0, tokens - (most - buffer)) / buffer) if buffer else 0.0
