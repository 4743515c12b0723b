"""The command `k2 plugins`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from k2core.plugin import Plugin, PluginConfig, hookimpl
from k2core.ports import Commands

if TYPE_CHECKING:
    from .health import Health


class PluginsConfig(PluginConfig):
    """There is nothing to set."""


class Plugins(Plugin):
    """List the installed plugins, and why one cannot be used."""

    config: PluginsConfig

    @hookimpl
    def k2_commands(self, app: Commands) -> None:
        about = (
            "List every installed plugin with its distribution and version; each is imported in a child process to see if it works."
        )
        parser = app.add_parser("plugins", help="list the installed plugins and their health", description=about)
        parser.add_argument("--json", action="store_true", help="print a JSON list")
        parser.add_argument("--timeout", type=_seconds, default=10.0, metavar="S", help="seconds for each import (10)")
        parser.add_argument("--strict", action="store_true", help="exit with status 1 if one cannot be used")
        parser.set_defaults(run=main)


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise ValueError("must be a positive number")
    return value


def main(args: argparse.Namespace) -> int:
    from .health import check_all

    healths = check_all(timeout=args.timeout)
    print(json.dumps([as_json(h) for h in healths], indent=2) if args.json else _table(healths))
    return 1 if args.strict and not all(h.ok for h in healths) else 0


def as_json(health: Health) -> dict[str, object]:
    found = health.found
    return {
        "role": found.role,
        "name": found.name,
        "role_version": found.version,
        "distribution": found.dist,
        "version": found.dist_version,
        "entry_point": found.value,
        "summary": found.summary,
        "ok": health.ok,
        "why": health.why,
    }


def _table(healths: Sequence[Health]) -> str:
    if not healths:
        return "no plugin is installed; try: pip install k2core-sampler k2core-decoder-llamacpp"
    rows = [("role", "name", "distribution", "health")]
    rows += [(h.found.role, h.found.name, f"{h.found.dist} {h.found.dist_version}", h.why or "ok") for h in healths]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return "\n".join("  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3]]) for row in rows)
