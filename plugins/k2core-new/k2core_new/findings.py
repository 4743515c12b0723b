"""What `k2 check` finds, about a distribution and about each of its plugins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from k2core.testing import Finding
from k2core.testing.report import Outcome

__all__ = ["Finding", "Outcome", "PackageReport", "PluginReport"]


@dataclass(frozen=True)
class PluginReport:
    """What was found about one plugin."""

    role: str
    name: str
    value: str
    """`module:attribute` of its entry point."""
    findings: Sequence[Finding]
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        return not any(finding.outcome == "failed" for finding in self.findings)


@dataclass(frozen=True)
class PackageReport:
    """What was found about a distribution and its plugins."""

    dist: str
    version: str
    source: str
    """What it was asked by: a name, or a path."""
    findings: Sequence[Finding]
    plugins: Sequence[PluginReport] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return all(plugin.ok for plugin in self.plugins) and not any(f.outcome == "failed" for f in self.findings)
