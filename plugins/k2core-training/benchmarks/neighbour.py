"""What a busy neighbour costs a training, by how long the threads of OpenMP ask before they sleep.

    python benchmarks/neighbour.py [--steps 5] [--rounds 3] [--without]

`k2 train sft` of the embedded model with a LoRA adapter on rows of `k2 nano data`, alone and beside one process that computes
without end, in turn; as the command has it, and with `--without` also with OpenMP's own patience. Medians of the steps after
the first, by round, and their median. Needs GNU's OpenMP, at least two cores, and nothing else running.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CONFIG = """
[trainer]
use = "sft"
batch = 8
data = { files = ["rows.jsonl"], max_length = 512 }
model = { model = "smollm2-135m-instruct", lora = { rank = 16 } }

[sampler]
use = "single"

[decoders.solver]
use = "llamacpp"
"""
OWN = {"GOMP_SPINCOUNT": "300000"}
"""What GNU's OpenMP does when nothing is set."""


def k2(folder: Path, *args: str, **env: str) -> None:
    """Run the command there. Raises `RuntimeError` with what it said."""
    command = [sys.executable, "-m", "k2core", *args]
    done = subprocess.run(command, cwd=folder, env={**os.environ, **env}, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"k2 {' '.join(args)}: {done.stderr}")


@contextmanager
def neighbours(count: int) -> Iterator[None]:
    """So many processes that compute without end, in sessions of their own, between which Linux divides the cores first."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"], start_new_session=True) for _ in range(count)]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


def seconds(folder: Path, out: str, steps: int, env: dict[str, str]) -> float:
    """A step's, of a new training."""
    k2(folder, "train", "sft", "--config", "sft.toml", "--out", out, "--steps", str(steps), **env)
    rows = map(json.loads, (folder / out / "metrics.jsonl").read_text().splitlines())
    return statistics.median([float(row["step_seconds"]) for row in rows if "step_seconds" in row][1:])


def main(options: argparse.Namespace) -> None:
    settings: dict[str, dict[str, str]] = {"k2 train": {}} | ({"OpenMP's own": OWN} if options.without else {})
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        k2(folder, "nano", "data", "--out", "rows.jsonl", "--count", "400")
        (folder / "sft.toml").write_text(CONFIG)
        found: dict[tuple[str, int], list[float]] = {}
        for turn in range(options.rounds):
            for name, env in settings.items():
                for count in (0, 1):
                    with neighbours(count):
                        took = seconds(folder, f"{turn} {name} {count}", options.steps, env)
                    found.setdefault((name, count), []).append(took)
                    print(f"{name:14} neighbours {count}: {took:6.2f} s a step", flush=True)
    for (name, count), each in found.items():
        print(f"{name:14} neighbours {count}: median {statistics.median(each):6.2f} s a step of {len(each)} rounds")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--without", action="store_true")
    main(parser.parse_args())
