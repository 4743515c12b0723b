"""The conformance kit: what a plugin's own tests run to know that it keeps the rules of its role."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from ..errors import PluginNotFound
from ..plugin import Plugin, PluginConfig
from ..registry import Registry
from ..spec import ROLE_VERSIONS
from . import cancellation, config, hooks, imports, lifecycle, limits, sharing, signatures
from .report import CHECKS, Check, Report, examine
from .roles import cards, decoder, decoder_load, decoder_sampling, planner, sampler, tasks, verifier
from .subject import Subject

Options: TypeAlias = Mapping[str, Any] | PluginConfig | None
TOPICS = (
    *(config, signatures, imports, hooks, lifecycle, planner, sampler, verifier, decoder),
    *(decoder_sampling, decoder_load, tasks, cards),
    *(cancellation, limits, sharing),
)
"""The modules whose import adds their checks, in this order."""


def checks_for(role: str) -> list[Check]:
    """The checks that apply to plugins of a role, in order: static ones first. Raises `ValueError` for an unknown role.

    With pytest: `@pytest.mark.parametrize("check", checks_for("sampler"))`, then `check(Subject("sampler", MySampler))`.
    """
    if role not in ROLE_VERSIONS:
        raise ValueError(f"there is no role {role!r}; roles are {', '.join(ROLE_VERSIONS)}")
    found = [one for topic in TOPICS for one in CHECKS if one.test.__module__ == topic.__name__ and role in one.roles]
    return [one for one in found if one.static] + [one for one in found if not one.static]


def check_plugin(role: str, cls: type[Plugin], config: Options = None, **settings: Any) -> Report:
    """Put a plugin class through every check of its role. `settings` are fields of `Subject`, such as `problem` or `skip`."""
    subject = Subject(role, cls, config, **settings)
    known = {one.name for one in CHECKS}
    if unknown := set(subject.skip) - known:
        raise ValueError(f"there is no check {', '.join(sorted(unknown))}; there are: {', '.join(sorted(known))}")
    return examine(subject, checks_for(role))


def assert_conforms(role: str, cls: type[Plugin], config: Options = None, **settings: Any) -> Report:
    """As `check_plugin`; raises `AssertionError` that lists every failure."""
    report = check_plugin(role, cls, config, **settings)
    if not report.ok:
        raise AssertionError(str(report))
    return report


def check_installed(dist: str, **settings: Any) -> list[Report]:
    """Check every plugin of an installed distribution with its default options. Raises `PluginNotFound` when it has none."""
    registry = Registry()
    found = [plugin for plugin in registry.find_all() if plugin.dist == dist and not plugin.why]
    if not found:
        raise PluginNotFound(f"no installed distribution {dist!r} offers plugins for this k2core")
    return [check_plugin(plugin.role, registry.load(plugin.role, plugin.name), **settings) for plugin in found]
