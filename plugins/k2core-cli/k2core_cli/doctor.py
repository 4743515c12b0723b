"""The command `k2 doctor`."""

from __future__ import annotations

import argparse
import json

from k2core.plugin import Plugin, PluginConfig, hookimpl
from k2core.ports import Commands


class DoctorConfig(PluginConfig):
    """There is nothing to set."""


class Doctor(Plugin):
    """Examine this machine and installation, and say what to do."""

    config: DoctorConfig

    @hookimpl
    def k2_commands(self, app: Commands) -> None:
        about = (
            "Examine this machine and installation. Exit status 1 if something must be mended before the default pipeline can run."
        )
        parser = app.add_parser("doctor", help="examine this machine and installation", description=about)
        parser.add_argument("--json", action="store_true", help="print a JSON list")
        parser.set_defaults(run=main)


def main(args: argparse.Namespace) -> int:
    from .checks import all_checks

    done = list(all_checks())
    if args.json:
        print(json.dumps([finding._asdict() for finding in done], indent=2))
    else:
        width = max(len(finding.name) for finding in done)
        for finding in done:
            advice = f"\n      {'':<{width}}  -> {finding.advice}" if finding.advice else ""
            print(f"{finding.status:<4}  {finding.name:<{width}}  {finding.text}{advice}")
    return 1 if any(finding.status == "fail" for finding in done) else 0
