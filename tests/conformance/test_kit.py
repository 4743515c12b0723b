"""The kit itself: what it offers, and that it says clearly what it did."""

from __future__ import annotations

import subprocess
import sys
import time
import unittest

import pytest
from bad_plugins.configs import Picky, PickyConfig
from bad_plugins.planners import Silent

import k2core.testing
from k2core import Plan, Plugin, PluginNotFound, hookimpl
from k2core.spec import ROLE_VERSIONS
from k2core.testing import Check, FakePlanner, Report, Subject, assert_conforms, check_installed, check_plugin, checks_for

CHECKS = checks_for("planner")
SUBJECT = Subject("planner", FakePlanner)


def test_public_names() -> None:
    assert all(hasattr(k2core.testing, name) for name in k2core.testing.__all__)
    assert k2core.testing.__all__ == sorted(k2core.testing.__all__)


@pytest.mark.parametrize("role", ROLE_VERSIONS)
def test_every_check_says_what_it_requires(role: str) -> None:
    checks = checks_for(role)
    assert len({check.name for check in checks}) == len(checks) >= 15
    for check in checks:
        assert check.__name__ == check.name
        assert check.summary.endswith("."), check.name


def test_an_unknown_role_is_refused() -> None:
    with pytest.raises(ValueError, match="no role 'plumber'; roles are planner, "):
        checks_for("plumber")


def test_every_role_has_checks_that_run_the_plugin() -> None:
    assert all(any(not check.static for check in checks_for(role)) for role in ROLE_VERSIONS)


@pytest.mark.parametrize("check", CHECKS)
def test_checks_are_test_cases(check: Check) -> None:
    """The way shown in docs/plugins/conformance.md."""
    check(SUBJECT)


def test_a_failure_says_what_was_wrong() -> None:
    with pytest.raises(AssertionError, match=r"Silent \(planner\): \d+ passed, 1 failed") as caught:
        assert_conforms("planner", Silent)
    assert "failed works_as_planner: it returns a plan without text; return None" in str(caught.value)
    assert "not tried, since works_as_planner failed" in str(caught.value)


def test_skipped_checks_are_reported_with_their_reason() -> None:
    report = check_plugin("planner", Silent, skip={"works_as_planner": "it says nothing on purpose"})
    assert report.ok
    assert "skipped works_as_planner: it says nothing on purpose" in str(report)
    with pytest.raises(unittest.SkipTest, match="on purpose"):
        next(check for check in CHECKS if check.name == "works_as_planner")(
            Subject("planner", Silent, skip={"works_as_planner": "it says nothing on purpose"})
        )


def test_skipping_what_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="no check works_as_plumber; there are: "):
        check_plugin("planner", Silent, skip={"works_as_plumber": "it is none"})


def test_required_options_need_a_configuration() -> None:
    report = check_plugin("planner", Picky)
    assert [finding.check for finding in report.failed] == ["config_is_valid"]
    assert "depth: Field required" in report.failed[0].message
    assert check_plugin("planner", Picky, {"depth": 2}).ok
    assert check_plugin("planner", Picky, PickyConfig(depth=2)).ok


def test_installed_distributions_are_checked_by_name() -> None:
    with pytest.raises(PluginNotFound, match="'no-such-dist' offers plugins"):
        check_installed("no-such-dist")


def test_each_installed_plugin_gets_its_report() -> None:
    try:
        reports = check_installed("k2core-sampler")
    except PluginNotFound as error:
        pytest.skip(str(error))
    assert all(isinstance(report, Report) for report in reports)
    assert all(report.ok for report in reports), "\n".join(map(str, reports))


def test_a_hanging_plugin_does_not_hang_the_kit() -> None:
    class Busy(Plugin):
        @hookimpl
        async def k2_plan(self) -> Plan:
            while not over:
                time.sleep(0.01)  # noqa: ASYNC251 # the fault
            return Plan(prompt="Add.")

    over: list[bool] = []
    report = check_plugin("planner", Busy, limit=1.0)
    over.append(True)
    (failed,) = report.failed
    assert failed.check == "leaves_the_loop_free"
    assert "did not end within 1 s; the event loop is held up at " in failed.message
    assert __file__ in failed.message


def test_classes_that_cannot_be_imported_anew_skip_the_import_checks() -> None:
    class Local(Silent):
        pass

    Local.__module__ = "__main__"
    report = check_plugin("planner", Local)
    assert "import_is_quiet" in {finding.check for finding in report.skipped}


def test_the_kit_needs_no_test_framework() -> None:
    code = "import sys, k2core.testing; assert 'pytest' not in sys.modules and '_pytest' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
