"""How often `k2 eval compare` calls one of two equals better, what it sees of a true difference, and whether intervals hold.

    python plugins/k2core-eval/benchmarks/aa.py [--comparisons 1000] [--seed 1] [--part equals|power|coverage]

Samples are drawn in memory, from problems of uneven difficulty (Beta), with four wrong answers of falling frequency, cut-off
samples without an answer and log-normal lengths. Each comparison draws new problems. Shares are given with their Wilson interval.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass, replace

import numpy as np
from k2core_eval.comparing.comparison import overall, task
from k2core_eval.statistics.intervals import BCA, mean_interval, wilson
from k2core_eval.statistics.table import OUTCOMES, TaskTable
from numpy.typing import NDArray

WRONG = np.array([0.5, 0.25, 0.15, 0.1])
CUT = 0.03


@dataclass(frozen=True)
class Shape:
    name: str
    problems: int
    repeats: tuple[int, int]
    """Of A and of B."""
    candidates: tuple[int, int] = (1, 1)
    """Samples that an arm draws each time and decides by vote, the first of a tie: the same thing at k times the tokens."""
    solved: float = 0.5
    spread: float = 2.0
    """a + b of the Beta distribution of difficulty; infinite: all alike."""
    length: float = 0.4
    """Standard deviation of the logarithm of a sample's length."""
    tasks: int = 1


SHAPES = (
    Shape("30 x 16", 30, (16, 16)),
    Shape("30 x 16, easy", 30, (16, 16), solved=0.9),
    Shape("50 x 4", 50, (4, 4)),
    Shape("500 x 1, even lengths", 500, (1, 1), length=0.1),
    Shape("500 x 1, uneven lengths", 500, (1, 1)),
    Shape("50 x 4, very uneven lengths", 50, (4, 4), length=1.2),
    Shape("30 x 16 against best-of-3 x 4", 30, (16, 4), (1, 3)),
    Shape("100 x 4 against best-of-3 x 4", 100, (4, 4), (1, 3)),
    Shape("4 tasks, 30 x 4", 30, (4, 4), tasks=4),
)


def chances(shape: Shape, luck: np.random.Generator) -> NDArray[np.float64]:
    """Probability of a right sample by problem."""
    if np.isinf(shape.spread):
        return np.full(shape.problems, shape.solved)
    return luck.beta(shape.solved * shape.spread, (1 - shape.solved) * shape.spread, shape.problems)


def lifted(values: NDArray[np.float64], points: float) -> NDArray[np.float64]:
    """The same problems for a solver that is better by `points` in the mean, by as much on the log-odds of each."""
    odds = np.log(np.clip(values, 1e-9, 1 - 1e-9) / np.clip(1 - values, 1e-9, 1))
    low, high = 0.0, 20.0
    for _ in range(50):
        middle = (low + high) / 2
        mean = (1 / (1 + np.exp(-odds - middle))).mean() * (1 - CUT)
        low, high = (middle, high) if mean - values.mean() * (1 - CUT) < points else (low, middle)
    return np.asarray(1 / (1 + np.exp(-odds - low)))


def drawn(shape: Shape, arm: int, solved: NDArray[np.float64], luck: np.random.Generator, name: str = "task") -> TaskTable:
    """The samples of one arm, as the table that reading its folder would give."""
    problems, repeats, n = shape.problems, shape.repeats[arm], shape.candidates[arm]
    size = (problems, repeats, n)
    key = np.where(luck.random(size) < solved[:, None, None], 1, 2 + luck.choice(len(WRONG), size, p=WRONG))
    key[luck.random(size) < CUT] = 0
    best = key[..., 0]
    if n > 1:
        votes = (key[..., :, None] == key[..., None, :]).sum(-1) * (key > 0)
        best = np.take_along_axis(key, votes.argmax(-1)[..., None], -1)[..., 0]
    tokens = (60 + luck.lognormal(np.log(400), shape.length, size)).astype(np.int64).sum(-1)
    table = TaskTable(name, problems, repeats)
    place, repeat = np.meshgrid(np.arange(problems), np.arange(repeats), indexing="ij")
    outcome = np.where(best == 1, OUTCOMES.index("correct"), OUTCOMES.index("incorrect"))
    outcome[best == 0] = OUTCOMES.index("truncated")
    columns = {"place": place, "repeat": repeat, "outcome": outcome, "key": best, "tokens": tokens, "length": tokens}
    columns |= {"candidates": np.full_like(best, n), "oracle": (key == 1).any(-1)}
    table.column = {column: values.reshape(-1).astype(np.int64) for column, values in columns.items()}
    table.score = (table.column["outcome"] == OUTCOMES.index("correct")).astype(float)
    return table


@dataclass
class Count:
    comparisons: int = 0
    better: int = 0
    any_better: int = 0
    """Some verdict, of a task or of the whole, was "better"."""
    unequal: int = 0
    """No verdict, as budgets were not equal and there were too few repeats."""


def compared(shape: Shape, comparisons: int, seed: int, points: float = 0.0) -> Count:
    """Comparisons of an arm with itself, or with one that is better by `points`."""
    luck, count = np.random.default_rng(seed), Count()
    for _ in range(comparisons):
        found = []
        for number in range(shape.tasks):
            solved = chances(shape, luck)
            other = lifted(solved, points) if points else solved
            name = f"task {number}"
            found.append(task(drawn(shape, 0, solved, luck, name), drawn(shape, 1, other, luck, name), curves=False))
        told, macro, _ = overall(found)
        count.comparisons += 1
        count.better += macro.verdict != "no difference shown"
        count.any_better += any(one.verdict != "no difference shown" for one in (*told, macro))
        count.unequal += macro.equal is None
    return count


def covered(shape: Shape, draws: int, seed: int) -> tuple[int, float, float]:
    """How many of `draws` intervals held the true mean; their mean width in points; the share that was a bootstrap's."""
    luck, held, width, boot = np.random.default_rng(seed), 0, 0.0, 0
    truth = shape.solved * (1 - CUT)
    for _ in range(draws):
        table = drawn(shape, 0, chances(shape, luck), luck)
        found = mean_interval(table.by_problem(table.right))
        low, high = found.low or 0.0, found.high or 0.0
        held, width, boot = held + (low <= truth <= high), width + 100 * (high - low), boot + (found.method == BCA)
    return held, width / draws, boot / draws


def share(hits: int, of: int) -> str:
    low, high = wilson(hits / of, of)
    return f"{100 * hits / of:5.1f} % [{100 * low:4.1f}, {100 * high:4.1f}]"


def equals(comparisons: int, seed: int) -> None:
    print(f"A against A, {comparisons} comparisons a line: share called better")
    for shape in SHAPES:
        count = compared(shape, comparisons, seed)
        some = f", any of its verdicts {share(count.any_better, count.comparisons)}" if shape.tasks > 1 else ""
        none = f", {count.unequal} without verdict (unequal tokens)" if count.unequal else ""
        print(f"  {shape.name:32} {share(count.better, count.comparisons)}{some}{none}", flush=True)


def power(comparisons: int, seed: int) -> None:
    print(f"A against one that is better by 5 points, {comparisons} comparisons a line: share called better")
    for shape in (SHAPES[0], SHAPES[2], SHAPES[3], replace(SHAPES[0], name="173 x 16", problems=173), SHAPES[6]):
        count = compared(shape, comparisons, seed, 0.05)
        print(f"  {shape.name:32} {share(count.better, count.comparisons)}", flush=True)


def coverage(draws: int, seed: int) -> None:
    print(f"95 % intervals of one arm, {draws} a line: share that holds the true mean; mean width")
    for problems, repeats in ((10, 4), (30, 1), (30, 16), (173, 16), (500, 1)):
        for solved, spread in ((0.5, 2.0), (0.86, 3.0), (0.95, 2.0), (0.05, 1.0)):
            name = f"{problems} x {repeats}, mean {100 * solved:.0f} %"
            shape = Shape(name, problems, (repeats, 1), solved=solved, spread=spread)
            held, width, boot = covered(shape, draws, seed)
            told = f"{width:5.1f} points, {100 * boot:3.0f} % by bootstrap"
            print(f"  {shape.name:32} {share(held, draws)}  {told}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--comparisons", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--part", choices=("equals", "power", "coverage"), help="only this one; default: all three")
    args = parser.parse_args()
    began = time.monotonic()
    for name, part, count in (
        ("equals", equals, args.comparisons),
        ("power", power, args.comparisons // 4),
        ("coverage", coverage, args.comparisons),
    ):
        if args.part in (None, name):
            part(count, args.seed)
    print(f"{time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
