"""`k2 eval run`: a pipeline on benchmarks, from the command line to a finished folder."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..running.settings import Settings


def add(subparsers: Any) -> None:
    """Register the parser."""
    about = (
        "Run a pipeline on tasks and grade what it answers. Everything goes into the folder DIR as it happens: when the "
        "evaluation is stopped or killed, the same command goes on from there. Tasks are named as k2 eval tasks lists them, or "
        "by a file of JSON lines with id, problem and answer."
    )
    parser = subparsers.add_parser("run", help="run a pipeline on tasks", description=about)
    parser.add_argument("tasks", metavar="TASK", nargs="+", help="such as gsm8k, reasoning-gym:basic_arithmetic, or a file")
    parser.add_argument("--out", metavar="DIR", required=True, type=Path, help="folder of the evaluation")
    parser.add_argument("--config", metavar="FILE", help="pipeline, as TOML or YAML; by default the embedded one")
    set_help = "change an option, such as sampler.n=5, tasks.jsonl.answer_format=number, grading.gsm8k.workers=2; repeatable"
    parser.add_argument("--set", metavar="PATH=VALUE", action="append", default=[], help=set_help)
    _add_protocol(parser)
    _add_work(parser)
    parser.set_defaults(run=main)


def _add_protocol(parser: argparse.ArgumentParser) -> None:
    preset = "a protocol: k2-think (16 runs, temperature 1, top-p 0.95, 64 k tokens, stop </answer>) or greedy; --set goes over it"
    parser.add_argument("--preset", metavar="NAME", default="", help=preset)
    parser.add_argument("--repeats", metavar="K", type=int, help="independent runs of each problem; default: 1, or the preset's")
    parser.add_argument("--limit", metavar="K", type=int, help="only the first K problems of each task")
    parser.add_argument("--seed", metavar="N", type=int, default=0, help="all runs' seeds derive from it; default: 0")
    parser.add_argument("--label", metavar="TEXT", default="", help="what to call this evaluation in comparisons and reports")
    parser.add_argument("--data", metavar="DIR", help="folder with local copies of data sets")
    ablation = "four arms in DIR/bare, plan, best-of-n, both: without and with the planner, one candidate and all"
    parser.add_argument("--ablation", action="store_true", help=ablation)
    parser.add_argument("--arm", metavar="NAME", action="append", default=[], help="only this arm of the ablation; repeatable")


def _add_work(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--concurrency", metavar="C", type=int, default=16, help="runs side by side; default: 16")
    patience = "how long to wait for a server that does not answer before its samples count as failed; default: 600"
    parser.add_argument("--patience", metavar="SECONDS", type=float, default=600.0, help=patience)
    parser.add_argument("--dry-run", action="store_true", help="tell how many tokens it takes, and what they cost; ask no model")
    probe = "with --dry-run: make K samples, spread evenly, and expect the rest to be alike; they are kept in DIR"
    parser.add_argument("--probe", metavar="K", type=int, default=0, help=probe)
    peek = "show how many are correct so far; not shown otherwise, as it tempts to stop while it looks good"
    parser.add_argument("--peek", action="store_true", help=peek)
    parser.add_argument("--executor", choices=["local", "ray"], default="local", help="where the pipeline runs; default: here")
    parser.add_argument("--ray-address", metavar="ADDRESS", default="", help="of a Ray cluster; default: one of our own, here")
    parser.add_argument("--ray-workers", metavar="W", type=int, default=0, help="default: one for each CPU of the cluster")


def main(args: argparse.Namespace) -> int:
    """The exit status is 0 once everything is there, 1 when something is missing, 130 after an interrupt, 143 when terminated."""
    from k2core.errors import ConfigError

    from ..running.session import dry_run, run

    if args.probe and not args.dry_run:
        raise ConfigError("goes with --dry-run", "--probe")
    work = dry_run if args.dry_run else run
    return work(settings_of(args), ablation=args.ablation, only=args.arm)


def settings_of(args: argparse.Namespace) -> Settings:
    """What the arguments mean. Raises `ConfigError`."""
    from ..running.configuration import pipeline, read
    from ..running.presets import with_preset
    from ..running.settings import Settings

    data, scorer = read(args.config, args.set)
    repeats, preset = 1, ""
    if args.preset:
        own = [one for one in args.set if not one.startswith(("grading.", "tasks."))]
        data, repeats, preset = with_preset(data, args.preset, own, args.repeats)
    return Settings(
        tasks=tuple(dict.fromkeys(args.tasks)),
        out=args.out,
        config=pipeline(data, args.config),
        grading=scorer["grading"],
        sources=scorer["tasks"],
        preset=preset,
        label=args.label,
        seed=args.seed,
        repeats=args.repeats if args.repeats is not None else repeats,
        limit=args.limit,
        data=args.data,
        concurrency=args.concurrency,
        patience=args.patience,
        probe=args.probe,
        peek=args.peek,
        executor=args.executor,
        address=args.ray_address,
        workers=args.ray_workers,
    )
