"""`k2 nano data|families|pipeline|adapter`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from k2core.plugin import Plugin, PluginConfig, hookimpl
from k2core.ports import Commands


class NanoConfig(PluginConfig):
    """No options."""


class Nano(Plugin):
    """Writes training data of k2-nano's families, and tells where its pipeline and adapter are."""

    config: NanoConfig

    @hookimpl
    def k2_commands(self, app: Commands) -> None:
        parser = app.add_parser("nano", help="k2-nano: its families, training data, pipeline and adapter")
        actions = parser.add_subparsers(dest="action", required=True)
        data = actions.add_parser("data", help="write worked solutions for supervised fine-tuning")
        data.add_argument("--out", required=True, type=Path, metavar="FILE.jsonl")
        data.add_argument("--count", type=int, default=8000, help="rows (default: 8000)")
        data.add_argument("--seed", type=int, default=0)
        data.add_argument("--families", default="all", metavar="NAME,…", help="as in the task source nano (default: all)")
        data.add_argument("--split", default="train")
        data.add_argument("--planned", type=float, default=0.15, help="share of rows with a plan in the prompt (default: 0.15)")
        data.add_argument("--planning", type=float, default=0.08, help="share of rows that teach to plan (default: 0.08)")
        data.set_defaults(run=_data)
        for name, run, text in (
            ("families", _families, "list the families"),
            ("pipeline", _pipeline, "print where the pipeline file is"),
            ("adapter", _adapter, "print where the adapter's folder is; status 1 where none is installed"),
        ):
            actions.add_parser(name, help=text).set_defaults(run=run)


def _data(options: argparse.Namespace) -> int:
    from .data import Shares, rows, write

    try:
        if options.count < 1:
            raise ValueError(f"--count must be at least 1, not {options.count}")
        shares = Shares(options.planned, options.planning)
        count, digest = write(options.out, rows(options.count, options.seed, options.families, options.split, shares))
    except (OSError, ValueError) as error:
        print(f"k2 nano: {error}", file=sys.stderr)
        return 1
    if count < options.count:
        print(f"k2 nano: there are only {count} such problems", file=sys.stderr)
    print(f"{count} rows  sha256 {digest}  {options.out}")
    return 0


def _families(options: argparse.Namespace) -> int:
    from .families import FAMILIES

    for family in FAMILIES.values():
        print(f"{family.name:16}{family.about}")
    return 0


def _pipeline(options: argparse.Namespace) -> int:
    from .data import pipeline_file

    print(pipeline_file())
    return 0


def _adapter(options: argparse.Namespace) -> int:
    from k2core_models.shipped import adapter_folder

    try:
        print(adapter_folder("k2-nano"))
    except (OSError, ValueError) as error:
        print(f"k2 nano: {error}", file=sys.stderr)
        return 1
    return 0
