"""Accuracy and rate on labelled pairs and completions: `python benchmarks/accuracy.py FOLDER [--show]`.

FOLDER holds `pairs_*.jsonl` ({gold, prediction, expected}) and `solutions_*.jsonl[.gz]` ({problem, gold, completion, correct}).
Rows without a label, with a debatable one, or marked trivial or ambiguous are left out.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import gzip
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from k2core_verifier_math.plugin import MathConfig, MathVerifier

from k2core.types import Candidate, Problem, Verdict

Row = dict[str, Any]


def rows(path: Path) -> Iterator[Row]:
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as lines:
        yield from map(json.loads, lines)


def pair(row: Row) -> tuple[Problem, Candidate, str, bool] | None:
    if row["expected"] is None or row.get("trivial") or row.get("debatable") or row.get("ambiguous"):
        return None
    form: Literal["choice", "boxed"] = "choice" if row.get("kind") == "mcq_letter" else "boxed"
    words = re.findall(r"(?<![\\a-z])[a-z]{3,}", row["prediction"].lower())
    bare = form == "boxed" and len(words) < 4 and row["prediction"].isascii() and "boxed" not in row["prediction"]
    answer = row["prediction"] if bare else None
    problem = Problem(prompt="pair", answer_format=form)
    return problem, Candidate(id="c", text=row["prediction"], answer=answer), row["gold"], row["expected"]


def solution(row: Row) -> tuple[Problem, Candidate, str, bool] | None:
    if row.get("ambiguous") or row["correct"] is None:
        return None
    return Problem(prompt=row["problem"]), Candidate(id="c", text=row["completion"]), row["gold"], row["correct"]


async def measure(verifier: MathVerifier, path: Path, show: bool) -> None:
    cases = [case for row in rows(path) if (case := (pair if "expected" in row else solution)(row))]
    limit, verdicts, started = asyncio.Semaphore(8), dict[int, Verdict](), time.perf_counter()

    async def grade(place: int) -> None:
        async with limit:
            problem, candidate, gold, _ = cases[place]
            [verdicts[place]] = await verifier.k2_verify(problem, [candidate], gold)

    await asyncio.gather(*(grade(place) for place in range(len(cases))))
    seconds = time.perf_counter() - started
    table = collections.Counter((case[3], verdicts[place].status) for place, case in enumerate(cases))
    right = table[True, "correct"] + table[False, "incorrect"]
    print(f"{path.name}: {len(cases)} cases, {len(cases) / seconds:.0f}/s, decided rightly {right}")
    print(f"  false accepts {table[False, 'correct']}, false rejects {table[True, 'incorrect']}, ", end="")
    print(
        *(f"{status}: {table[True, status]} true, {table[False, status]} false" for status in ("undecided", "unparsed", "error")),
        sep="; ",
    )
    for place, (_, candidate, gold, expected) in enumerate(cases):
        verdict = verdicts[place]
        if show and (verdict.status == "correct") != expected:
            print(
                "   ",
                expected,
                verdict.status,
                repr(gold[-90:]),
                "|",
                repr((verdict.answer or candidate.text)[-90:]),
                "|",
                verdict.reason,
            )


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--show", action="store_true", help="print every wrong or missing decision")
    parser.add_argument("--only", default="")
    args = parser.parse_args()
    verifier = MathVerifier(MathConfig())
    for path in sorted([*args.folder.glob("pairs_*"), *args.folder.glob("solutions_*")]):
        if "humaneval" not in path.name and args.only in path.name:
            await measure(verifier, path, args.show)
    await verifier.k2_stop()


if __name__ == "__main__":
    asyncio.run(main())
