"""Do verdicts agree with what is known? Reference solutions must pass, labelled samples must be judged as labelled.

    python plugins/k2core-verifier-code/benchmarks/agreement.py FOLDER [--sandbox landlock] [--limit N] [--workers W]

FOLDER holds `bench/humaneval.jsonl`, `bench/mbpp.jsonl` and `open/solutions_humaneval_codegen16b.jsonl.gz`
(or any `*humaneval_codegen*`).
Every disagreement is printed.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import json
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from k2core_verifier_code.plugin import CodeConfig, CodeVerifier

from k2core import Candidate, Problem, Verdict

Row = tuple[str, list[str], str, list[bool]]
"""Name, completions, reference, and whether each completion is right."""


def rows(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as lines:
        yield from map(json.loads, lines)


def humaneval(path: Path) -> Iterator[Row]:
    for row in rows(path):
        reference = {"prompt": row["problem"], "test": row["test"], "entry_point": row["entry_point"]}
        yield row["id"], [row["answer"]], json.dumps(reference), [True]


def mbpp(path: Path) -> Iterator[Row]:
    for row in rows(path):
        reference = {"tests": row["tests"], "challenge_tests": row["challenge_tests"], "test_setup_code": row["test_setup"]}
        yield row["id"], [row["answer"]], json.dumps(reference), [True]


def codegen(path: Path, tests: Path) -> Iterator[Row]:
    known = {row["id"]: row for row in rows(tests)}
    for row in rows(path):
        test = known[row["pid"]]
        reference = {"prompt": row["prompt"], "test": test["test"], "entry_point": test["entry_point"]}
        samples = row["samples"]
        yield row["pid"], [one["completion"] for one in samples], json.dumps(reference), [one["passed"] for one in samples]


async def measure(name: str, found: list[Row], verifier: CodeVerifier, workers: int) -> None:
    queue, odd, statuses, began = list(reversed(found)), [], Counter[str](), time.perf_counter()

    async def work() -> None:
        while queue:
            title, texts, reference, labels = queue.pop()
            candidates = [Candidate(id=str(place), text=text) for place, text in enumerate(texts)]
            verdicts = await verifier.k2_verify(Problem(prompt=title), candidates, reference)
            for place, (verdict, label) in enumerate(zip(verdicts, labels, strict=True)):
                statuses[verdict.status] += 1
                if (verdict.status == "correct") != label:
                    odd.append((title, place, label, verdict))

    await asyncio.gather(*(work() for _ in range(workers)))
    report(name, sum(statuses.values()), time.perf_counter() - began, statuses, odd)


def report(name: str, count: int, seconds: float, statuses: Counter[str], odd: list[tuple[str, int, bool, Verdict]]) -> None:
    agreed = count - len(odd)
    print(
        f"{name}: {agreed} of {count} as expected ({100 * agreed / count:.2f} %), {seconds:.1f} s, {count / seconds:.0f}/s, "
        f"{dict(statuses)}"
    )
    for title, place, label, verdict in sorted(odd, key=lambda one: one[:2]):
        print(f"  {title} [{place}] labelled {'right' if label else 'wrong'}, is {verdict.status}: {verdict.reason}")


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sandbox", default="auto")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--limit", type=int, default=None, help="problems of each set")
    options = parser.parse_args()
    bench = options.folder / "bench"
    sets = {"HumanEval references": humaneval(bench / "humaneval.jsonl"), "MBPP references": mbpp(bench / "mbpp.jsonl")}
    for path in sorted(options.folder.glob("*/*humaneval_codegen*.jsonl*")):
        sets[path.name] = codegen(path, bench / "humaneval.jsonl")
    verifier = CodeVerifier(CodeConfig(sandbox=options.sandbox, workers=options.workers))
    await verifier.k2_start()
    try:
        for name, found in sets.items():
            await measure(name, list(found)[: options.limit], verifier, options.workers)
    finally:
        await verifier.k2_stop()


if __name__ == "__main__":
    asyncio.run(main())
