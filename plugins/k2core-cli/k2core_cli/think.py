"""The command `k2 think`: one problem through a pipeline, the answer on standard output, all else on standard error."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from k2core.plugin import Plugin, PluginConfig, hookimpl
from k2core.ports import Commands

from .common import add_pipeline_options, pipeline

if TYPE_CHECKING:
    from k2core import PipelineConfig, Result, Runtime

INTERRUPTED = 130


class ThinkConfig(PluginConfig):
    """There is nothing to set."""


class Think(Plugin):
    """Solve a problem and print the answer."""

    config: ThinkConfig

    @hookimpl
    def k2_commands(self, app: Commands) -> None:
        about = "Solve one problem. Only the answer goes to standard output; the live view and a summary go to standard error."
        parser = app.add_parser("think", help="solve a problem and print the answer", description=about)
        parser.add_argument("problem", metavar="PROBLEM", help="the text of the problem, or - to read it from standard input")
        add_pipeline_options(parser)
        parser.add_argument("--seed", type=int, metavar="N", help="repeat a run; by default drawn, and told at the end")
        parser.add_argument("--trace", metavar="FILE", help="record the run, for k2 replay; replaces the file")
        parser.add_argument("--json", action="store_true", help="print the result as one JSON object")
        parser.set_defaults(run=main)


def main(args: argparse.Namespace) -> int:
    """Solve; the exit status is 0 with an answer, 130 after an interrupt, 143 after a termination."""
    from k2core import K2Error, Runtime

    problem = _problem(args.problem)
    config = _with_hooks(pipeline(args.config, args.set), args.trace)
    seed = _seed(args.seed, config)
    runtime = Runtime(config)
    try:
        result = asyncio.run(_solve(runtime, problem, seed))
    except (KeyboardInterrupt, asyncio.CancelledError) as stop:
        interrupted = isinstance(stop, KeyboardInterrupt)
        _say(f"{'interrupted' if interrupted else 'terminated'}; {_spent(runtime)}")
        return INTERRUPTED if interrupted else 128 + signal.SIGTERM
    except K2Error:
        _say(f"no answer; {_spent(runtime)}")
        raise
    if args.json:
        print(json.dumps(as_json(result, seed), ensure_ascii=True), flush=True)
    else:
        print(_fit(result.answer or result.candidate.text), flush=True)
    _summary(result, seed, args.trace)
    return 0


async def _solve(runtime: Runtime, problem: str, seed: int) -> Result:
    task = asyncio.current_task()
    assert task is not None
    with suppress(NotImplementedError, RuntimeError):  # where the system or the thread has no signals
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    async with runtime:
        return await runtime.solve(problem, seed=seed)


def _problem(text: str) -> str:
    from k2core import ConfigError

    if text != "-":
        with suppress(UnicodeError):  # a locale without UTF-8 has garbled it; what cannot be mended the kernel refuses
            return os.fsencode(text).decode("utf-8")
        return text
    try:
        return sys.stdin.buffer.read().decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"standard input is not UTF-8: {error}", "problem") from error


def _seed(given: int | None, config: PipelineConfig) -> int:
    import secrets

    from k2core import ConfigError

    if given is not None and not 0 <= given < 2**31:
        raise ConfigError(f"must be from 0 to {2**31 - 1}, not {given}", "seed")
    known = config.seed if given is None else given
    return secrets.randbits(31) if known is None else known


def _with_hooks(config: PipelineConfig, trace: str | None) -> PipelineConfig:
    """The live view, unless the pipeline has one or it does not work, and the trace that was asked for."""
    from k2core import K2Error, PluginTable, Registry

    hooks = dict(config.hooks)
    if not any(table.use == "progress" for table in hooks.values()):
        try:
            Registry().load("hook", "progress")
            hooks["progress"] = PluginTable(use="progress", **{"summary": False})
        except K2Error as error:
            _say(f"no live view: {error}")
    if trace:
        _check_writable(trace)
        known = hooks.get("trace")
        options = known.options if known and known.use == "trace" else {}
        hooks["trace"] = PluginTable(use="trace", **{**options, "file": trace, "overwrite": True})
    return config.model_copy(update={"hooks": hooks})


def _check_writable(path: str) -> None:
    """Complain before the work rather than after it. Raises `ConfigError`."""
    from k2core import ConfigError

    try:
        with open(path, "ab"):
            pass
    except OSError as error:
        raise ConfigError(f"cannot write the trace: {error}", "--trace") from error


def as_json(result: Result, seed: int) -> dict[str, Any]:
    """What `--json` prints."""
    data = result.model_dump(mode="json")
    return {
        "answer": data["answer"],
        "candidate": data["candidate"]["id"],
        "plan": data["plan"],
        "candidates": data["candidates"],
        "verdicts": data["verdicts"],
        "scores": data["scores"],
        "decision": data["decision"],
        "usage": data["usage"],
        "warnings": data["warnings"],
        "seconds": data["seconds"],
        "seed": seed,
        "problem_id": data["problem_id"],
        "trace_id": data["run_id"],
    }


def _summary(result: Result, seed: int, trace: str | None) -> None:
    from k2core_hooks import Speeds, spent_text

    _print(f"decision: {result.decision}")
    _print(f"spent: {spent_text(result.usage)}; {result.seconds:.1f} s")
    speeds = Speeds()
    for candidate in result.candidates:
        if candidate.completion:
            speeds.add(candidate.completion)
    if speeds:
        _print(f"speed: {speeds}")
    for warning in result.warnings:
        _print(f"warning: {warning}")
    _print(f"seed: {seed}" + (f"; trace: {trace}" if trace else ""))


def _spent(runtime: Runtime) -> str:
    from k2core_hooks import spent_text

    return f"spent: {spent_text(runtime.ledger.usage())}"


def _say(text: str) -> None:
    _print(f"k2: {text}")


def _print(text: str) -> None:
    from k2core_hooks import one_line

    print(one_line(text, 1000, sys.stderr.encoding), file=sys.stderr)


def _fit(answer: str) -> str:
    """The answer as it is, but on a terminal without what would steer it."""
    from k2core_hooks import printable

    return printable(answer, sys.stdout.encoding) if sys.stdout.isatty() else answer
