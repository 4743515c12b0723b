"""`k2 nano data|families`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from k2core.plugin import Plugin, PluginConfig, hookimpl
from k2core.ports import Commands


class NanoConfig(PluginConfig):
    """No options."""


class Nano(Plugin):
    """Lists k2-nano's families and writes training data of them."""

    config: NanoConfig

    @hookimpl
    def k2_commands(self, app: Commands) -> None:
        parser = app.add_parser("nano", help="k2-nano: its families and training data")
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
        actions.add_parser("families", help="list the families").set_defaults(run=_families)


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
