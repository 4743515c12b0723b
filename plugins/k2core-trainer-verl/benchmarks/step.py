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
    for name, value in (("steps", 5), ("prompts", 4), ("group", 4), ("max-tokens", 16), ("threads", 1)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--questions", metavar="FILE", type=Path, help="a JSON list of them, in place of questions about digits")
    parser.add_argument("--json", action="store_true", help="the seconds of every step as a JSON list")
    return parser.parse_args()


def asked(given: argparse.Namespace) -> list[Task]:
    if given.questions:
        questions = json.loads(given.questions.read_text(encoding="utf-8"))
        return [Task(problem=Problem(prompt=question, answer_format="text"), reference="0") for question in questions]
    return [Task(problem=Problem(prompt=f"Which digit follows {n}?"), reference=str(n + 1)) for n in range(given.prompts)]


def longest(model: str, tasks: list[Task], instructions: bool) -> int:
    """Tokens of the longest prompt: verl fills the others up to it."""
    from k2core_trainer_verl.rows import rows
    from transformers import AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(model)
    prompts = [row["prompt"] for row in rows(tasks, "train", {"instructions": instructions})]
    return max(len(tokenizer.apply_chat_template(p, add_generation_prompt=True, return_dict=False)) for p in prompts)


def tiny(folder: Path) -> Path:
    spec = importlib.util.spec_from_file_location("tiny_qwen", TINY)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    written: Path = module.write(folder)
    return written


def measured(given: argparse.Namespace, scratch: Path) -> list[float]:
    """Seconds of every step."""
    model, tasks, out = given.model or str(tiny(scratch / "model")), asked(given), scratch / "out"
    options = {
        "out": str(out),
        "model": {"model": model, "threads": given.threads, "gradient_checkpointing": False, "device": "cpu", "dtype": "float32"},
        **{name: getattr(given, name) for name in ("steps", "prompts", "group", "max_tokens")},
        "max_prompt": longest(model, tasks, bool(given.questions)),
        "micro": given.prompts * given.group,
        "passes": given.steps,
        "instructions": bool(given.questions),
        "checkpoint": {"every": 0, "export": False},
    }
    asyncio.run(train(options, tasks))
    return [json.loads(line)["step_seconds"] for line in (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]


async def train(options: dict[str, Any], tasks: list[Task]) -> TrainReport:
    pipeline = PipelineConfig.from_dict({"trainer": {"use": "verl", **options}, "verifiers": {"math": {}}})
    async with Runtime(pipeline) as runtime:
        return await runtime.train(tasks)


def main() -> None:
    given, began = arguments(), time.perf_counter()
    with tempfile.TemporaryDirectory() as scratch:
        steps = measured(given, Path(scratch))
    if given.json:
        print(json.dumps(steps))
        return
    later, total = statistics.median(steps[1:] or steps), time.perf_counter() - began
    print(f"{len(steps)} steps: the first {steps[0]:.2f} s, the others {later:.2f} s (median); {total:.0f} s in all")


if __name__ == "__main__":
    main()
