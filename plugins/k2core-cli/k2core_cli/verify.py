"""The command `k2 verify`: JSON lines with solutions in, JSON lines with verdicts out, in the same order."""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import select
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, BinaryIO, get_args

from k2core.plugin import Plugin, PluginConfig, hookimpl
from k2core.ports import Commands

if TYPE_CHECKING:
    from k2core import PipelineConfig, Runtime

INTERRUPTED = 130
_CHUNK = 1 << 16
_POLL = 0.1
"""Seconds between looks at whether the reading is to stop."""
_REDRAW = 0.1
"""Seconds between changes of the bar."""
_LONGEST = 64 << 20
"""Bytes of a line that is still read; what is longer is an error, and not kept in memory."""


class VerifyConfig(PluginConfig):
    """There is nothing to set."""


class Verify(Plugin):
    """Judge solutions in JSON lines by a verifier."""

    config: VerifyConfig

    @hookimpl
    def k2_commands(self, app: Commands) -> None:
        about = (
            "Judge solutions. Reads JSON lines {id, problem?, gold, prediction}; for the code verifier {id, tests or test, "
            "entry_point?, prompt?, completion}. Writes {id, status, score, key, answer, reason, ms} a line, in the same order; "
            "a bad line yields status error and stops nothing."
        )
        parser = app.add_parser("verify", help="judge solutions in JSON lines", description=about)
        parser.add_argument("file", metavar="FILE", nargs="?", default="-", help="JSON lines; - or nothing: standard input")
        parser.add_argument("--verifier", metavar="NAME", required=True, help="such as math or code; with --config its name there")
        parser.add_argument(
            "--jobs", metavar="J", type=int, default=os.cpu_count() or 1, help="how many at a time; default: all cores"
        )
        parser.add_argument("--format", metavar="F", default="boxed", help="answer format of lines that name none; default: boxed")
        parser.add_argument("--config", metavar="FILE", help="a pipeline with [verifiers], and [decoders] for judges")
        parser.add_argument("--set", metavar="PATH=VALUE", action="append", default=[], help="override an option; repeatable")
        parser.set_defaults(run=main)


def main(args: argparse.Namespace) -> int:
    """Judge every line; the exit status is 0 once all have their line, 130 after an interrupt, 143 after a termination."""
    from k2core import ConfigError, Problem, Runtime

    if args.jobs < 1:
        raise ConfigError(f"must be at least 1, not {args.jobs}", "--jobs")
    formats = get_args(Problem.model_fields["answer_format"].annotation)
    if args.format not in formats:
        raise ConfigError(f"must be one of {', '.join(formats)}, not {args.format!r}", "--format")
    with _opened(args.file) as file:
        runtime = Runtime(pipeline(args))
        work = Work(runtime, args.verifier, args.jobs, args.format)
        try:
            asyncio.run(work.run(file))
        except (KeyboardInterrupt, asyncio.CancelledError) as stop:
            print(f"k2: stopped; {work.summary()}", file=sys.stderr)
            return INTERRUPTED if isinstance(stop, KeyboardInterrupt) else 128 + signal.SIGTERM
    print(work.summary(), file=sys.stderr)
    return 0


@contextmanager
def _opened(path: str) -> Iterator[BinaryIO]:
    from k2core import ConfigError

    if path == "-":
        yield sys.stdin.buffer
        return
    try:
        file = open(path, "rb")  # noqa: SIM115 # closed below; only the opening is the user's fault
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}", "FILE") from error
    with file:
        yield file


def pipeline(args: argparse.Namespace) -> PipelineConfig:
    """The given pipeline, or one that holds nothing but the verifier; with as many workers as jobs, where it has workers."""
    from k2core import ConfigError, PipelineConfig, Registry

    name = args.verifier
    if args.config:
        config = PipelineConfig.from_file(args.config, args.set)
        if name not in config.verifiers:
            known = ", ".join(config.verifiers) or "none"
            raise ConfigError(f"{args.config} has no verifier {name!r}; [verifiers] has: {known}", "--verifier")
        return config
    config = PipelineConfig.from_dict({"verifiers": {name: {}}}, args.set)
    table = config.verifiers[name]
    if "workers" in Registry().load("verifier", table.use).config_type().model_fields and "workers" not in table.options:
        return PipelineConfig.from_dict(config.model_dump(exclude_unset=True), [f"verifiers.{name}.workers={args.jobs}"])
    return config


class Work:
    """Lines in, verdicts out."""

    def __init__(self, runtime: Runtime, verifier: str, jobs: int, answer_format: str) -> None:
        self._runtime, self._verifier, self._format = runtime, verifier, answer_format
        self._free = asyncio.Semaphore(jobs)
        self._window = 4 * jobs + 16
        self._counts: Counter[str] = Counter()
        self._began = time.monotonic()

    async def run(self, file: BinaryIO) -> None:
        """Read, judge side by side, and write in order, at most a window of lines ahead of the writing."""
        me = asyncio.current_task()
        assert me is not None
        with suppress(NotImplementedError, RuntimeError):  # where the system or the thread has no signals
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, me.cancel)
        ordered: asyncio.Queue[asyncio.Task[str] | None] = asyncio.Queue(self._window)
        async with self._runtime, asyncio.TaskGroup() as group:
            self._began = time.monotonic()
            group.create_task(self._write(ordered, _size(file)))
            number = 0
            async for line in lines(file):
                number += 1
                if line.strip():
                    await ordered.put(group.create_task(self._judge(line, number)))
            await ordered.put(None)

    async def _write(self, ordered: asyncio.Queue[asyncio.Task[str] | None], size: int | None) -> None:
        with _progress(size) as show:
            for done in itertools.count(1):
                if (judged := await ordered.get()) is None:
                    break
                print(await judged, flush=ordered.empty())
                show(done)
        sys.stdout.flush()

    async def _judge(self, line: bytes, number: int) -> str:
        from k2core import K2Error, Verdict
        from k2core.errors import explain

        from .rows import identified, read, write

        began = time.monotonic()
        try:
            row = read(line, number, self._format)
            async with self._free, self._runtime.open(row.problem, seed=0) as run:
                [verdict] = await run.verify([row.candidate], row.reference, only=self._verifier)
            name = row.id
        except (ValueError, K2Error) as error:
            reason = error.args[0] if type(error) is ValueError else explain(error)
            name = identified(line, number)
            verdict = Verdict(candidate_id="0", status="error", reason=f"line {number}: {reason}")
        self._counts[verdict.status] += 1
        return write(name, verdict, time.monotonic() - began)

    def summary(self) -> str:
        """How many of what, and how fast."""
        done, seconds = self._counts.total(), time.monotonic() - self._began
        counts = ", ".join(f"{count} {status}" for status, count in sorted(self._counts.items()))
        return f"{done} judged in {seconds:.1f} s ({done / max(seconds, 1e-9):.0f}/s)" + (f": {counts}" if counts else "")


async def lines(file: BinaryIO) -> AsyncIterator[bytes]:
    """Lines as soon as they are there, from files, pipes and terminals. One that is far too long ends as a line that is no JSON."""
    rest, stop = b"", threading.Event()
    try:
        while chunk := await asyncio.to_thread(_read, file.fileno(), stop):
            *whole, rest = (rest + chunk).split(b"\n")
            for line in whole:
                yield line
            if len(rest) > _LONGEST:
                rest = rest[:100]
        if rest:
            yield rest
    finally:
        stop.set()


def _read(descriptor: int, stop: threading.Event) -> bytes:
    """What is there, or nothing at the end. A pipe that stays silent must not keep the process from ending."""
    while not stop.is_set():
        if select.select([descriptor], [], [], _POLL)[0]:
            return os.read(descriptor, _CHUNK)
    return b""


def _size(file: BinaryIO) -> int | None:
    """Lines of a regular file; None for what can be read once only."""
    import stat

    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode) or not sys.stderr.isatty():
        return None
    with open(file.name, "rb") as again:
        return sum(chunk.count(b"\n") for chunk in iter(lambda: again.read(_CHUNK), b""))


@contextmanager
def _progress(size: int | None) -> Iterator[Callable[[int], None]]:
    """A bar on standard error, where that is a terminal: call it with what is done."""
    if not sys.stderr.isatty():
        yield lambda done: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = TextColumn("verifying"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    console = Console(stderr=True)  # and standard output left alone: rich would show the verdicts instead of writing them there
    with Progress(*columns, console=console, transient=True, redirect_stdout=False, redirect_stderr=False) as progress:
        bar, drawn = progress.add_task("verifying", total=size), 0.0

        def show(done: int) -> None:
            nonlocal drawn
            if time.monotonic() - drawn > _REDRAW:
                drawn = time.monotonic()
                progress.update(bar, completed=done)

        yield show
