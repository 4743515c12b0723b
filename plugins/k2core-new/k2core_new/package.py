"""Checks of a distribution as a whole: what it offers, what it needs, and what a stranger would miss."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from importlib import metadata

from packaging.markers import UndefinedEnvironmentName
from packaging.requirements import InvalidRequirement, Requirement

import k2core
from k2core import Found, Registry
from k2core.spec import PROJECT, ROLE_VERSIONS

from .findings import Finding
from .target import Target

_GROUP = re.compile(rf"^{PROJECT}\.([a-z]+)\.v(\d+)$")
GROUPS = [f"{PROJECT}.{role}.v{version}" for role, version in ROLE_VERSIONS.items()]
_HERE = re.compile(r"[-_.]+")


def offered(target: Target) -> list[Found]:
    """The distribution's k2core entry points, of whatever role and version."""
    dist, found = target.dist, []
    for point in dist.entry_points:
        if match := _GROUP.match(point.group):
            summary = dist.metadata["Summary"] or ""
            found.append(Found(match[1], int(match[2]), point.name, dist.name, dist.version, point.value, summary))
    return sorted(found, key=lambda one: (one.role, one.name, one.version))


def findings(target: Target) -> list[Finding]:
    """What is found about the distribution before any of its plugins is imported."""
    checks = {
        "offers_plugins": _offers,
        "roles_are_this_cores": _versions,
        "names_are_free": _names,
        "core_is_required": _core,
        "requirements_are_met": _requirements,
    }
    found = [Finding(name, "failed", message) for name, check in checks.items() for message in check(target)]
    failed = {finding.check for finding in found}
    found = [Finding(name, "passed") for name in checks if name not in failed] + found
    return [*found, *(Finding("before_publishing", "advice", message) for message in _advice(target))]


def _offers(target: Target) -> Iterator[str]:
    ours = {point.group for point in target.dist.entry_points if re.match(rf"{PROJECT}\W", point.group)}
    for group in sorted(group for group in ours if not _GROUP.match(group)):
        near = difflib.get_close_matches(group, GROUPS, 1, 0.5)
        yield f"there is no entry-point group {group!r}" + (
            f"; did you mean {near[0]!r}?" if near else f"; there are {', '.join(GROUPS)}"
        )
    if not ours:
        yield (
            f"{target.dist.name} has no entry point in a group of k2core's, so nobody can find a plugin in it; in pyproject.toml "
            f'add [project.entry-points."{GROUPS[0]}"] with NAME = "module:Class"'
        )


def _versions(target: Target) -> Iterator[str]:
    """A distribution may offer the same name for other cores, too: one that this core can use is enough."""
    found = offered(target)
    usable = {(one.role, one.name) for one in found if not one.why}
    for one in found:
        if one.why and (one.role, one.name) not in usable:
            near = [] if one.role in ROLE_VERSIONS else difflib.get_close_matches(one.role, ROLE_VERSIONS, 1)
            yield f"{one.role} {one.name!r}: {one.why}" + (f"; did you mean {near[0]!r}?" if near else "")


def _names(target: Target) -> Iterator[str]:
    mine = {(one.role, one.name) for one in offered(target) if not one.why}
    for other in Registry().find_all():
        if other.dist != target.dist.name and not other.why and (other.role, other.name) in mine:
            theirs = f"{other.dist} {other.dist_version} offers a {other.role} {other.name!r}, too"
            yield f"{theirs}: with both installed, none can be used; rename it"


def _requires(target: Target) -> list[Requirement]:
    """What it needs here; extras are left out."""
    needs = []
    for text in target.dist.requires or ():
        try:
            need = Requirement(text)
            if need.marker is None or need.marker.evaluate({"extra": ""}):
                needs.append(need)
        except (InvalidRequirement, UndefinedEnvironmentName):
            continue  # of another tool's making: pip has taken it
    return needs


def _core(target: Target) -> Iterator[str]:
    needs = [need for need in _requires(target) if _same(need.name, PROJECT)]
    here = k2core.__version__
    if not needs and not _same(target.dist.name, PROJECT):
        yield f'it does not say that it needs k2core: add "{_bounded()}" to the dependencies'
    for need in needs:
        if not need.specifier.contains(here, prereleases=True):
            yield f"it needs {need}, and this k2core is {here}; install one that fits, or try it with this one and widen the bound"


def _requirements(target: Target) -> Iterator[str]:
    for need in _requires(target):
        if _same(need.name, PROJECT):
            continue
        try:
            version = metadata.version(need.name)
        except metadata.PackageNotFoundError:
            yield f"it needs {need}, which is not installed; pip install '{need}'"
            continue
        if not need.specifier.contains(version, prereleases=True):
            yield f"it needs {need}, and {need.name} {version} is installed; pip install '{need}'"


def _advice(target: Target) -> Iterator[str]:
    about = target.dist.metadata
    core = [need for need in _requires(target) if _same(need.name, PROJECT)]
    if core and not any(item.operator in ("<", "<=", "==", "~=") for need in core for item in need.specifier):
        yield f"{core[0]} has no upper bound: a later k2core may lack what it uses; say {_bounded()}"
    if not about["Summary"]:
        yield "no description: lists of plugins show it, and `k2 --help` for commands"
    if not (about.get_payload() or about["Description"]):  # type: ignore[attr-defined] # an email message
        yield "no readme"
    if not about["Requires-Python"]:
        yield 'no requires-python: say ">=3.11", as k2core does'
    if not (about["License-Expression"] or about["License"] or about["License-File"]):
        yield "no license: nobody may use it"


def _bounded() -> str:
    from .scaffold import core_requirement

    return core_requirement()


def _same(one: str, other: str) -> bool:
    return _HERE.sub("-", one).lower() == _HERE.sub("-", other).lower()


def usable(found: Sequence[Found]) -> list[Found]:
    """Those that this core can load."""
    return [one for one in found if not one.why]
