"""How often a pipeline answers each family rightly, greedily and in one pass, with intervals (Wilson, 95 %) and tokens.

python benchmarks/families.py                                            # the embedded pipeline: k2-nano
python benchmarks/families.py --set 'decoders.solver.lora=[{path="FOLDER"}]'   # with another adapter
python benchmarks/families.py --config ../../examples/smollm2.toml       # the base model, shown worked examples
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import math
import time
from collections.abc import Mapping
from typing import Any

from k2core_nano.families import FAMILIES
from k2core_nano.tasks import NanoTasks

from k2core import PipelineConfig, Runtime, Task
from k2core.config import overridden, read_tables


def pipeline(path: str | None, overrides: list[str], plan: bool) -> PipelineConfig:
    """One greedy pass of a pipeline, without its planner unless asked for."""
    tables = dict(read_tables(path))
    sampler: Mapping[str, Any] = tables.get("sampler", {})
    kept = {name: value for name, value in sampler.items() if name not in ("use", "n", "batch", "temperature", "top_p")}
    tables["sampler"] = {**kept, "use": "single", "temperature": 0.0}
    if not plan:
        tables.pop("planner", None)
    return PipelineConfig.from_dict(overridden(tables, overrides))


def wilson(right: int, count: int) -> tuple[float, float]:
    """The 95 % interval of a share."""
    z, share = 1.96, right / count
    middle, spread = share + z * z / (2 * count), z * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return max(0.0, middle - spread) / (1 + z * z / count), (middle + spread) / (1 + z * z / count)


async def solved(runtime: Runtime, task: Task, gate: asyncio.Semaphore) -> tuple[bool, int]:
    """Whether a task was answered rightly, and the tokens that it took."""
    async with gate:
        result = await runtime.solve(task.problem, seed=0)
    verdicts = await runtime.verify(task.problem, [result.candidate], task.reference)
    return all(v.status == "correct" for v in verdicts), sum(u.completion_tokens for u in result.usage.values())


async def main(options: argparse.Namespace) -> None:
    print(f"{'family':14} {'right':>9} {'share':>6} {'interval':>14} {'tokens':>7} {'seconds':>8}", flush=True)
    names = [f"{name}{options.level}" for name in (FAMILIES if options.families == "all" else options.families.split(","))]
    total = rights = 0
    gate = asyncio.Semaphore(options.parallel)
    async with Runtime(pipeline(options.config, options.set, options.plan)) as runtime:
        for name in names:
            began = time.perf_counter()
            tasks = itertools.islice(NanoTasks().k2_tasks(name, options.split, options.n, options.seed), options.n)
            found = await asyncio.gather(*(solved(runtime, task, gate) for task in tasks))
            right, count = sum(one for one, _ in found), len(found)
            low, high = wilson(right, count)
            tokens = sum(used for _, used in found) / count
            seconds = time.perf_counter() - began
            print(
                f"{name:14} {right:4}/{count:4} {right / count:6.3f} [{low:.3f}, {high:.3f}] {tokens:7.1f} {seconds:8.1f}",
                flush=True,
            )
            total, rights = total + count, rights + right
    low, high = wilson(rights, total)
    print(f"{'all':14} {rights:4}/{total:4} {rights / total:6.3f} [{low:.3f}, {high:.3f}]")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", help="pipeline; by default the embedded one")
    parser.add_argument("--set", action="append", default=[], metavar="PATH=VALUE")
    parser.add_argument("--plan", action="store_true", help="with the pipeline's planner")
    parser.add_argument("--families", default="all")
    parser.add_argument("--level", default="", help="such as @1")
    parser.add_argument("--split", default="validation")
    parser.add_argument("--n", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--parallel", type=int, default=4)
    asyncio.run(main(parser.parse_args()))
