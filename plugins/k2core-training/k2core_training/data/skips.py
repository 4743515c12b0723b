"""What was left out, why, and the first examples of each reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from ..errors import TrainingError
from ..events import Skipped

TOLD = 5


class Skips:
    """Counts by reason. With `strict` the first one is an error."""

    def __init__(self, strict: bool = False, where: str = "trainer.data") -> None:
        """`where`: the table that has the option `strict`."""
        self._strict, self._where = strict, where
        self.counts: Counter[str] = Counter()
        self.examples: dict[str, list[str]] = {}

    def add(self, reason: str, place: str, detail: str = "") -> None:
        """One more. Raises `TrainingError` when `strict`."""
        example = f"{place}: {detail}" if detail else place
        if self._strict:
            raise TrainingError(f"{example}: {reason}; with {self._where}.strict = false such rows are left out and counted")
        self.counts[reason] += 1
        known = self.examples.setdefault(reason, [])
        if len(known) < TOLD:
            known.append(example)

    def told(self) -> Iterator[str]:
        """A line a reason, the most frequent first."""
        for reason, count in self.counts.most_common():
            yield f"{count:,} {reason}, such as {self.examples[reason][0]}"

    def events(self) -> Iterator[Skipped]:
        """One a reason, for observers."""
        for reason, count in self.counts.items():
            yield Skipped(reason=reason, count=count, examples=tuple(self.examples[reason]))

    def state(self) -> dict[str, object]:
        return {"counts": dict(self.counts), "examples": self.examples}
