"""A hunt for wrong verdicts among real answers: `python benchmarks/perturbed.py FOLDER [--seed 0]`.

FOLDER holds problem sets (*.jsonl, plain or gzipped) with an `answer` a row. Every answer that is not a plain integer is judged
against itself, against itself with one digit changed, and against the answer of another problem. Accepted pairs of the last two
kinds are printed, to be read by eye: a changed digit may leave the value as it was. Nothing is known of the undecided ones.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import gzip
import json
import random
import re
from collections.abc import Iterator
from pathlib import Path

from k2core_verifier_math.plugin import MathVerifier

from k2core.types import Candidate, Problem

PROBLEM = Problem(prompt="answers alone")
Pair = tuple[str, str, str]
"""Reference, answer, kind."""


def answers(folder: Path) -> Iterator[str]:
    for path in sorted(folder.glob("*.jsonl*")):
        with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as lines:
            yield from (
                str(row["answer"]) for row in map(json.loads, lines) if row.get("domain", "math") == "math" and "answer" in row
            )


def changed(answer: str, chance: random.Random) -> str:
    """With one digit replaced by another; as it is where there is none."""
    digits = [*re.finditer(r"\d", answer)]
    if not digits:
        return answer
    one = chance.choice(digits)
    return f"{answer[: one.start()]}{(int(one[0]) + chance.randint(1, 9)) % 10}{answer[one.end() :]}"


def pairs(found: list[str], chance: random.Random) -> list[Pair]:
    others = chance.sample(found, len(found))
    made = [(one, one, "itself") for one in found]
    made += [(one, changed(one, chance), "a digit changed") for one in found]
    made += [(one, other, "another's") for one, other in zip(found, others, strict=True)]
    return [pair for pair in made if pair[2] == "itself" or pair[0] != pair[1]]


async def hunt(cases: list[Pair]) -> None:
    verifier, free = MathVerifier(), asyncio.Semaphore(4)
    table, accepted = collections.Counter[tuple[str, str]](), list[str]()

    async def judge(gold: str, answer: str, kind: str) -> None:
        async with free:
            [verdict] = await verifier.k2_verify(PROBLEM, [Candidate(id="c", text=answer, answer=answer)], gold)
        table[kind, verdict.status] += 1
        if kind != "itself" and verdict.status == "correct":
            accepted.append(f"{kind}: {gold!r} | {answer!r} | {verdict.reason}")

    await asyncio.gather(*(judge(*case) for case in cases))
    await verifier.k2_stop()
    for (kind, status), count in sorted(table.items()):
        print(f"{kind:<16} {status:<10} {count:>6}")
    print(*accepted, sep="\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    found = sorted({one for one in answers(args.folder) if 0 < len(one) < 200 and not re.fullmatch(r"-?\d+", one)})
    asyncio.run(hunt(pairs(found, random.Random(args.seed))))


if __name__ == "__main__":
    main()
