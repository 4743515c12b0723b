"""The command `k2 replay`: runs a recorded problem again, offline, on the recorded completions."""

from __future__ import annotations

import argparse
import asyncio
import copy
import json
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from k2core.events import Tuned
from k2core.plugin import Plugin, PluginConfig, hookimpl
from k2core.ports import Commands

if TYPE_CHECKING:
    from k2core import Registry
    from k2core.events import RunEnded

    from .compare import Item
    from .reader import RecordedRun
    from .tape import Tape

DROPPED = {"trace", "progress"}
IDLE = 2.0
"""Seconds without any progress after which a replayed run is cancelled whose recording was cut off, too."""


class ReplayConfig(PluginConfig):
    """There is nothing to set."""


class Replay(Plugin):
    """Run a recorded problem again, offline, and compare."""

    config: ReplayConfig

    @hookimpl
    def k2_commands(self, app: Commands) -> None:
        about = (
            "Run a recorded problem again, with its recorded configuration and seed and the models' recorded answers. "
            "Compare plan, candidates, verdicts, decision, answer and usage: exit status 0 if all are the same, else 1."
        )
        parser = app.add_parser("replay", help="run a trace again offline and compare", description=about)
        parser.add_argument("trace", metavar="TRACE", help="a file written by the trace hook, such as by k2 think --trace")
        parser.add_argument("--set", metavar="PATH=VALUE", action="append", default=[], help="change the configuration; repeatable")
        parser.add_argument(
            "--timeout", metavar="S", type=float, help="longest duration; by default the recorded one and 30 s more"
        )
        parser.add_argument("--json", action="store_true", help="print the comparison as JSON")
        parser.set_defaults(run=main)


def main(args: argparse.Namespace) -> int:
    """Replay one trace; the exit status says whether all is the same."""
    from .compare import compare

    run = _read(args.trace)
    ended = asyncio.run(replay(run, args.set, args.timeout))
    items = compare(run.ended, ended)
    if args.json:
        print(json.dumps(_as_json(run, items), indent=2))
    else:
        _print(run, items)
        _warn(run, ended)
    return 0 if all(item.same for item in items) else 1


def _read(path: str) -> RecordedRun:
    from k2core import ConfigError

    from .reader import TraceError, read_trace

    try:
        run = read_trace(path)
    except (OSError, TraceError) as error:
        raise ConfigError(f"cannot replay: {error}") from error
    if run.ended and not run.ended.result and not run.ended.error:
        raise ConfigError(f"{path} records a bare run, made with Runtime.open; only whole runs can be replayed")
    return run


async def replay(
    run: RecordedRun, overrides: Sequence[str] = (), limit: float | None = None, registry: Registry | None = None
) -> RunEnded:
    """Run `run` again and return how it ended. Raises `ConfigError` when its pipeline cannot be put together.

    Time-outs and soft deadlines pass in real time; `limit` (seconds, by default the recorded duration and 30 more) bounds it
    all: what still runs then is cancelled. The replaying decoder is added to `registry`.
    """
    from k2core import PipelineConfig, Registry, Runtime

    from .tape import Tape, for_tape

    tape, endings, registry = Tape(run), list["RunEnded"](), registry or Registry()
    for table in run.started.config.get("decoders", {}).values():
        registry.add("decoder", table["use"], for_tape(tape))  # under the name that error messages hold
    _add_witness(registry, endings)
    config = PipelineConfig.from_dict(offline(as_tuned(run)), overrides, "the recorded configuration")
    async with Runtime(config, registry=registry) as runtime:
        task = asyncio.ensure_future(runtime.solve(run.started.problem, seed=run.started.seed))
        await _until_done(task, tape, run, run.events[-1].at + 30 if limit is None else limit)
    if not endings:
        task.result()  # the error that kept the run from starting
    return endings[0]


async def _until_done(task: asyncio.Future[Any], tape: Tape, run: RecordedRun, limit: float) -> None:
    """Wait for the run, but no longer than `limit`, nor for one that was cut off when recorded and now waits for it in vain."""
    cut_off = run.ended is None or run.ended.error.startswith("CancelledError")
    deadline = time.monotonic() + limit
    while not task.done() and time.monotonic() < deadline:
        if cut_off and tape.waiting and time.monotonic() - tape.active > IDLE:
            break
        await asyncio.wait([task], timeout=0.1)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def as_tuned(run: RecordedRun) -> dict[str, Any]:
    """The recorded configuration with what plugins had learnt before that run, which a fresh one cannot know."""
    config = copy.deepcopy(dict(run.started.config))
    for event in run.events:
        if isinstance(event, Tuned):
            table = config
            for part in event.plugin.split("."):
                table = table.setdefault(part, {})
            table.update(event.options)
    return config


def offline(config: Any) -> dict[str, Any]:
    """The recorded configuration without models, views and clocks.

    Budgets stay, as they may have shaped the run, but for their caps on seconds, which a replay cannot meet alike.
    """
    kept = {name: value for name, value in config.items() if name not in {"trainer", "tasks"}}
    kept["decoders"] = {name: {"use": table["use"]} for name, table in config.get("decoders", {}).items()}
    kept["retry"] = {**config.get("retry", {}), "base": 0}
    hooks = {name: _clockless(table) for name, table in config.get("hooks", {}).items() if table["use"] not in DROPPED}
    kept["hooks"] = {**hooks, "replay-witness": {"use": "replay-witness"}}
    return kept


def _clockless(table: Any) -> dict[str, Any]:
    if table["use"] != "budget":
        return dict(table)
    problem = {name: cap for name, cap in table.get("problem", {}).items() if name != "seconds"}
    return {**{name: cap for name, cap in table.items() if name != "seconds"}, "problem": problem}


def _add_witness(registry: Registry, endings: list[RunEnded]) -> None:
    """A hook that keeps how the run ended, also when it ends with an error."""
    from k2core.events import Event, RunEnded

    class Witness(Plugin):
        config: ReplayConfig

        @hookimpl
        def k2_event(self, event: Event) -> None:
            if isinstance(event, RunEnded):
                endings.append(event)

    registry.add("hook", "replay-witness", Witness)


def _as_json(run: RecordedRun, items: Sequence[Item]) -> dict[str, Any]:
    return {
        "trace": str(run.path),
        "run_id": run.started.run_id,
        "same": all(item.same for item in items),
        "damage": run.damage,
        "items": [{"item": i.name, "same": i.same, "recorded": i.recorded, "replayed": i.replayed} for i in items],
    }


def _print(run: RecordedRun, items: Sequence[Item]) -> None:
    from .compare import differences
    from .terminal import printable

    for item in items:
        print(f"{'same' if item.same else 'differs':<8} {item.name}")
        for difference in differences(item):
            print(f"         {printable(difference)}")


def _warn(run: RecordedRun, replayed: RunEnded) -> None:
    from .terminal import printable

    known = run.result.warnings if run.result else ()
    new = [warning for warning in (replayed.result.warnings if replayed.result else ()) if warning not in known]
    for warning in [*([f"{run.path}: {run.damage}"] if run.damage else []), *new]:
        print(f"k2: warning: {printable(warning)}", file=sys.stderr)
