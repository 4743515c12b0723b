"""The seeds of an evaluation's runs."""

from __future__ import annotations

import hashlib


class Seeds:
    """One seed in 0..2**31-1 for each sample, no two alike. Ask in the order of the samples, always from the first one on."""

    def __init__(self, base: int) -> None:
        self._base = base
        self._given = set[int]()

    def next(self, task: str, problem_id: str, repeat: int) -> int:
        """Depends on these alone; where two would coincide, the later one is drawn again.

        Of a task that is a file the name counts and not the folder, so that the same evaluation has the same seeds wherever its
        data lie.
        """
        task = task.replace("\\", "/").rpartition("/")[2]
        for turn in range(1 << 31):
            text = f"{self._base}\n{task}\n{problem_id}\n{repeat}" + (f"\n{turn}" if turn else "")
            seed = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest(), "big") >> 1
            if seed not in self._given:
                self._given.add(seed)
                return seed
        raise AssertionError("unreachable: there are 2**31 seeds")
