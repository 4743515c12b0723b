"""Which answers does a model give most often? Beside how often they are the right ones.

    python benchmarks/answers.py FOLDER [--most 3]

FOLDER is what `k2 eval run` wrote. By task: samples, how many are right, how many have an answer at all, and the answers that
most of those have, in the form that answers vote in: their share of the samples with an answer, and how many of those samples
are right.
"""

from __future__ import annotations

import argparse
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from plans import rows


def samples(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """By task."""
    found: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows(folder / "samples.jsonl"):
        found[row["task"]].append(row)
    return found


def main(folder: Path, most: int) -> None:
    print(f"{'task':24} {'samples':>7} {'right':>6} {'with one':>8}  answer: share, right of those")
    for task, each in samples(folder).items():
        said = Counter(row["key"] for row in each if row["key"] is not None)
        right = Counter(row["key"] for row in each if row["outcome"] == "correct")
        shares = (f"{key}: {count / said.total():.3f}, {right[key]} of {count}" for key, count in said.most_common(most))
        print(f"{task[:24]:24} {len(each):7} {right.total():6} {said.total():8}  {'; '.join(shares)}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--most", type=int, default=3)
    options = parser.parse_args()
    main(options.folder, options.most)
