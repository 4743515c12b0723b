"""How good are the plans of an evaluation? Beside those of the worked solutions, and what the answers are with each.

    python benchmarks/plans.py FOLDER          an arm with a planner of `k2 eval run nano:…`

A plan is the problem's own, or one that another problem of the family has, or another one; none means that none could be
read, or that the check for disclosures left nothing of it. By task: samples, their share, answers that are right, Wilson's
95 % interval.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from families import wilson

KINDS = ("the problem's own", "its family's", "another", "none")


def rows(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as file:
        yield from map(json.loads, file)


def plain(plan: str) -> str:
    """Without the white space that a planner may lay out otherwise."""
    return " ".join(plan.split())


def counted(folder: Path) -> dict[str, Counter[tuple[str, bool]]]:
    """By task, how many samples there are of each kind of plan and outcome."""
    problems = {(row["task"], row["place"]): row["meta"] for row in rows(folder / "problems.jsonl")}
    family: defaultdict[str, set[str]] = defaultdict(set)
    for meta in problems.values():
        family[meta["family"]].add(plain(meta["plan"]))
    found: defaultdict[str, Counter[tuple[str, bool]]] = defaultdict(Counter)
    for row in rows(folder / "samples.jsonl"):
        meta, plan = problems[row["task"], row["place"]], plain(row["plan"] or "")
        same = (plan == plain(meta["plan"]), plan in family[meta["family"]], bool(plan), True)
        found[row["task"]][KINDS[same.index(True)], row["outcome"] == "correct"] += 1
    return found


def main(folder: Path) -> None:
    print(f"{'task':12} {'plan':18} {'samples':>7} {'share':>6} {'right':>6}  interval")
    for task, counts in counted(folder).items():
        for kind in KINDS:
            right, count = counts[kind, True], counts[kind, True] + counts[kind, False]
            if count:
                low, high = wilson(right, count)
                share = count / counts.total()
                print(f"{task:12} {kind:18} {count:7} {share:6.1%} {right / count:6.1%}  [{low:.1%}, {high:.1%}]")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    main(parser.parse_args().folder)
