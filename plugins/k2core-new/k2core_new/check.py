"""The command `k2 check`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from k2core.plugin import Plugin, PluginConfig, hookimpl
from k2core.ports import Commands

if TYPE_CHECKING:
    from .findings import PackageReport, PluginReport
    from .target import Target


class CheckConfig(PluginConfig):
    """There is nothing to set."""


class Check(Plugin):
    """Tell whether the plugins of a package keep the rules of their roles."""

    config: CheckConfig

    @hookimpl
    def k2_commands(self, app: Commands) -> None:
        about = (
            "Look at a distribution's entry points and requirements, load each of its plugins and put it through the conformance "
            "kit, each in a process of its own with a time limit. A folder or wheel is built and installed into a temporary place "
            "first, without what it depends on. Exit status: 0 all is well, 1 a check failed, 2 there is nothing to check."
        )
        parser = app.add_parser("check", help="tell whether a package's plugins keep the rules", description=about)
        parser.add_argument(
            "package", metavar="PACKAGE", nargs="+", help="an installed distribution, a project's folder, or a wheel"
        )
        parser.add_argument(
            "--settings", metavar="FILE", help="pyproject.toml with [tool.k2core.check.NAME]; a folder's own by default"
        )
        parser.add_argument("--only", metavar="NAME", action="append", default=[], help="only the plugin of this name; repeatable")
        parser.add_argument("--timeout", metavar="S", type=_positive, default=180.0, help="seconds for each plugin (180)")
        parser.add_argument("--jobs", metavar="J", type=int, default=1, help="plugins examined at a time (1)")
        parser.add_argument("--json", action="store_true", help="print a JSON list, one object a package")
        parser.add_argument("--verbose", action="store_true", help="say what was skipped, and why")
        parser.set_defaults(run=main)


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise ValueError("must be a positive number")
    return value


def main(args: argparse.Namespace) -> int:
    """Check every package; the exit status is 1 as soon as one fails a check."""
    from .output import as_json, as_text
    from .target import opened

    reports = []
    for source in args.package:
        with opened(source, Path(args.settings) if args.settings else None) as target:
            report = checked(target, args)
        reports.append(report)
        if not args.json:
            print(as_text(report, args.verbose), end="\n\n", flush=True)
    if args.json:
        print(json.dumps([as_json(report) for report in reports], indent=2))
    else:
        print(_verdict(reports))
    return 0 if all(report.ok for report in reports) else 1


def checked(target: Target, args: argparse.Namespace) -> PackageReport:
    """The report on one distribution. Raises `ConfigError` when `--only` names none of its plugins."""
    from k2core import ConfigError

    from .children import examined
    from .findings import PackageReport
    from .package import findings, offered, usable
    from .settings import CheckSettings

    chosen = [found for found in usable(offered(target)) if not args.only or found.name in args.only]
    if args.only and not chosen:
        names = ", ".join(found.name for found in offered(target)) or "none"
        raise ConfigError(f"{target.dist.name} has no plugin {' or '.join(args.only)} for this k2core; it has: {names}", "--only")
    settings = target.settings or {}
    show = _progress()

    def one(index: int) -> PluginReport:
        found = chosen[index]
        report = examined(found, target.path, settings.get(found.name, CheckSettings()), args.timeout, show)
        return report if found.name in settings else _hinted(report)

    with ThreadPoolExecutor(max(1, args.jobs)) as pool:
        plugins = list(pool.map(one, range(len(chosen))))
    show("")
    return PackageReport(target.dist.name, target.dist.version, target.source, findings(target), plugins)


def _hinted(report: PluginReport) -> PluginReport:
    """A plugin that does not work by its defaults may only need a file, or a server, that nobody has named."""
    from dataclasses import replace

    from .findings import Finding
    from .settings import TABLE

    if not any(finding.outcome == "failed" and finding.check == f"works_as_{report.role}" for finding in report.findings):
        return report
    hint = f"it was tried with its defaults; what it needs goes into [{TABLE}.{report.name}.options] of a file for --settings"
    return replace(report, findings=[*report.findings, Finding("has_what_it_needs", "advice", hint)])


def _progress() -> Callable[[str], None]:
    """One line on standard error, where that is a terminal."""
    if not sys.stderr.isatty():
        return lambda text: None
    return lambda text: print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


def _verdict(reports: list[PackageReport]) -> str:
    plugins = [plugin for report in reports for plugin in report.plugins]
    broken = sum(not plugin.ok for plugin in plugins)
    if all(report.ok for report in reports):
        return f"ok: {len(plugins)} plugin{'s' * (len(plugins) != 1)} keep{'s' * (len(plugins) == 1)} the rules"
    return f"not ok: {broken} of {len(plugins)} plugins, {sum(not r.ok for r in reports)} of {len(reports)} packages"
