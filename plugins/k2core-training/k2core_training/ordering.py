"""Which samples a step takes, and what it draws by: functions of the seed and the step, so nothing of it needs to be remembered."""

from __future__ import annotations

import hashlib
import random
from functools import lru_cache


def steps_of(samples: int, batch: int, epochs: int) -> int:
    """Optimiser steps that so many epochs take; the last step of each may be smaller than the others."""
    return -(-samples // batch) * epochs


def batch_of(step: int, samples: int, batch: int, seed: int) -> list[int]:
    """The samples of a step, counted from 0, as indices. Each epoch takes every sample once, in an order of its own."""
    epoch, place = divmod(step, steps_of(samples, batch, 1))
    return list(_shuffled(samples, seed, epoch)[place * batch : (place + 1) * batch])


def seed_of(*parts: int | str) -> int:
    """A seed in 0..2**31-1 of the parts: the same parts, the same seed."""
    return int.from_bytes(hashlib.blake2b("/".join(map(str, parts)).encode(), digest_size=4).digest(), "big") >> 1


@lru_cache(maxsize=2)
def _shuffled(samples: int, seed: int, epoch: int) -> tuple[int, ...]:
    order = list(range(samples))
    digest = hashlib.blake2b(f"{seed}/{epoch}".encode(), digest_size=8).digest()
    random.Random(int.from_bytes(digest, "big")).shuffle(order)
    return tuple(order)
