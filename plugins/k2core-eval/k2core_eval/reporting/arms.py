"""One evaluation folder as a report needs it: read once, in memory only what is small for each sample."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeAlias

from pydantic import ValidationError

from k2core.errors import ConfigError

from ..contamination.report import Report
from ..records import Manifest, Outcome, Sample, Spent
from ..statistics.clocks import Clocks, clocks
from ..statistics.summary import Summary, summarise
from ..store.folder import ATTEMPTS, Folder

CONTAMINATION = "contamination.json"

Place: TypeAlias = tuple[str, int]
"""Task and index of a problem."""


class Light(NamedTuple):
    """What is kept of a sample."""

    problem_id: str
    outcome: Outcome
    tokens: int
    """All that the pipeline spent on it."""
    length: int
    """Tokens of the chosen candidate; 0 without one."""
    digest: str
    """Two samples with the same one went the same way, to the letter."""


class Attempts(NamedTuple):
    """What `attempts.jsonl` tells of the way to the samples that are there."""

    sessions: int = 0
    interrupted: int = 0
    """Runs that a kill ended, so that nobody knows what they had spent."""
    failed: int = 0
    """Runs that failed and were made again."""
    tokens: int = 0
    """What those had spent; in no other figure."""


@dataclass(frozen=True)
class Arm:
    number: int
    name: str
    folder: Folder
    manifest: Manifest
    summary: Summary
    clocks: Clocks | None
    outcomes: Mapping[Place, Sequence[Light]]
    attempts: Attempts
    contamination: Report | None
    """As `k2 eval contamination` wrote it; None where nobody looked."""

    @property
    def expected(self) -> int:
        return sum(run.problems * run.repeats for run in self.manifest.tasks)

    @property
    def have(self) -> int:
        return sum(len(row) for row in self.outcomes.values())

    @property
    def lights(self) -> Iterator[Light]:
        return (light for row in self.outcomes.values() for light in row)


def read_arms(folders: Sequence[str | Path]) -> list[Arm]:
    """The arms in the order given, but for one labelled `bare`, which is first; with names of their own.

    Raises `ConfigError` for a folder without an evaluation or samples.
    """
    if not folders:
        raise ConfigError("no evaluation to report; name at least one folder that k2 eval run wrote")
    opened = [Folder(folder) for folder in folders]
    manifests = [folder.manifest() for folder in opened]
    order = sorted(range(len(opened)), key=lambda i: manifests[i].label.lower().rpartition(":")[2].strip() != "bare")
    opened, manifests = [opened[i] for i in order], [manifests[i] for i in order]
    names = _names(manifests, opened)
    return [_arm(i, *parts) for i, parts in enumerate(zip(names, opened, manifests, strict=True))]


def _arm(number: int, name: str, folder: Folder, manifest: Manifest) -> Arm:
    outcomes: dict[Place, dict[int, Light]] = {}

    def passing() -> Iterator[Sample]:
        for sample in folder.samples():
            outcomes.setdefault((sample.task, sample.place), {})[sample.repeat] = _light(sample)
            yield sample

    summary = summarise(manifest, passing(), problems=folder.problems())
    if not outcomes:
        raise ConfigError(f"{folder.path} holds no finished sample yet; let k2 eval run go on")
    rows = {place: [row[repeat] for repeat in sorted(row)] for place, row in sorted(outcomes.items())}
    times = list(folder.times())
    return Arm(
        number=number,
        name=name,
        folder=folder,
        manifest=manifest,
        summary=summary,
        clocks=clocks(times) if times else None,
        outcomes=rows,
        attempts=_attempts(folder.file(ATTEMPTS)),
        contamination=_contamination(folder.file(CONTAMINATION)),
    )


def _light(sample: Sample) -> Light:
    length = next((c.tokens for c in sample.candidates if c.id == sample.chosen), 0)
    return Light(sample.problem_id, sample.outcome, sample.tokens, length, sample.digest)


def _names(manifests: Sequence[Manifest], folders: Sequence[Folder]) -> list[str]:
    """Labels where they tell the arms apart, else with the folders' names."""
    labels = [m.label or f.path.resolve().name for m, f in zip(manifests, folders, strict=True)]
    twice = {label for label, count in Counter(labels).items() if count > 1}
    named = [f"{label} ({f.path.resolve().name})" if label in twice else label for label, f in zip(labels, folders, strict=True)]
    return [name if named.count(name) == 1 else f"{name} #{i + 1}" for i, name in enumerate(named)]


def _attempts(path: Path) -> Attempts:
    """A line cut off by a kill is no line."""
    if not path.exists():
        return Attempts()
    sessions = interrupted = failed = tokens = 0
    with path.open("rb") as file:
        for line in file:
            data = json.loads(line) if line.endswith(b"\n") else {}
            sessions += data.get("kind") == "session"
            interrupted += int(data.get("interrupted", 0))
            if data.get("kind") == "failed":
                failed += 1
                tokens += sum(Spent.model_validate(one).usage.tokens for one in data.get("spent", ()))
    return Attempts(sessions, interrupted, failed, tokens)


def _contamination(path: Path) -> Report | None:
    if not path.exists():
        return None
    try:
        return Report.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise ConfigError(f"{path} cannot be read: {error}; make it again with k2 eval contamination") from error
