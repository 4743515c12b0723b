"""Accuracy and rate on labelled pairs and completions, ours beside math-verify's:

    python benchmarks/accuracy.py FOLDER [--show] [--only NAME] [--peer]

FOLDER holds `pairs_*.jsonl` ({gold, prediction, expected, source}) and `solutions_*.jsonl[.gz]` ({problem, gold, completion,
correct}). Rows without a label, with a debatable one, or marked ambiguous are left out. `--peer` runs math-verify on the pairs in
this process: gold and prediction as they are, and once more in dollar signs where that says no; letters as letters.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import gzip
import json
import logging
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from k2core_verifier_math.plugin import MathConfig, MathVerifier

from k2core.types import Candidate, Problem, Verdict

Row = dict[str, Any]


@dataclass(frozen=True)
class Case:
    group: str
    problem: Problem
    candidate: Candidate
    gold: str
    right: bool


def rows(path: Path) -> Iterator[Row]:
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as lines:
        yield from map(json.loads, lines)


def pair(row: Row) -> Case | None:
    if row["expected"] is None or row.get("debatable") or row.get("ambiguous"):
        return None
    form: Literal["choice", "boxed"] = "choice" if row.get("kind") == "mcq_letter" else "boxed"
    source = row["source"] if isinstance(row["source"], str) else "model outputs"
    group = source.split(":")[0] if isinstance(row["source"], str) else row["label"].split(":")[0]
    candidate = Candidate(id="c", text=row["prediction"])
    return Case(group, Problem(prompt="pair", answer_format=form), candidate, row["gold"], row["expected"])


def solution(row: Row) -> Case | None:
    if row.get("ambiguous") or row["correct"] is None:
        return None
    return Case("", Problem(prompt=row["problem"]), Candidate(id="c", text=row["completion"]), row["gold"], row["correct"])


async def ours(cases: list[Case]) -> list[Verdict]:
    verifier = MathVerifier(MathConfig(remember=0))
    limit = asyncio.Semaphore(8)

    async def grade(case: Case) -> Verdict:
        async with limit:
            [verdict] = await verifier.k2_verify(case.problem, [case.candidate], case.gold)
            return verdict

    try:
        return list(await asyncio.gather(*map(grade, cases)))
    finally:
        await verifier.k2_stop()


def peer() -> Callable[[Case], bool]:
    """math-verify on one case."""
    from math_verify import StringExtractionConfig, parse, verify  # type: ignore[import-untyped]  # ships no types

    letters = [StringExtractionConfig(strings=tuple("ABCDEFGHIJ"), lowercase=False)]

    def framed(text: str) -> str:
        return text if "$" in text or r"\boxed" in text else f"${text}$"

    def decide(case: Case) -> bool:
        texts = case.gold, case.candidate.text
        if case.problem.answer_format == "choice":
            return bool(verify(*(parse(text, extraction_config=letters) for text in texts)))
        return bool(verify(*map(parse, texts))) or bool(verify(*(parse(framed(text)) for text in texts)))

    return decide


def table(cases: list[Case], verdicts: list[Verdict], other: list[bool] | None) -> None:
    for group in [*sorted({case.group for case in cases}), "all"]:
        chosen = [place for place, case in enumerate(cases) if group in (case.group, "all")]
        count = collections.Counter((cases[place].right, verdicts[place].status) for place in chosen)
        right = count[True, "correct"] + count[False, "incorrect"]
        line = f"  {group[-40:]:40} {right:5} of {len(chosen):5} = {right / len(chosen):6.1%}"
        line += f"  false accepts {count[False, 'correct']}, false rejects {count[True, 'incorrect']}"
        for status in ("undecided", "unparsed", "error"):
            line += f", {status} {count[True, status]}+{count[False, status]}"
        if other is not None:
            theirs = sum(other[place] == cases[place].right for place in chosen)
            accepts = sum(other[place] and not cases[place].right for place in chosen)
            line += f"  | math-verify {theirs} = {theirs / len(chosen):6.1%}, false accepts {accepts}"
        print(line)


async def measure(path: Path, *, show: bool, with_peer: bool) -> None:
    cases = [case for row in rows(path) if (case := (pair if "expected" in row else solution)(row))]
    started = time.perf_counter()
    verdicts = await ours(cases)
    seconds = time.perf_counter() - started
    other = None
    print(f"{path.name}: {len(cases)} cases, {len(cases) / seconds:.0f}/s", end="")
    if with_peer and "pairs" in path.name:
        decide = peer()
        started = time.perf_counter()
        other = [decide(case) for case in cases]
        print(f" (math-verify {len(cases) / (time.perf_counter() - started):.0f}/s)", end="")
    print("; undecided and the like: right ones + wrong ones")
    table(cases, verdicts, other)
    for case, verdict in zip(cases, verdicts, strict=True):
        if (show and (verdict.status == "correct") != case.right) or (show and verdict.status == "undecided"):
            found = (verdict.answer or case.candidate.text)[-90:]
            print("   ", case.right, verdict.status, repr(case.gold[-90:]), "|", repr(found), "|", verdict.reason)


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--show", action="store_true", help="print every wrong or missing decision")
    parser.add_argument("--only", default="", help="files with this in their name")
    parser.add_argument("--peer", action="store_true", help="run math-verify on the same pairs")
    args = parser.parse_args()
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    for path in sorted([*args.folder.glob("pairs_*"), *args.folder.glob("solutions_*")]):
        if "humaneval" not in path.name and args.only in path.name:
            await measure(path, show=args.show, with_peer=args.peer)


if __name__ == "__main__":
    asyncio.run(main())
