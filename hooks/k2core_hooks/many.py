"""`k2 replay` of many runs: a whole evaluation, a folder of traces, a file with several."""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from k2core.concurrency import gather

from .compare import compare, differences
from .digest import digest
from .reader import RecordedRun, SampleKey, TraceError, kind_of, read_blocks, read_runs
from .replayer import Replayer
from .terminal import printable

SAMPLES = "samples.jsonl"
SHOWN = 20
"""Runs that differ, and lines on what was left out, that are printed one by one."""


def holds_many(path: str) -> bool:
    """Whether a path is a folder, or a file of more than one run or of an evaluation. Raises `OSError`."""
    file = Path(path)
    if file.is_dir():
        return True
    blocks = list(itertools.islice(read_blocks(file), 2))
    return len(blocks) > 1 or any(block.pipeline or kind_of(block.lines[0]) == "sample" for block in blocks)


@dataclass
class Outcome:
    """One replayed run beside its recording."""

    name: str
    recorded: str
    replayed: str
    differing: dict[str, list[str]]
    """What differs, item by item; empty when the hashes are equal."""

    @property
    def same(self) -> bool:
        return not self.differing


@dataclass
class Tally:
    """What came of all runs."""

    same: int = 0
    again: int = 0
    differing: list[Outcome] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    """Samples that the evaluation counts and that no trace was found for."""
    seconds: float = 0.0

    @property
    def runs(self) -> int:
        return self.same + len(self.differing)

    @property
    def good(self) -> bool:
        return bool(self.runs) and not self.differing and not self.missing


def replay_many(args: argparse.Namespace) -> int:
    """Replay them all; the exit status says whether all are the same. Raises `TraceError`, `OSError`, `ConfigError`."""
    tally = asyncio.run(replay_all(args.trace, args.set, args.timeout, args.limit, args.jobs))
    if args.json:
        print(json.dumps(_as_json(args.trace, tally), indent=2, ensure_ascii=False))
    else:
        _print(tally)
    return 0 if tally.good else 1


async def replay_all(
    path: str,
    overrides: Sequence[str] = (),
    longest: float | None = None,
    limit: int | None = None,
    jobs: int = 16,
    replayer: Replayer | None = None,
) -> Tally:
    """Replay the runs of `path`, `jobs` at a time, and compare each with its recording and, in an evaluation's folder, with the
    hash that its sample was written with. Raises `TraceError`, `OSError` and `ConfigError`."""
    tally, known, began = Tally(), sample_digests(Path(path)), time.monotonic()
    wanted, found = known, set[SampleKey]()
    runs = itertools.islice(_counted(read_runs(path, tally.skipped.append), wanted, found, tally), limit)
    async with replayer or Replayer(overrides, longest) as player:
        await gather(_work(runs, player, known or {}, tally, not overrides) for _ in range(jobs))
    if known and limit is None:
        tally.missing = [_name(key) for key, expected in known.items() if expected and key not in found]
    tally.again, tally.seconds = player.again, time.monotonic() - began
    tally.differing.sort(key=lambda outcome: outcome.name)
    _wipe()
    return tally


def sample_digests(path: Path) -> dict[SampleKey, str] | None:
    """What the samples of an evaluation's folder must come out as; None where the path is no such folder.

    Nothing for those that failed for want of infrastructure: of some there is no run at all.
    """
    file = path / SAMPLES
    if not path.is_dir() or not file.exists():
        return None
    known: dict[SampleKey, str] = {}
    with file.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if line.endswith(b"\n"):  # else it was never finished
                try:
                    row = json.loads(line)
                    lost = row.get("outcome") == "infrastructure"
                    known[row["task"], row["place"], row["repeat"]] = "" if lost else row["digest"]
                except (ValueError, KeyError, TypeError) as error:
                    raise TraceError(f"{file}, line {number} is no sample: {error!r}") from error
    return known


def _counted(
    runs: Iterator[RecordedRun], known: Mapping[SampleKey, str] | None, found: set[SampleKey], tally: Tally
) -> Iterator[RecordedRun]:
    """The runs that are to be replayed: those of an evaluation only that have become samples."""
    for run in runs:
        if run.bare:
            tally.skipped.append(f"{_label(run)}: left out, a bare run made with Runtime.open, which only whole runs can follow")
        elif known is not None and (run.sample is None or run.sample not in known):
            tally.skipped.append(f"{_label(run)}: left out, no sample in {SAMPLES}; its evaluation was interrupted there")
        else:
            if run.sample:
                found.add(run.sample)
            yield run


async def _work(
    runs: Iterable[RecordedRun], replayer: Replayer, known: Mapping[SampleKey, str], tally: Tally, hashed: bool
) -> None:
    for run in runs:
        outcome = await _outcome(run, replayer, known.get(run.sample, "") if hashed and run.sample else "")
        if outcome.same:
            tally.same += 1
        else:
            tally.differing.append(outcome)
        _progress(tally)


async def _outcome(run: RecordedRun, replayer: Replayer, expected: str) -> Outcome:
    ended = await replayer.replay(run)
    assert run.ended is not None
    recorded = expected or digest(run.ended.result, run.ended.usage, run.ended.error)
    replayed = digest(ended.result, ended.usage, ended.error)
    told = {item.name: differences(item) for item in compare(run.ended, ended) if not item.same}
    if recorded != replayed and not told:
        told = {"digest": [f"the sample was written with {recorded[:16]}, its trace gives {replayed[:16]}"]}
    return Outcome(_label(run), recorded, replayed, told)


def _label(run: RecordedRun) -> str:
    return _name(run.sample) if run.sample else f"{run.path.name}, run {run.started.run_id}"


def _name(key: SampleKey) -> str:
    return "/".join(map(str, key))


# telling


def _progress(tally: Tally) -> None:
    if sys.stderr.isatty() and tally.runs % 25 == 0:
        print(f"\r\x1b[K{tally.runs:,} runs, {len(tally.differing):,} differ", end="", file=sys.stderr, flush=True)


def _wipe() -> None:
    if sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def _print(tally: Tally) -> None:
    for outcome in tally.differing[:SHOWN]:
        print(f"differs  {printable(outcome.name)}")
        for item, lines in outcome.differing.items():
            for line in lines:
                print(f"         {item}: {printable(line)}")
    if len(tally.differing) > SHOWN:
        print(f"         and {len(tally.differing) - SHOWN:,} more that differ; --json has them all")
    left_out = [*tally.skipped, *(f"{name}: there is no trace of this sample" for name in tally.missing)]
    for line in left_out[:SHOWN]:
        print(f"k2: warning: {printable(line)}", file=sys.stderr)
    if len(left_out) > SHOWN:
        print(f"k2: warning: and {len(left_out) - SHOWN:,} more", file=sys.stderr)
    missing = f", {len(tally.missing):,} without a trace" if tally.missing else ""
    print(f"{tally.same:,} of {tally.runs:,} runs are the same{missing} ({tally.seconds:.1f} s)")


def _as_json(path: str, tally: Tally) -> dict[str, Any]:
    return {
        "trace": path,
        "runs": tally.runs,
        "same": tally.same,
        "differing": [
            {"run": o.name, "recorded": o.recorded, "replayed": o.replayed, "items": o.differing} for o in tally.differing
        ],
        "skipped": tally.skipped,
        "missing": tally.missing,
    }
