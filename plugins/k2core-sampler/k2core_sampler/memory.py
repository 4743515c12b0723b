"""What `adaptive` has learnt from the problems solved before, and the file that keeps it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from .learnt import Prior
from .sources import Sources
from .stopping import Said


@dataclass
class Learnt:
    """How much votes agree, and who is right how often."""

    prior: Prior
    sources: Sources

    def learn(self, votes: Iterable[Said]) -> None:
        """Take in the counted votes of one more problem."""
        voting = [(said.source, said.key) for said in votes if said.key is not None]
        self.prior.learn(Counter(key for _, key in voting).values())
        self.sources.learn(voting)

    def load(self, path: str) -> None:
        """Learn what the file holds, if there is one. Raises `ValueError` when it holds something else."""
        file = Path(path).expanduser()
        if not file.exists():
            return
        try:
            problems = json.loads(file.read_text())["problems"]
            agreement = [[int(count) for count in counts] for counts in problems["agreement"]]
            votes = [[(str(source), str(key)) for source, key in voting] for voting in problems["votes"]]
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{file} is no memory of the sampler adaptive ({error!r}); remove it or name another") from error
        self.prior.recall(agreement)
        self.sources.recall(votes)

    def save(self, path: str) -> None:
        """Write the file, whole or not at all."""
        file = Path(path).expanduser()
        half = file.with_name(file.name + ".part")
        half.write_text(json.dumps({"problems": {"agreement": self.prior.seen(), "votes": self.sources.seen()}}))
        half.replace(file)
