"""Does a model answer test problems better that have a twin among the training problems?

    python benchmarks/twins.py FOLDER --seed SEED

FOLDER is what `k2 eval run nano:… --seed SEED` wrote. A twin is the same problem but for the order of the terms of a sum of
fractions, or the letters of a formula, which a problem's key tells apart. By task, and by the families that have twins: samples,
those of problems with a twin in the training split and which share of them is right, and the same of the others.
"""

from __future__ import annotations

import argparse
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from k2core_nano.families.logic import LETTERS
from k2core_nano.tasks import items, problem_of, side, split_of, wanted
from plans import rows


def twins(family: str, key: str) -> Iterator[str]:
    """Keys of the same problem."""
    if family == "fractions" and (terms := re.fullmatch(r"(\S+) \+ (\S+)", key)):
        yield f"{terms[2]} + {terms[1]}"
    if family == "truth-table":
        used = next(pair for pair in LETTERS if set(pair) & set(re.findall(r"\b[A-Z]\b", key)))
        for pair in LETTERS:
            yield re.sub(r"\b[A-Z]\b", lambda letter, pair=pair: pair[used.index(letter[0])], key)  # type: ignore[misc]


def keys(task: str, seed: int, count: int) -> dict[str, tuple[str, str]]:
    """Family and key by the problem's name."""
    found: dict[str, tuple[str, str]] = {}
    for family, levels in wanted(task.removeprefix("nano:")):
        for place, item in enumerate(items(family, levels, split_of("test"), seed)):
            if place == count:
                break
            found[problem_of(item).id or ""] = family, item.drawn.key
    return found


def main(folder: Path, seed: int) -> None:
    right: defaultdict[str, list[list[bool]]] = defaultdict(lambda: [[], []])
    samples = list(rows(folder / "samples.jsonl"))
    places = {task: 1 + max(row["place"] for row in samples if row["task"] == task) for task in {row["task"] for row in samples}}
    known = {task: keys(task, seed, count) for task, count in places.items()}
    if strange := [row["problem_id"] for row in samples if row["problem_id"] not in known[row["task"]]]:
        raise SystemExit(f"{strange[0]} is not among the problems of seed {seed}; with which one was {folder} evaluated?")
    for row in samples:
        family, key = known[row["task"]][row["problem_id"]]
        told = any(twin != key and side(family, twin) == split_of("train") for twin in twins(family, key))
        for name in (row["task"], f"{row['task']} {family}"):
            right[name][told].append(row["outcome"] == "correct")
    print(f"{'task':28} {'samples':>8} {'with a twin':>12} {'right':>6} {'without':>8} {'right':>6}")
    for name, (alone, told) in sorted(right.items()):
        if told:
            shares = [f"{sum(each) / len(each):6.1%}" if each else f"{'':6}" for each in (told, alone)]
            print(f"{name:28} {len(alone) + len(told):8} {len(told):12} {shares[0]} {len(alone):8} {shares[1]}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, required=True)
    options = parser.parse_args()
    main(options.folder, options.seed)
