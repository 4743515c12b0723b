"""Which of several real completions is chosen: a single one, the majority, and the adaptive sampler with each of its rules.

`python benchmarks/selection.py FOLDER [--seeds 3] [POOL …]`: FOLDER holds the stored completions (solutions_*.jsonl, plain or
gzipped), each row with `pid`, `problem`, `completion` and the label `correct`. The pipeline reads them through the decoder
`recorded`, which sees neither gold answers nor labels; the labels score what it chose. The order in which a problem's candidates
come is shuffled by the seed, the same for all samplers. Accuracy of the majority and of the adaptive sampler are means over the
seeds; `differs` is adaptive minus majority in points, with its standard error over the seeds; `alike` is how often the two gave
equal answers, by their text; calls and tokens are those of the ledger.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import json
import random
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from k2core import PipelineConfig, Problem, Runtime

POOLS: Mapping[str, tuple[str, ...]] = {
    "gsm8k": ("solutions_gsm8k_openai_gpt3", "solutions_gsm8k_tora_tool"),
    "prime": ("solutions_prime_3models",),
    "qwen": ("solutions_math_qwen_8samples",),
}
SAMPLERS: Mapping[str, Mapping[str, Any]] = {
    "majority": {"use": "majority"},
    "exact": {"use": "adaptive"},
    "learnt": {"use": "adaptive", "rule": "learnt"},
    "sources": {"use": "adaptive", "rule": "sources"},
    **{f"sources {c}": {"use": "adaptive", "rule": "sources", "confidence": c} for c in (0.7, 0.5, 0.3)},
}


@dataclass
class Item:
    """A problem and the labels of its completions."""

    problem: Problem
    correct: list[bool] = field(default_factory=list)
    by_text: dict[str, bool] = field(default_factory=dict)


@dataclass
class Score:
    """What a sampler did with one seed."""

    right: int = 0
    calls: int = 0
    tokens: int = 0
    answers: dict[str, str | None] = field(default_factory=dict)


def files(folder: Path, pool: str) -> list[Path]:
    found = [path for stem in POOLS[pool] for path in sorted(folder.glob(f"{stem}.jsonl*"))]
    if not found:
        raise SystemExit(f"{folder} holds none of {', '.join(POOLS[pool])}")
    return found


def rows(path: Path) -> Iterator[Any]:
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as file:
        yield from map(json.loads, file)


def read(folder: Path, pool: str) -> dict[int, list[Item]]:
    """The problems of a pool by their number of candidates."""
    items: dict[str, Item] = {}
    for path in files(folder, pool):
        for row in rows(path):
            item = items.setdefault(row["pid"], Item(Problem(id=row["pid"], prompt=row["problem"], domain="math")))
            item.correct.append(bool(row["correct"]))
            item.by_text[row["completion"]] = bool(row["correct"])
    sizes = sorted({len(item.correct) for item in items.values()})
    return {size: [item for item in items.values() if len(item.correct) == size] for size in sizes}


async def scored(paths: Sequence[Path], items: Sequence[Item], sampler: Mapping[str, Any], n: int, seed: int) -> Score:
    """One pass over the problems, in an order drawn by the seed."""
    table = {
        "sampler": {**sampler, "n": n, "max_tokens": 1_000_000},
        "verifiers": {"math": {}},
        "decoders": {"solver": {"use": "recorded", "path": [str(path) for path in paths], "order": "shuffle"}},
    }
    order = list(items)
    random.Random(seed).shuffle(order)
    score = Score()
    async with Runtime(PipelineConfig.from_dict(table)) as runtime:
        for item in order:
            result = await runtime.solve(item.problem, seed=seed)
            score.right += item.by_text[result.candidate.text]
            score.answers[item.problem.id] = result.answer
        usage = runtime.ledger.usage()["solve"]
    score.calls, score.tokens = usage.started, usage.completion_tokens
    return score


async def table(folder: Path, pool: str, seeds: int) -> None:
    paths, groups = files(folder, pool), read(folder, pool)
    everything: dict[str, list[list[Score]]] = {name: [] for name in SAMPLERS}
    for n, items in groups.items():
        for name, sampler in SAMPLERS.items():
            everything[name].append([await scored(paths, items, sampler, n, seed) for seed in range(seeds)])
        show(f"{pool}, {n} candidates", items, {name: scores[-1] for name, scores in everything.items()})
    if len(groups) > 1:
        merged = {name: [added(scores) for scores in zip(*parts, strict=True)] for name, parts in everything.items()}
        show(f"{pool}, all", [item for items in groups.values() for item in items], merged)


def added(scores: Sequence[Score]) -> Score:
    answers = {name: answer for score in scores for name, answer in score.answers.items()}
    return Score(sum(s.right for s in scores), sum(s.calls for s in scores), sum(s.tokens for s in scores), answers)


def show(title: str, items: Sequence[Item], runs: Mapping[str, Sequence[Score]]) -> None:
    mean = sum(sum(item.correct) / len(item.correct) for item in items) / len(items)
    oracle = sum(any(item.correct) for item in items) / len(items)
    print(f"{title}: {len(items)} problems; a single one {mean:.1%}, oracle {oracle:.1%}")
    for name, scores in runs.items():
        print(f"  {name:<13}{line(scores, runs['majority'], len(items))}", flush=True)


def line(scores: Sequence[Score], full: Sequence[Score], size: int) -> str:
    accuracy = statistics.mean(score.right for score in scores) / size
    calls, tokens = (sum(getattr(score, what) for score in scores) for what in ("calls", "tokens"))
    of_calls, of_tokens = calls / sum(score.calls for score in full), tokens / sum(score.tokens for score in full)
    spent = f"{calls / len(scores):7.0f} calls {tokens / len(scores):9.0f} tokens"
    if scores is full:
        return f"{accuracy:6.1%}  {spent}"
    points = [(score.right - base.right) / size * 100 for score, base in zip(scores, full, strict=True)]
    error = statistics.stdev(points) / len(points) ** 0.5 if len(points) > 1 else float("nan")
    equal = sum(s.answers[name] == f.answers[name] for s, f in zip(scores, full, strict=True) for name in s.answers)
    alike = equal / size / len(scores)
    spent += f"  {of_calls:6.1%} of calls, {of_tokens:6.1%} of tokens"
    return f"{accuracy:6.1%}  {spent}  differs {statistics.mean(points):+.2f} ± {error:.2f}  alike {alike:.1%}"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, help="where the stored completions are")
    parser.add_argument("pools", nargs="*", metavar="POOL", default=list(POOLS), help=f"of {', '.join(POOLS)} (default: all)")
    parser.add_argument("--seeds", type=int, default=3, help="shuffles of the candidates (default: %(default)s)")
    arguments = parser.parse_args()
    for pool in arguments.pools:
        asyncio.run(table(arguments.folder, pool, arguments.seeds))


if __name__ == "__main__":
    main()
