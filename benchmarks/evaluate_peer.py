"""The part of `evaluate.py` that runs in an interpreter with a peer: one evaluation for each line of standard input,
which is the number of its samples.

`PYTHON benchmarks/evaluate_peer.py lm-eval|inspect-ai URL DATA OUT CONNECTIONS`: DATA is a file of JSON lines {problem, answer}.
Prints a JSON line when it is ready, and one with wall and processor seconds, samples and accuracy after each evaluation.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "OPENAI_API_KEY": "none", "MOCK_API_KEY": "none"}
Run = Callable[[int], tuple[int, float]]
"""An evaluation of so many samples: how many there were, and their mean accuracy."""


def lm_eval(url: str, data: Path, out: Path, connections: int) -> Run:
    """The task as a table, the way its own generative tasks are written, with a regular expression that takes the box."""
    from lm_eval import simple_evaluate
    from lm_eval.models.openai_completions import LocalChatCompletion
    from lm_eval.tasks import TaskManager

    task = {
        "task": "boxed",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(data)}},
        "test_split": "test",
        "output_type": "generate_until",
        "doc_to_text": "{{problem}}",
        "doc_to_target": "{{answer}}",
        "generation_kwargs": {"until": ["</answer>"], "max_gen_toks": 1024},
        "filter_list": [
            {"name": "box", "filter": [{"function": "regex", "regex_pattern": r"boxed\{([^}]*)\}"}, {"function": "take_first"}]}
        ],
        "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
    }
    manager = TaskManager()

    def run(limit: int) -> tuple[int, float]:
        model = LocalChatCompletion(
            base_url=url + "/chat/completions", model="mock", num_concurrent=connections, tokenizer_backend=None
        )
        found: Any = simple_evaluate(
            model=model,
            tasks=[task],
            limit=limit,
            apply_chat_template=True,
            log_samples=True,
            bootstrap_iters=0,
            task_manager=manager,
        )
        (out / "samples.json").write_text(json.dumps(found["samples"], default=str))
        return len(found["samples"]["boxed"]), found["results"]["boxed"]["exact_match,box"]

    return run


def inspect_ai(url: str, data: Path, out: Path, connections: int) -> Run:
    """Its fastest setting: no display, no log in real time."""
    from inspect_ai import Task, eval
    from inspect_ai.dataset import MemoryDataset, Sample
    from inspect_ai.model import get_model
    from inspect_ai.scorer import includes
    from inspect_ai.solver import generate

    rows = [json.loads(line) for line in data.read_text().splitlines()]

    def run(limit: int) -> tuple[int, float]:
        samples = [Sample(input=row["problem"], target=f"boxed{{{row['answer']}}}") for row in rows]
        task = Task(dataset=MemoryDataset(samples), solver=generate(), scorer=includes())
        [log] = eval(
            task,
            model=get_model("openai-api/mock/mock", base_url=url, api_key="none", memoize=False),
            limit=limit,
            max_connections=connections,
            max_samples=connections,
            log_dir=str(out),
            log_realtime=False,
            display="none",
        )
        assert log.results is not None
        return log.results.completed_samples, log.results.scores[0].metrics["accuracy"].value

    return run


def main() -> None:
    name, url, data, out, connections = sys.argv[1:]
    logging.disable(logging.WARNING)
    answers, sys.stdout = sys.stdout, sys.stderr
    make = {"lm-eval": lm_eval, "inspect-ai": inspect_ai}[name]
    run = make(url, Path(data), Path(out), int(connections))
    print(json.dumps({"ready": name}), file=answers, flush=True)
    for line in sys.stdin:
        began, used = time.perf_counter(), os.times()
        samples, accuracy = run(int(line))
        wall, now = time.perf_counter() - began, os.times()
        cpu = sum(now[:4]) - sum(used[:4])
        print(json.dumps({"wall": wall, "cpu": cpu, "samples": samples, "accuracy": accuracy}), file=answers, flush=True)


if __name__ == "__main__":
    main()
