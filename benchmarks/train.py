"""Seconds a step and peak memory of our trainers and of TRL's, side by side, and seconds a step of verl's GRPO beside them.

    python benchmarks/train.py --trl PYTHON --verl .venv-verl/bin/python

PYTHON is the interpreter of an environment with trl 1.16.0; without it only ours are shown. Each trainer lives in a process of
its own and makes a step when it is its turn: the rounds are interleaved, and medians of the rounds' ratios are shown. Only ratios
within one run mean something.

verl (`make verl` builds its environment) cannot be interleaved, as Ray starts once for all steps. It makes as many steps as there
are rounds, between the two halves of them, while the others wait; medians are compared. Its step is the work of several
processes, whose processor time and memory are not measured. Its rewards are the verifier `math`'s, and with the rollout `k2core` it
computes with transformers on the CPU.

GRPO: 2 prompts with 8 completions of up to 16 tokens each, the same rewards (the share of a text's characters that are "e"), one
optimiser step. SFT: 8 conversations, the same for both, one optimiser step. The models: a random one of 2 layers and width 64, and
the embedded one of 135 million parameters. float32, one thread, no gradient checkpointing, AdamW.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

COMPLETIONS, GROUP, LENGTH = 16, 8, 16
QUESTIONS = [f"A gardener plants {n} rows of 12 tulips. How many tulips are there?" for n in range(3, 35)]
ANSWERS = [f"There are {n} rows with 12 tulips in each, so there are {n} * 12 = {12 * n} tulips." for n in range(3, 35)]
ROWS = 8
LR = 1e-5
VERL_STEP = Path(__file__).parents[1] / "plugins/k2core-trainer-verl/benchmarks/step.py"


def worth(text: str) -> float:
    return text.count("e") / max(1, len(text))


def asked(question: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": question}]


def said(answer: str) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": answer}]


class Turns:
    """A step is told and the next one waited for: `ended` blocks until it is this process's turn again."""

    def __init__(self) -> None:
        self._began, self._used = 0.0, 0.0

    def ended(self) -> None:
        seconds, cpu = time.perf_counter() - self._began, time.process_time() - self._used
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps({"seconds": seconds, "cpu": cpu, "peak": peak}), flush=True)
        if not sys.stdin.readline():
            os._exit(0)
        self._began, self._used = time.perf_counter(), time.process_time()


# ours


def ours_grpo(folder: str, out: str, turns: Turns) -> None:
    from collections.abc import Sequence

    from k2core_trainer_grpo import Grpo, training
    from k2core_training.looping import Loop

    from k2core import Candidate, PipelineConfig, Plugin, PluginConfig, Problem, Registry, Runtime, Task, Verdict, hookimpl

    class Letters(Plugin):
        __annotations__ = {"config": PluginConfig}  # by name it would be looked for in the module
        listwise = False

        @hookimpl
        async def k2_verify(self, candidates: Sequence[Candidate]) -> Sequence[Verdict]:
            return [Verdict(candidate_id=c.id, status="correct", score=worth(c.text)) for c in candidates]

    class Paced(Loop):
        def _train_step(self) -> None:
            super()._train_step()
            turns.ended()

    training.Loop = Paced  # type: ignore[misc] # it is looked up when it trains
    model = {"model": folder, "dtype": "float32", "threads": 1}
    trainer = {
        "use": "grpo",
        "out": out,
        "live": False,
        "steps": 1 << 20,
        "prompts": COMPLETIONS // GROUP,
        "group": GROUP,
        "max_tokens": LENGTH,
        "model": model,
        "optimizer": {"lr": LR, "warmup": 0, "schedule": "constant"},
        "checkpoint": {"every": 0},
    }
    decoder = {"use": "transformers", "context": 512, **model}
    tables = {"sampler": {"use": "single"}, "decoders": {"solver": decoder}, "verifiers": {"letters": {}}, "trainer": trainer}
    registry = Registry()
    registry.add("verifier", "letters", Letters)
    registry.add("trainer", "grpo", Grpo)
    tasks = [Task(problem=Problem(prompt=question, answer_format="text"), reference="0") for question in QUESTIONS]

    async def main() -> None:
        async with Runtime(PipelineConfig.from_dict(tables), registry=registry) as runtime:
            await runtime.train(tasks)

    asyncio.run(main())


def ours_sft(folder: str, out: str, turns: Turns) -> None:
    from k2core_trainer_sft import trainer
    from k2core_training.looping import Loop

    from k2core import PipelineConfig, Runtime

    class Paced(Loop):
        def _train_step(self) -> None:
            super()._train_step()
            turns.ended()

    trainer.Loop = Paced  # type: ignore[misc] # it is looked up when it trains
    file = Path(out).with_suffix(".jsonl")
    lines = [
        json.dumps({"messages": [*asked(question), *said(answer)]}) for question, answer in zip(QUESTIONS, ANSWERS, strict=True)
    ]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    table = {
        "use": "sft",
        "out": out,
        "live": False,
        "steps": 1 << 20,
        "batch": ROWS,
        "data": {"files": [str(file)], "max_length": 256},
        "max_tokens": 2048,
        "model": {"model": folder, "dtype": "float32", "threads": 1},
        "optimizer": {"lr": LR, "warmup": 0, "schedule": "constant"},
        "checkpoint": {"every": 0},
    }

    async def main() -> None:
        async with Runtime(PipelineConfig.from_dict({"trainer": table})) as runtime:
            await runtime.train(())

    asyncio.run(main())


# TRL's


def trl_grpo(folder: str, out: str, turns: Turns) -> None:
    import torch
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer

    torch.set_num_threads(1)
    prompts = [asked(f'{question}\n\nEnd with a line "Answer: " and the answer.') for question in QUESTIONS]
    config = GRPOConfig(
        **_trl_common(out),
        per_device_train_batch_size=COMPLETIONS,
        num_generations=GROUP,
        max_completion_length=LENGTH,
        temperature=1.0,
        model_init_kwargs={"dtype": "float32"},
    )
    trainer = GRPOTrainer(
        model=folder,
        reward_funcs=lambda completions, **_: [worth(completion[0]["content"]) for completion in completions],
        args=config,
        train_dataset=Dataset.from_dict({"prompt": prompts}),
        callbacks=[_paced(turns)],
    )
    trainer.train()


def trl_sft(folder: str, out: str, turns: Turns) -> None:
    import torch
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    torch.set_num_threads(1)
    config = SFTConfig(
        **_trl_common(out),
        per_device_train_batch_size=ROWS,
        max_length=256,
        model_init_kwargs={"dtype": "float32"},
    )
    rows = {"prompt": [asked(question) for question in QUESTIONS], "completion": [said(answer) for answer in ANSWERS]}
    trainer = SFTTrainer(model=folder, args=config, train_dataset=Dataset.from_dict(rows), callbacks=[_paced(turns)])
    trainer.train()


def _trl_common(out: str) -> dict[str, Any]:
    return {
        "output_dir": out,
        "use_cpu": True,
        "bf16": False,
        "gradient_checkpointing": False,
        "max_steps": 1 << 20,
        "learning_rate": LR,
        "lr_scheduler_type": "constant",
        "report_to": "none",
        "save_strategy": "no",
        "disable_tqdm": True,
        "logging_steps": 1000,
    }


def _paced(turns: Turns) -> Any:
    from transformers import TrainerCallback

    class Paced(TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            turns.ended()

    return Paced()


WORKS: dict[str, Callable[[str, str, Turns], None]] = {
    "ours-grpo": ours_grpo,
    "trl-grpo": trl_grpo,
    "ours-sft": ours_sft,
    "trl-sft": trl_sft,
}


# the bench


class Server:
    """One trainer's process."""

    def __init__(self, name: str, folder: Path, out: Path, python: str = sys.executable) -> None:
        self.name = name
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
        command = [python, __file__, "--serve", name, "--folder", str(folder), "--out", str(out)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
        self._answer()  # the first step, with all that is made once

    def _answer(self) -> dict[str, float]:
        assert self.process.stdout is not None
        while line := self.process.stdout.readline():
            if line.startswith('{"seconds"'):
                return dict(json.loads(line))
        raise RuntimeError(f"{self.name} ended with status {self.process.wait()}")

    def step(self) -> dict[str, float]:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return self._answer()

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def measure(servers: list[Server], rounds: range) -> dict[str, list[dict[str, float]]]:
    """Interleaved: each makes a step before the first makes another."""
    found: dict[str, list[dict[str, float]]] = {server.name: [] for server in servers}
    for turn in rounds:
        for server in servers if turn % 2 == 0 else servers[::-1]:
            answer = server.step()
            print(f"round {turn}: {server.name} {answer}", file=sys.stderr, flush=True)
            found[server.name].append(answer)
    return found


def verl_steps(python: str, folder: Path, scratch: Path, steps: int) -> list[float]:
    """Seconds of so many steps of verl's, after a first one."""
    questions = scratch / "questions.json"
    questions.write_text(json.dumps(QUESTIONS), encoding="utf-8")
    size = {"prompts": COMPLETIONS // GROUP, "group": GROUP, "max-tokens": LENGTH, "steps": steps + 1, "threads": 1}
    command = [python, str(VERL_STEP), "--json", "--model", str(folder), "--questions", str(questions)]
    command += [word for name, value in size.items() for word in (f"--{name}", str(value))]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    return [float(seconds) for seconds in json.loads(done.stdout.splitlines()[-1])][1:]


def table(found: dict[str, list[dict[str, float]]], base: str, verl: list[float]) -> None:
    print(f"{'trainer':<16}{'s/step':>10}{'ratio':>8}{'CPU s':>10}{'ratio':>8}{'MiB':>8}{'ratio':>8}")
    for name, items in found.items():
        line = f"{name:<16}"
        for column, digits in (("seconds", 4), ("cpu", 4), ("peak", 0)):
            pairs = zip(items, found[base], strict=True)
            ratio = statistics.median(one[column] / other[column] for one, other in pairs)
            line += f"{statistics.median(item[column] for item in items):>{8 if column == 'peak' else 10}.{digits}f}{ratio:>8.2f}"
        print(line)
    if verl:
        seconds, other = statistics.median(verl), statistics.median(item["seconds"] for item in found[base])
        print(f"{'verl-grpo':<16}{seconds:>10.4f}{seconds / other:>8.2f}   {len(verl)} steps, not interleaved")


def models(names: list[str], root: Path) -> dict[str, Path]:
    """Folders as transformers saves them, for both sides."""
    made: dict[str, Path] = {}
    for name in names:
        made[name] = root / name
        code = "import sys; sys.path.insert(0, {!r}); from train import make; make({!r}, {!r})"
        subprocess.run([sys.executable, "-c", code.format(str(Path(__file__).parent), name, str(made[name]))], check=True)
    return made


def make(name: str, folder: str) -> None:
    """In a process of its own, so that this one stays small."""
    if name == "135m":
        from k2core_decoder_transformers import TransformersConfig
        from k2core_decoder_transformers.loading import load

        loaded: Any = load(TransformersConfig(dtype="float32"))
        loaded.model.save_pretrained(folder)
        loaded.tokenizer.save_pretrained(folder)
        return
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    from tiny_models import tiny

    tiny().make(Path(folder), "llama", width=64, context=512, spread=0.02)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trl", metavar="PYTHON", help="interpreter with trl 1.16.0")
    parser.add_argument("--verl", metavar="PYTHON", help="interpreter with verl 0.9.1, such as .venv-verl/bin/python")
    parser.add_argument("--models", default="tiny,135m")
    parser.add_argument("--methods", default="grpo,sft")
    parser.add_argument("--rounds", type=int, default=0, help="by default 40 for the tiny model, 8 for the other")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    parser.add_argument("--out", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        WORKS[given.serve](given.folder, given.out, Turns())
        return
    with tempfile.TemporaryDirectory() as scratch:
        folders = models(given.models.split(","), Path(scratch))
        for method in given.methods.split(","):
            for name, folder in folders.items():
                bench(given, method, name, folder, Path(scratch))


def bench(given: argparse.Namespace, method: str, name: str, folder: Path, scratch: Path) -> None:
    servers: list[Server] = []
    rounds, warm = given.rounds or (40 if name == "tiny" else 8), 3 if name == "tiny" else 1
    try:
        for side, python in (("ours", sys.executable), ("trl", given.trl)):
            if python:
                servers.append(Server(f"{side}-{method}", folder, scratch / f"{side}-{method}-{name}", python))
        print(f"{method}, {name}")
        measure(servers, range(-warm, 0))
        found = measure(servers, range(rounds // 2))
        verl = verl_steps(given.verl, folder, scratch, rounds) if given.verl and method == "grpo" else []
        for side, more in measure(servers, range(rounds // 2, rounds)).items():
            found[side] += more
        table(found, servers[-1].name, verl)
    finally:
        for server in servers:
            server.close()


if __name__ == "__main__":
    main()
