"""`k2 train TRAINER`: from a configuration file to a trained model."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from k2core.config import PipelineConfig
    from k2core.types import Task, TrainReport


SPINS = "2000"
"""How often a thread of GNU's OpenMP asks whether the others are done before it sleeps."""


def add(subparsers: Any, name: str, summary: str) -> None:
    """Register the parser of one trainer."""
    about = (
        f"{summary} Everything goes into DIR as it happens. Interrupted or terminated, the training finishes its step, writes a "
        "checkpoint and ends; with --resume it goes on from the last checkpoint, also after a kill."
    )
    parser = subparsers.add_parser(name, help=summary or f"the trainer {name}", description=about)
    parser.add_argument("--config", metavar="FILE", required=True, help="pipeline with [trainer], as TOML or YAML")
    parser.add_argument("--out", metavar="DIR", required=True, help="folder of the training; it must be new or empty")
    parser.add_argument("--resume", action="store_true", help="go on with the training in DIR")
    set_help = "change an option of the pipeline, such as trainer.optimizer.lr=1e-5; repeatable"
    parser.add_argument("--set", metavar="PATH=VALUE", action="append", default=[], help=set_help)
    parser.add_argument("--steps", metavar="N", type=_count, help="optimiser steps, in place of what the configuration says")
    parser.set_defaults(run=main, trainer=name)


def _count(text: str) -> int:
    if (value := int(text)) < 1:
        raise argparse.ArgumentTypeError("it is at least 1")
    return value


def main(args: argparse.Namespace) -> int:
    """The exit status is 0 at the end, 130 after an interrupt, 143 when terminated, 2 for a wrong configuration."""
    _share_cores()
    config = configured(args.trainer, args.config, args.set, args.out, args.resume, args.steps)
    received: list[int] = []
    try:
        report = asyncio.run(_watched(config, received))
    except asyncio.CancelledError:
        number = received[0] if received else signal.SIGINT
        print("k2: stopped after a whole step; --resume goes on from here", file=sys.stderr, flush=True)
        return 128 + number
    print(told(report))
    return 0


def _share_cores() -> None:
    """Unless the user has said otherwise, threads that wait give their cores to other processes soon.

    By default they ask 300,000 times first, at every operation: `benchmarks/neighbour.py` measures what that costs. The number of
    threads stays, as rounding depends on it. It is read when torch is loaded: in time for the command, not for programs that embed
    the kernel.
    """
    if not {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & os.environ.keys():
        os.environ["GOMP_SPINCOUNT"] = SPINS


def configured(trainer: str, path: str, overrides: Sequence[str], out: str, resume: bool, steps: int | None) -> PipelineConfig:
    """The pipeline of a file with the command's options in its [trainer]. Raises `ConfigError`."""
    from k2core.config import PipelineConfig, overridden, read_tables, set_at
    from k2core.errors import ConfigError

    data = overridden(read_tables(path), overrides)
    table = data.setdefault("trainer", {})
    if not isinstance(table, dict):
        raise ConfigError(f"{path}: [trainer] must be a table", "trainer")
    if table.setdefault("use", trainer) != trainer:
        raise ConfigError(f"{path} is for `k2 train {table['use']}`, not for `k2 train {trainer}`", "trainer.use")
    options: Mapping[str, Any] = {"out": out, "resume": resume, **({} if steps is None else {"steps": steps})}
    for name, value in options.items():
        set_at(data, f"trainer.{name}", value)
    return PipelineConfig.from_dict(data, source=path)


async def _watched(config: PipelineConfig, received: list[int]) -> TrainReport:
    """The first signal cancels the training, which then ends in good order; a second one ends the process at once."""
    from k2core.runtime import Runtime

    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None

    def stop(number: int) -> None:
        if received:
            os._exit(128 + number)  # nothing on the disk minds: a kill is not worse
        received.append(number)
        print("\nk2: finishing the step and writing a checkpoint; once more ends it at once", file=sys.stderr, flush=True)
        task.cancel()

    for each in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(each, stop, each)
    async with Runtime(config) as runtime:
        return await runtime.train(await asyncio.to_thread(tasks_of, config))


def tasks_of(config: PipelineConfig) -> list[Task]:
    """The tasks that [trainer.tasks] names. Raises `ConfigError`."""
    from k2core.config import validated
    from k2core.registry import Registry

    from ..options import TrainerOptions
    from ..tasks.config import TaskOptions
    from ..tasks.loading import load

    assert config.trainer is not None
    kind = Registry().load("trainer", config.trainer.use).config_type()
    if not issubclass(kind, TrainerOptions):
        return []
    options = validated(TaskOptions, config.trainer.options.get("tasks", {}), "trainer.tasks")
    return load(options, config.tasks)


def told(report: TrainReport) -> str:
    """The report for a terminal."""
    lines = [f"{report.steps:,} steps"]
    lines += [f"{name.replace('_', ' ')}: {value:.6g}" for name, value in report.metrics.items()]
    lines += [f"{name}: {path}" for name, path in report.artifacts.items()]
    return "\n".join(lines)
