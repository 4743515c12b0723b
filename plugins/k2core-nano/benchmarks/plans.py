"""How good are the plans of an evaluation? Beside those of the worked solutions, and what the answers are with each.

    python benchmarks/plans.py FOLDER [--against OTHER]

FOLDER is an arm with a planner of `k2 eval run nano:…`, OTHER one without, of the same problems. A plan is the problem's own, or
one that another problem of the family has, or another one; none means that none could be read, or that the check for disclosures
left nothing of it. By task: samples, their share, answers that are right, Wilson's 95 % interval; problems that are right in
FOLDER alone (won) and in OTHER alone (lost).
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
Place = tuple[str, int, int]
"""Task, place in it, repeat."""


def rows(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as file:
        yield from map(json.loads, file)


def plain(plan: str) -> str:
    """Without the white space that a planner may lay out otherwise."""
    return " ".join(plan.split())


def outcomes(folder: Path) -> dict[Place, bool]:
    """Which samples are right."""
    return {(row["task"], row["place"], row["repeat"]): row["outcome"] == "correct" for row in rows(folder / "samples.jsonl")}


def kinds(folder: Path) -> dict[Place, str]:
    """What sort of plan each sample has."""
    problems = {(row["task"], row["place"]): row["meta"] for row in rows(folder / "problems.jsonl")}
    family: defaultdict[str, set[str]] = defaultdict(set)
    for meta in problems.values():
        family[meta["family"]].add(plain(meta["plan"]))
    found: dict[Place, str] = {}
    for row in rows(folder / "samples.jsonl"):
        meta, plan = problems[row["task"], row["place"]], plain(row["plan"] or "")
        same = (plan == plain(meta["plan"]), plan in family[meta["family"]], bool(plan), True)
        found[row["task"], row["place"], row["repeat"]] = KINDS[same.index(True)]
    return found


def main(folder: Path, against: Path | None) -> None:
    right, other, sorts = outcomes(folder), outcomes(against) if against else {}, kinds(folder)
    counts = Counter(task for task, *_ in sorts)
    print(f"{'task':12} {'plan':18} {'samples':>7} {'share':>6} {'right':>6}  {'interval':16} won lost")
    for task, count in counts.items():
        for kind in KINDS:
            if places := [place for place, its in sorts.items() if place[0] == task and its == kind]:
                rights = sum(right[place] for place in places)
                low, high = wilson(rights, len(places))
                told = f"{len(places):7} {len(places) / count:6.1%} {rights / len(places):6.1%}  [{low:.1%}, {high:.1%}]"
                differ = Counter(right[place] for place in places if right[place] != other.get(place, right[place]))
                print(f"{task:12} {kind:18} {told:49} {differ[True]:3} {differ[False]:4}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--against", type=Path, metavar="OTHER")
    options = parser.parse_args()
    main(options.folder, options.against)
