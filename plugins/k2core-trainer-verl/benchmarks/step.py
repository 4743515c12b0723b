"""Seconds a step of GRPO by verl on this processor, in verl's environment: what `k2 train verl` takes, start and end apart.

.venv-verl/bin/python plugins/k2core-trainer-verl/benchmarks/step.py --steps 5
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from k2core import PipelineConfig, Problem, Runtime, Task, TrainReport

TINY = Path(__file__).parents[1] / "tests" / "tiny_qwen.py"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--model", default="", help="folder of a model; by default a Qwen2 of 115 thousand parameters, random weights"
    )
    for name, value in (("steps", 5), ("prompts", 4), ("group", 4), ("max-tokens", 16), ("max-prompt", 80), ("threads", 1)):
        parser.add_argument(f"--{name}", type=int, default=value)
    return parser.parse_args()


def tiny(folder: Path) -> Path:
    spec = importlib.util.spec_from_file_location("tiny_qwen", TINY)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    written: Path = module.write(folder)
    return written


async def train(options: dict[str, Any], tasks: list[Task]) -> TrainReport:
    pipeline = PipelineConfig.from_dict({"trainer": {"use": "verl", **options}, "verifiers": {"math": {}}})
    async with Runtime(pipeline) as runtime:
        return await runtime.train(tasks)


def main() -> None:
    given, began = arguments(), time.perf_counter()
    with tempfile.TemporaryDirectory() as scratch:
        model = given.model or str(tiny(Path(scratch) / "model"))
        out = Path(scratch) / "out"
        options = {
            "out": str(out),
            "model": {"model": model, "threads": given.threads, "gradient_checkpointing": False, "device": "cpu"},
            **{name: getattr(given, name) for name in ("steps", "prompts", "group", "max_tokens", "max_prompt")},
            "micro": given.prompts * given.group,
            "passes": given.steps,
            "instructions": False,
            "checkpoint": {"every": 0, "export": False},
        }
        tasks = [Task(problem=Problem(prompt=f"Which digit follows {n}?"), reference=str(n + 1)) for n in range(given.prompts)]
        asyncio.run(train(options, tasks))
        steps = [json.loads(line)["step_seconds"] for line in (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    later = statistics.median(steps[1:] or steps)
    total = time.perf_counter() - began
    print(f"{len(steps)} steps: the first {steps[0]:.2f} s, the others {later:.2f} s (median); {total:.0f} s in all")


if __name__ == "__main__":
    main()
