"""Which answers does a model give most often? Beside how often they are the right ones.

    python benchmarks/answers.py FOLDER [--most 3]

FOLDER is what `k2 eval run` wrote. By task: samples, how many have an answer at all, and the answers that most of those have,
in the form that answers vote in: their share of the samples with an answer, and how many of those samples are right. A model
that says the same whatever is asked has learnt no family of problems.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any


def samples(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """By task."""
    found: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    with (folder / "samples.jsonl").open(encoding="utf-8") as file:
        for row in map(json.loads, file):
            found[row["task"]].append(row)
    return found


def main(folder: Path, most: int) -> None:
    print(f"{'task':24} {'samples':>7} {'with one':>8}  answer: share, right of those")
    for task, rows in samples(folder).items():
        said = Counter(row["key"] for row in rows if row["key"] is not None)
        right = Counter(row["key"] for row in rows if row["outcome"] == "correct")
        shares = (f"{key}: {count / said.total():.3f}, {right[key]} of {count}" for key, count in said.most_common(most))
        print(f"{task[:24]:24} {len(rows):7} {said.total():8}  {'; '.join(shares)}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--most", type=int, default=3)
    options = parser.parse_args()
    main(options.folder, options.most)
