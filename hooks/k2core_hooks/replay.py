"""The command `k2 replay`: runs recorded problems again, offline, on the recorded completions."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from k2core.plugin import Plugin, PluginConfig, hookimpl
from k2core.ports import Commands

if TYPE_CHECKING:
    from k2core import Registry
    from k2core.events import RunEnded

    from .compare import Item
    from .reader import RecordedRun


class ReplayConfig(PluginConfig):
    """There is nothing to set."""


class Replay(Plugin):
    """Run recorded problems again, offline, and compare."""

    config: ReplayConfig

    @hookimpl
    def k2_commands(self, app: Commands) -> None:
        about = (
            "Run a recorded problem again, with its recorded configuration and seed and the models' recorded answers; or every "
            "problem of an evaluation's folder, of a folder of traces, or of a file with several. "
            "Compare plan, candidates, verdicts, decision, answer and usage: exit status 0 if all are the same, else 1."
        )
        parser = app.add_parser("replay", help="run a trace or a whole evaluation again offline and compare", description=about)
        parser.add_argument(
            "trace", metavar="TRACE|DIR", help="a file written by the trace hook, such as by k2 think --trace; or k2 eval's folder"
        )
        parser.add_argument("--set", metavar="PATH=VALUE", action="append", default=[], help="change the configuration; repeatable")
        parser.add_argument(
            "--timeout", metavar="S", type=float, help="longest duration of a run; by default the recorded one and 30 s more"
        )
        parser.add_argument("--json", action="store_true", help="print the comparison as JSON")
        parser.add_argument("--limit", metavar="K", type=_count, help="several runs: replay the first K only")
        parser.add_argument("--jobs", metavar="J", type=_count, default=16, help="several runs: so many side by side; 16")
        parser.set_defaults(run=main)


def _count(text: str) -> int:
    if not (value := int(text)) > 0:
        raise argparse.ArgumentTypeError("it is at least 1")
    return value


def main(args: argparse.Namespace) -> int:
    """Replay what was recorded; the exit status says whether all is the same."""
    from k2core import ConfigError

    from .many import holds_many, replay_many
    from .reader import TraceError

    try:
        return replay_many(args) if holds_many(args.trace) else _replay_one(args)
    except (OSError, TraceError) as error:
        raise ConfigError(f"cannot replay: {error}") from error


def _replay_one(args: argparse.Namespace) -> int:
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


async def replay(
    run: RecordedRun, overrides: Sequence[str] = (), limit: float | None = None, registry: Registry | None = None
) -> RunEnded:
    """Run `run` again and return how it ended. Raises `ConfigError` when its pipeline cannot be put together.

    Of the time limits those that the recorded run reached pass in real time, the others not at all; `limit` (seconds, by
    default the recorded duration and 30 more) bounds it all: what still runs then is cancelled. The replaying decoder is added
    to `registry`.
    """
    from .replayer import Replayer

    async with Replayer(overrides, limit, registry) as replayer:
        return await replayer.alone(run)


def _read(path: str) -> RecordedRun:
    from k2core import ConfigError

    from .reader import read_trace

    run = read_trace(path)
    if run.bare:
        raise ConfigError(f"{path} records a bare run, made with Runtime.open; only whole runs can be replayed")
    return run


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
