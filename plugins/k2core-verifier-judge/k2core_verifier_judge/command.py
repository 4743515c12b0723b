"""The command `k2 judge measure`: how far a judge can be trusted, and a calibration for its verifier."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING, Any

from k2core import Commands, Plugin, PluginConfig, hookimpl

if TYPE_CHECKING:
    from k2core import PipelineConfig

    from .asking import AskingConfig
    from .labelled import Pair


class CommandConfig(PluginConfig):
    """There is nothing to set."""


class Command(Plugin):
    """Measure judges on labelled completions."""

    config: CommandConfig

    @hookimpl
    def k2_commands(self, app: Commands) -> None:
        parser = app.add_parser("judge", help="measure how far a judge can be trusted, and calibrate it")
        actions = parser.add_subparsers(metavar="ACTION", required=True)
        made = actions.add_parser("measure", help="put pairs of a right and a wrong completion before the judges of a pipeline")
        made.add_argument("--config", metavar="FILE", required=True, help="pipeline with the judge, as TOML or YAML")
        made.add_argument(
            "--set", metavar="PATH=VALUE", action="append", default=[], help="change an option of the pipeline; repeatable"
        )
        made.add_argument("--verifier", metavar="NAME", default="judge", help="its name under [verifiers]; `judge` by default")
        made.add_argument("--data", metavar="FILE", nargs="+", required=True, help="JSON lines: pid, problem, completion, correct")
        made.add_argument("--limit", metavar="K", type=_count, help="most pairs; one pair a problem")
        made.add_argument("--seed", metavar="S", type=int, default=0, help="of the choice of pairs and of the judge's replies; 0")
        made.add_argument("--out", metavar="FILE", help="write figures and calibration there; the verifier's option `calibration`")
        made.set_defaults(run=measure)


def _count(text: str) -> int:
    if not (value := int(text)) > 0:
        raise argparse.ArgumentTypeError("it is at least 1")
    return value


def measure(args: argparse.Namespace) -> int:
    """Ask, print a table, write the file. Raises `ConfigError` for a pipeline without that judge, `ValueError` for wrong data."""
    import asyncio

    from k2core import K2Error, PipelineConfig

    from .labelled import draw, read

    pipeline = PipelineConfig.from_file(args.config, args.set)
    use, config = judge_of(pipeline, args.verifier)
    try:
        pairs = draw(read(args.data), args.limit, args.seed)
    except ValueError as error:
        raise K2Error(str(error)) from error
    if not pairs:
        raise K2Error("no problem in the data has both a right and a wrong completion")
    report = asyncio.run(_measured(pipeline, config, pairs, args))
    print(f"{use} over {len(pairs)} pairs")
    print(table(report["figures"]))
    for warning in report["warnings"]:
        print(f"k2: {warning}", file=sys.stderr)
    if args.out:
        _write(args.out, report["calibration"], report["figures"])
    return 0


def judge_of(pipeline: PipelineConfig, name: str) -> tuple[str, AskingConfig]:
    """The verifier's plugin and options. Raises `ConfigError` when it is none of this distribution, or wrongly configured."""
    from k2core import ConfigError
    from k2core.config import validated

    from .pairwise import JudgeConfig
    from .rating import RatingConfig

    found = pipeline.verifiers.get(name)
    kinds: dict[str, type[AskingConfig]] = {"judge": JudgeConfig, "rating": RatingConfig}
    if found is None or found.use not in kinds:
        there = ", ".join(pipeline.verifiers) or "none"
        raise ConfigError(f"it is to use `judge` or `rating`; verifiers are: {there}", f"verifiers.{name}")
    options = {key: value for key, value in found.options.items() if key != "calibration"}
    return found.use, validated(kinds[found.use], options, f"verifiers.{name}")


async def _measured(pipeline: PipelineConfig, config: AskingConfig, pairs: list[Pair], args: argparse.Namespace) -> dict[str, Any]:
    from pathlib import Path

    from k2core import Runtime

    from .measure import ask, calibrated, figures

    bare = pipeline.model_copy(update={"verifiers": {}, "hooks": {}, "planner": None})
    async with Runtime(bare) as runtime:
        outcome = await ask(runtime, config, pairs, args.seed, _tell)
    names = [Path(path).name for path in args.data]
    calibration = calibrated(config, outcome, pairs, names)
    warnings = calibration.warnings(calibration.prompt, outcome.models)
    return {"figures": figures(config, outcome), "calibration": calibration, "warnings": warnings}


def _tell(done: int, of: int) -> None:
    end = "\n" if done == of else ""
    print(f"\r{done} of {of} pairs", end=end, file=sys.stderr, flush=True)


def _write(path: str, calibration: Any, figures: dict[str, Any]) -> None:
    from pathlib import Path

    from k2core import K2Error

    data = calibration.model_copy(update={"figures": figures}).model_dump(mode="json")
    try:
        Path(path).write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise K2Error(f"cannot write {path}: {error.strerror or error}") from error


def table(figures: dict[str, Any]) -> str:
    """The figures in lines: a name, and a value with its interval at 95 %."""
    lines = []
    for title, entry in {**figures["judges"], **{name: entry for name, entry in figures.items() if name != "judges"}}.items():
        if entry:
            lines.append(title)
            lines += [f"  {name:32} {_shown(value)}" for name, value in entry.items()]
    return "\n".join(lines)


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return f"{_shown(value['share'])}  [{value['low']:.3f}, {value['high']:.3f}]  of {value['n']}" if value["n"] else "-"
    return "-" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)
