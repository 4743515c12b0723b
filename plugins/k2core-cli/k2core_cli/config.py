"""The command `k2 config`: show, describe and check pipelines."""

from __future__ import annotations

import argparse
import json
import sys

from k2core.plugin import Plugin, PluginConfig, hookimpl
from k2core.ports import Commands

from .common import add_set, pipeline


class ConfigConfig(PluginConfig):
    """There is nothing to set."""


class Config(Plugin):
    """Show, check or describe a pipeline configuration."""

    config: ConfigConfig

    @hookimpl
    def k2_commands(self, app: Commands) -> None:
        parser = app.add_parser("config", help="show, check or describe a pipeline configuration")
        actions = parser.add_subparsers(metavar="ACTION", required=True)
        shown = actions.add_parser("show", help="print a pipeline with every default filled in, those of its plugins included")
        shown.add_argument("--json", action="store_true", help="print JSON instead of TOML")
        shown.set_defaults(run=show)
        checked = actions.add_parser("check", help="say `ok`, or all that is wrong with a pipeline")
        checked.set_defaults(run=check)
        for action in (shown, checked):
            action.add_argument("file", nargs="?", metavar="FILE", help="pipeline, as TOML or YAML; by default the embedded one")
            add_set(action)
        actions.add_parser("schema", help="print the JSON schema of pipelines, for editors").set_defaults(run=schema)


def show(args: argparse.Namespace) -> int:
    """Print the effective configuration. Raises what is wrong with it."""
    from k2core import Runtime

    effective = Runtime(pipeline(args.file, args.set)).effective
    if args.json:
        print(json.dumps(effective, indent=2))
        return 0
    import tomli_w

    print(tomli_w.dumps(effective), end="")
    return 0


def check(args: argparse.Namespace) -> int:
    """Print `ok`, or every fault in a line of its own with status 2."""
    from k2core import ConfigError, K2Error, Registry

    try:
        faults: list[K2Error] = Registry().check(pipeline(args.file, args.set))
    except ConfigError as error:
        faults = [error]
    for fault in faults:
        print(*(fault.faults if isinstance(fault, ConfigError) else [fault]), sep="\n", file=sys.stderr)
    if not faults:
        print("ok")
    return 2 if faults else 0


def schema(args: argparse.Namespace) -> int:
    """Print the schema; plugins that cannot be used are left out, with a note."""
    from .health import check_all
    from .schema import pipeline_schema

    healths = check_all()
    for health in healths:
        if not health.ok:
            print(f"k2: left out: {health.found.role} {health.found.name}: {health.why}", file=sys.stderr)
    print(json.dumps(pipeline_schema([health.found for health in healths if health.ok]), indent=2))
    return 0
