"""What an evaluation has stored: each sample's model calls, read from its trace when they are needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from k2core_hooks.reader import Block, RecordedCall, RecordedRun, TraceError, parse_block

from k2core.errors import ConfigError
from k2core.types import Completion, DecodeRequest

from ..records import SampleId
from ..store.folder import TRACES, Folder
from ..store.spans import blocks

Span = tuple[int, int]


@dataclass
class Slot:
    """One stored candidate: the attempts to get it, of which all but the last have failed."""

    attempts: list[RecordedCall]
    choice: int = 0
    """Which of the completions of a call for several."""

    @property
    def request(self) -> DecodeRequest:
        return self.attempts[-1].started.request

    @property
    def last(self) -> RecordedCall:
        return self.attempts[-1]

    @property
    def status(self) -> str:
        return self.last.ended.status if self.last.ended else "cancelled"

    @property
    def completion(self) -> Completion:
        assert self.last.ended is not None
        return self.last.ended.completions[self.choice]

    @property
    def tokens(self) -> int:
        """What the completion cost: of a call for one all that was booked."""
        assert self.last.ended is not None
        alone = len(self.last.ended.completions) == 1
        return self.last.ended.usage.completion_tokens if alone else self.completion.tokens

    @property
    def prompt_tokens(self) -> int:
        assert self.last.ended is not None
        return self.last.ended.usage.prompt_tokens

    @property
    def seconds(self) -> float:
        """How long it took when it was drawn."""
        assert self.last.ended is not None
        return self.completion.timing.total or self.last.ended.usage.seconds


def slots_of(run: RecordedRun) -> list[Slot]:
    """The solver's candidates in the order of their numbers, those that were cancelled left out."""
    by_label: dict[tuple[str, ...], list[RecordedCall]] = {}
    for place, call in enumerate(run.calls):
        if (request := call.started.request).role == "solve":
            by_label.setdefault(request.candidates or (f"unnamed {place}",), []).append(call)
    found = [slot for label in sorted(by_label, key=_numbered) for slot in _slots(by_label[label])]
    return [slot for slot in found if slot.status != "cancelled"]


def _slots(calls: Sequence[RecordedCall]) -> list[Slot]:
    """A slot for each choice. A label that was used again after it was served, as by step-level search, makes more of them."""
    slots, attempts = list[Slot](), list[RecordedCall]()
    for call in calls:
        attempts.append(call)
        if call.ended and call.ended.status == "served":
            slots += [Slot(list(attempts), choice) for choice in range(len(call.ended.completions))]
            attempts.clear()
    return [*slots, Slot(attempts)] if attempts else slots


def _numbered(label: tuple[str, ...]) -> tuple[int, str]:
    first = label[0]
    return (int(first), "") if first.isascii() and first.isdigit() else (1 << 31, first)


@dataclass
class Stored:
    """Where every sample's block stands in `traces.jsonl`; 16 bytes and a name each are held, and one block at a time."""

    path: Path
    pipeline: Mapping[str, Any]
    spans: dict[SampleId, Span] = field(default_factory=dict)

    @classmethod
    def of(cls, folder: Folder) -> Stored:
        """Raises `ConfigError` when the folder has no traces."""
        path, manifest = folder.file(TRACES), folder.manifest()
        if not path.exists():
            raise ConfigError(f"{folder.path} has no {TRACES}, and without it nothing is stored that could be put to another use")
        spans = {span.id: (span.start, span.end) for span in blocks(path) if span.id is not None}
        return cls(path, {"config": manifest.config, "plugins": manifest.plugins}, spans)

    def read(self, sample: SampleId) -> RecordedRun:
        """The recorded run of a sample. Raises `ConfigError` when it is missing or damaged."""
        lines, (start, end) = self.lines(sample), self.spans[sample]
        try:
            return parse_block(Block(start, 1, self.pipeline, lines, end - start), self.path)
        except (TraceError, ValueError) as error:
            raise ConfigError(f"{self.path}: the run of sample {sample} at byte {start} is damaged: {error}") from error

    def lines(self, sample: SampleId) -> list[bytes]:
        """Its block as it stands in the file, the first line of which names the sample. Raises `ConfigError` when it is missing."""
        if sample not in self.spans:
            raise ConfigError(f"{self.path} holds no run of sample {sample}; was the folder copied while it was written?")
        start, end = self.spans[sample]
        with self.path.open("rb") as file:
            file.seek(start)
            return file.read(end - start).splitlines(keepends=True)
