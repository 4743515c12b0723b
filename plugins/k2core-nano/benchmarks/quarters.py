"""How a training by `k2 train grpo` went, quarter by quarter.

    python benchmarks/quarters.py FOLDER

FOLDER is the training's. By quarter of its steps: their mean reward, the accuracy on held-back problems at its end, if it was
measured then, and of which families the problems in `samples.jsonl` are.
"""

from __future__ import annotations

import argparse
import statistics
from collections import Counter
from pathlib import Path

from plans import rows


def main(folder: Path) -> None:
    logged = list(rows(folder / "metrics.jsonl"))
    rewards = {row["step"]: row["reward"] for row in logged if "reward" in row}
    accuracy = {row["step"]: row["eval_accuracy"] for row in logged if "eval_accuracy" in row}
    families = [(row["step"], row["problem"].split("/")[1]) for row in rows(folder / "samples.jsonl")]
    print(f"before: eval_accuracy {accuracy.get(0, '-')}")
    last = max(rewards)
    for first, end in ((last * n // 4 + 1, last * (n + 1) // 4) for n in range(4)):
        drawn = Counter(family for step, family in families if first <= step <= end)
        mean = statistics.mean(reward for step, reward in rewards.items() if first <= step <= end)
        shares = ", ".join(f"{family} {count}" for family, count in drawn.most_common())
        print(f"steps {first} to {end}: reward {mean:.2f}, eval_accuracy {accuracy.get(end, '-')}; of {drawn.total()}: {shares}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    main(parser.parse_args().folder)
