"""What `k2 check` prints."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from .findings import Finding, PackageReport, PluginReport

_HEAD = ("", "passed", "failed", "skipped", "advice", "seconds")


def as_json(report: PackageReport) -> dict[str, Any]:
    """The report in plain JSON types."""
    plugins = [{**dataclasses.asdict(plugin), "entry_point": plugin.value, "ok": plugin.ok} for plugin in report.plugins]
    for plugin in plugins:
        del plugin["value"]
    return {
        "distribution": report.dist,
        "version": report.version,
        "source": report.source,
        "ok": report.ok,
        "findings": [dataclasses.asdict(finding) for finding in report.findings],
        "plugins": plugins,
    }


def as_text(report: PackageReport, verbose: bool = False) -> str:
    """A table with a row for the distribution and one a plugin, then failures and advice; with `verbose` also what was skipped."""
    parts: list[tuple[str, Sequence[Finding], str]] = [("package", report.findings, "")]
    parts += [(label(plugin), plugin.findings, f"{plugin.seconds:.1f}") for plugin in report.plugins]
    rows = [_HEAD, *(_row(*part) for part in parts)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    table = ["  ".join(_cell(row[i], widths[i], i) for i in range(len(_HEAD))).rstrip() for row in rows]
    shown = ("failed", "advice", "skipped") if verbose else ("failed", "advice")
    details = [line for name, found, _ in parts for outcome in shown for line in _details(name, found, outcome)]
    return "\n".join([f"{report.dist} {report.version}, from {report.source}", "", *table, *([""] if details else []), *details])


def label(plugin: PluginReport) -> str:
    return f"{plugin.role} {plugin.name}"


def _row(name: str, found: Sequence[Finding], seconds: str) -> tuple[str, ...]:
    counts = Counter(finding.outcome for finding in found)
    return (name, *(str(counts[outcome]) for outcome in ("passed", "failed", "skipped", "advice")), seconds)


def _cell(text: str, width: int, column: int) -> str:
    return text.rjust(width) if column else text.ljust(width)


def _details(name: str, found: Sequence[Finding], outcome: str) -> Iterator[str]:
    chosen = [finding for finding in found if finding.outcome == outcome]
    for reason in dict.fromkeys(finding.message for finding in chosen):
        checks = ", ".join(finding.check for finding in chosen if finding.message == reason)
        yield f"{outcome}  {name}  {checks}: " + reason.replace("\n", "\n        ")
