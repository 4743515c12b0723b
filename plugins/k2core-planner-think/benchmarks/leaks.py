"""Precision and recall of the leak guard on the labelled plans of its tests: `python benchmarks/leaks.py`."""

from __future__ import annotations

import json
from pathlib import Path

from k2core_planner_think import find_leaks

PLANS = Path(__file__).parents[1] / "tests" / "plans.jsonl"


def main() -> None:
    plans = [json.loads(line) for line in PLANS.read_text(encoding="utf-8").splitlines()]
    print("part         leaky  clean  precision  recall")
    for part in sorted({plan["part"] for plan in plans}):
        labelled = [(plan["leak"], bool(find_leaks(plan["plan"]))) for plan in plans if plan["part"] == part]
        leaky, flagged = sum(leak for leak, _ in labelled), sum(found for _, found in labelled)
        right = sum(leak and found for leak, found in labelled)
        print(f"{part:12} {leaky:5} {len(labelled) - leaky:6} {right / flagged:10.2f} {right / leaky:7.2f}")


if __name__ == "__main__":
    main()
