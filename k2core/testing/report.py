"""What a check is, and what came of it."""

from __future__ import annotations

import inspect
import unittest
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from ..errors import explain
from ..spec import ROLE_VERSIONS
from .loop import Hung

if TYPE_CHECKING:
    from .subject import Subject

Outcome: TypeAlias = Literal["passed", "failed", "skipped", "advice"]
"""`advice` is worth knowing before others install a plugin, and fails nothing; the kit itself gives none."""
Faults: TypeAlias = Iterator[str]
"""What a check yields: one sentence for each fault, that says what is wrong and what to do."""


class Skipped(unittest.SkipTest):
    """Raised by a check that does not apply; pytest and unittest report it as a skipped test, with the reason."""


@dataclass(frozen=True)
class Check:
    """One requirement on plugins. Calling it with a `Subject` returns None, or raises `AssertionError` or `Skipped`."""

    name: str
    roles: tuple[str, ...]
    test: Callable[[Subject], Faults]
    static: bool
    """It looks at the class only. The others run the plugin, and are skipped once a static one has failed."""
    gate: bool
    """Once it has failed, no other makes sense."""

    @property
    def __name__(self) -> str:
        return self.name

    @property
    def summary(self) -> str:
        """What the check requires, in one paragraph."""
        return " ".join((inspect.getdoc(self.test) or "").split())

    def __call__(self, subject: Subject) -> None:
        if reason := subject.skip.get(self.name):
            raise Skipped(reason)
        if faults := list(dict.fromkeys(self.test(subject))):
            raise AssertionError("\n".join(faults))


CHECKS: list[Check] = []
"""Every check, in the order in which a plugin goes through them."""


def check(
    *roles: str, static: bool = False, gate: bool = False
) -> Callable[[Callable[[Subject], Faults]], Callable[[Subject], Faults]]:
    """Make a function a check of plugins in `roles`, by default in all."""

    def add(test: Callable[[Subject], Faults]) -> Callable[[Subject], Faults]:
        CHECKS.append(Check(test.__name__, roles or tuple(ROLE_VERSIONS), test, static, gate))
        return test

    return add


@dataclass(frozen=True)
class Finding:
    """The outcome of one check."""

    check: str
    outcome: Outcome
    message: str = ""
    """What was wrong and what to do, or why the check was skipped."""


@dataclass(frozen=True)
class Report:
    """What all checks found about one plugin."""

    role: str
    plugin: str
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """True when nothing failed."""
        return not self.failed

    @property
    def failed(self) -> tuple[Finding, ...]:
        return self._with("failed")

    @property
    def skipped(self) -> tuple[Finding, ...]:
        return self._with("skipped")

    def _with(self, outcome: Outcome) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if finding.outcome == outcome)

    def __str__(self) -> str:
        failed, skipped = self.failed, self.skipped
        passed = len(self.findings) - len(failed) - len(skipped)
        lines = [f"{self.plugin} ({self.role}): {passed} passed, {len(failed)} failed, {len(skipped)} skipped"]
        lines += [f"  failed {finding.check}: {_indented(finding.message)}" for finding in failed]
        for reason in dict.fromkeys(finding.message for finding in skipped):
            names = [finding.check for finding in skipped if finding.message == reason]
            lines.append(f"  skipped {', '.join(names)}: {_indented(reason)}")
        return "\n".join(lines)


def examine(subject: Subject, checks: Sequence[Check]) -> Report:
    """Put a plugin through checks; those that a failed gate, a failed static check or a hang leaves without sense are skipped."""
    findings: list[Finding] = []
    closed = unfit = ""
    for one in checks:
        if blocker := closed or (not one.static and unfit):
            findings.append(Finding(one.name, "skipped", f"not tried, since {blocker} failed"))
            continue
        finding, hung = _try(one, subject)
        findings.append(finding)
        if finding.outcome == "failed" and (one.gate or hung):
            closed = one.name
        elif finding.outcome == "failed" and one.static:
            unfit = unfit or one.name
    return Report(subject.role, subject.label, tuple(findings))


def _try(one: Check, subject: Subject) -> tuple[Finding, bool]:
    try:
        one(subject)
    except Skipped as error:
        return Finding(one.name, "skipped", str(error)), False
    except AssertionError as error:
        return Finding(one.name, "failed", str(error)), isinstance(error, Hung)
    except Exception as error:
        return Finding(one.name, "failed", f"it raised {explain(error)}{where(error)}"), False
    return Finding(one.name, "passed"), False


def where(error: BaseException) -> str:
    """The innermost line of an error's traceback, as ` at file:line`, of the error that started it all."""
    while error.__cause__ is not None:
        error = error.__cause__
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f" at {trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else ""


def _indented(message: str) -> str:
    return message.replace("\n", "\n    ")
