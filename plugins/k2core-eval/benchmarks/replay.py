"""How fast a recorded evaluation is replayed and rescored: `python plugins/k2core-eval/benchmarks/replay.py [PROBLEMS] [REPEATS]`.

Records an evaluation with a scripted model (majority of 8, mathematical verifier, real grader), then replays it from its traces,
and rescores it with another stopping rule.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import itertools
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from k2core_eval.rescoring.rescore import Rescoring, Wish
from k2core_eval.running.evaluate import evaluate
from k2core_eval.running.settings import Settings
from k2core_hooks import read_runs
from k2core_hooks.many import replay_all
from k2core_hooks.replayer import Replayer

from k2core import Completion, DecodeRequest, Plugin, PluginConfig, Registry, Run, hookimpl
from k2core.config import PipelineConfig

PIPELINE = {"sampler": {"use": "majority", "n": 8}, "verifiers": {"math": {}}, "decoders": {"solver": {"use": "scripted"}}}


class NoConfig(PluginConfig):
    """There is nothing to set."""


class Scripted(Plugin):
    """Right three times in five, without waiting."""

    config: NoConfig

    @hookimpl
    async def k2_decode(self, run: Run, request: DecodeRequest) -> Sequence[Completion]:
        draw, number = random.Random(request.seed), int(run.problem.id.rpartition("-")[2])
        run.meter(prompt_tokens=50)
        answer = number + 10 if draw.random() < 0.6 else draw.choice([1, 2, 3])
        return [Completion(text="word " * 300 + f"\\boxed{{{answer}}}", tokens=320, model="scripted") for _ in range(request.n)]


def registry() -> Registry:
    made = Registry()
    made.add("decoder", "scripted", Scripted)
    return made


def recorded(folder: Path, problems: int, repeats: int) -> None:
    rows = [{"id": f"sum-{i}", "problem": f"What is {i} + 10?", "answer": str(i + 10)} for i in range(problems)]
    data = folder / "sums.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = PipelineConfig.from_dict(PIPELINE)
    settings = Settings(tasks=(str(data),), out=folder / "run", config=config, repeats=repeats, concurrency=16)
    if not asyncio.run(evaluate(settings, registry())).complete:
        raise SystemExit("the evaluation was not finished")


def main() -> None:
    problems, repeats = (int(text) for text in [*sys.argv[1:], "250", "4"][:2])
    total, folder = problems * repeats, Path(tempfile.mkdtemp())
    with contextlib.redirect_stderr(io.StringIO()):
        timed("recorded", total, lambda: recorded(folder, problems, repeats))
        timed("replayed", total, lambda: replayed(folder / "run"))
        timed("replayed, a runtime each", min(total, 100), lambda: asyncio.run(alone(folder / "run", 100)))
        for change in ("sampler.n=4", "sampler.use=adaptive"):
            timed(f"rescored, {change}", total, lambda change=change: rescored(folder / "run", folder / change, change))


def replayed(folder: Path) -> None:
    if not asyncio.run(replay_all(str(folder), replayer=Replayer(registry=registry()))).good:
        raise SystemExit("a replay differs")


async def alone(folder: Path, limit: int) -> None:
    """As `k2 replay` does with a file of one run."""
    async with Replayer(registry=registry()) as replayer:
        for run in itertools.islice(read_runs(folder), limit):
            await replayer.alone(run)


def rescored(folder: Path, out: Path, change: str) -> None:
    asyncio.run(Rescoring(Wish(folder, out, (change,)), registry).run())


def timed(what: str, total: int, work: Callable[[], None]) -> None:
    """Time on the wall, and that of this process's processor: the scorer's is not in it."""
    began, used = time.perf_counter(), time.process_time()
    work()
    seconds, cpu = time.perf_counter() - began, time.process_time() - used
    print(f"{what:<32} {total:>6} runs in {seconds:6.1f} s: {total / seconds:6.1f} runs/s, {1000 * cpu / total:5.2f} ms CPU a run")


if __name__ == "__main__":
    main()
