"""Finding plugins without importing them, loading one by name, and assembling a pipeline's plugins."""

from __future__ import annotations

import difflib
import inspect
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from typing import Any, Literal

import pluggy

from .config import PipelineConfig, PluginTable, VerifierTable, validated
from .errors import ConfigError, K2Error, PluginIncompatible, PluginNotFound, boundary, explain
from .plugin import Plugin
from .spec import PROJECT, ROLE_HOOKS, ROLE_VERSIONS, Specs

_GROUP = re.compile(rf"^{PROJECT}\.(?P<role>[a-z]+)\.v(?P<version>\d+)$")


@dataclass(frozen=True)
class Found:
    """An installed entry point, compatible or not; nothing of it has been imported."""

    role: str
    version: int
    name: str
    dist: str
    dist_version: str
    value: str
    """`module:attribute`."""
    summary: str = ""

    @property
    def why(self) -> str:
        """Why this kernel cannot use it; empty when nothing speaks against it before it is imported."""
        known = ROLE_VERSIONS.get(self.role)
        if known is None:
            return f"this k2core knows no role {self.role!r}; its roles are {', '.join(ROLE_VERSIONS)}"
        if self.version == known:
            return ""
        fix = "upgrade k2core" if self.version > known else f"upgrade {self.dist}"
        return f"made for {self.role} v{self.version}, this k2core has v{known}; {fix}"


@dataclass(frozen=True)
class Slot:
    """A plugin in its place in a pipeline."""

    path: str
    """Configuration path, such as `verifiers.math`."""
    role: str
    use: str
    plugin: Plugin
    weight: float = 1.0
    veto: bool = False
    when: str = "always"
    below: float = 1.0
    origin: str = ""
    """Distribution and version, such as `k2core-sampler 0.1.0`; empty for a class that was added in memory."""

    @property
    def name(self) -> str:
        """The last part of the path: the name of a decoder, verifier or hook within the pipeline."""
        return self.path.rpartition(".")[2]


class Registry:
    """The installed plugins, and classes that a program or test adds itself; those come first."""

    def __init__(self) -> None:
        self._added: dict[tuple[str, str], type[Plugin]] = {}
        self._found: list[Found] | None = None

    def add(self, role: str, name: str, plugin: type[Plugin]) -> None:
        """Offer a class under `use = name`. Raises `PluginIncompatible` when it cannot play the role."""
        self._added[role, name] = check_class(role, name, plugin)

    def find_all(self) -> list[Found]:
        """Every k2core entry point of every installed distribution, by role and name."""
        if self._found is None:
            dists = {dist.name.lower().replace("_", "-"): dist for dist in reversed(list(metadata.distributions())) if dist.name}
            found = (_found(dist, point) for dist in dists.values() for point in dist.entry_points)
            self._found = sorted((f for f in found if f), key=lambda f: (f.role, f.name, f.version, f.dist))
        return self._found

    def names(self, role: str) -> list[str]:
        """Names that `load(role, …)` may succeed for."""
        installed = {f.name for f in self.find_all() if f.role == role and not f.why}
        return sorted(installed | {name for r, name in self._added if r == role})

    def load(self, role: str, name: str) -> type[Plugin]:
        """Import one plugin class. Raises `PluginNotFound` or `PluginIncompatible`, and imports nothing else."""
        if (role, name) in self._added:
            return self._added[role, name]
        return check_class(role, name, self._import(self._choose(role, name)))

    def _choose(self, role: str, name: str) -> Found:
        candidates = [f for f in self.find_all() if (f.role, f.name) == (role, name)]
        usable = [f for f in candidates if not f.why]
        if len(usable) == 1:
            return usable[0]
        if usable:
            dists = " and ".join(f"{f.dist} {f.dist_version}" for f in usable)
            raise PluginIncompatible(f"{role} {name!r} is offered by {dists}; uninstall all but one")
        if candidates:
            raise PluginIncompatible("; ".join(f"{role} {name!r} of {f.dist} {f.dist_version} is {f.why}" for f in candidates))
        names = self.names(role)
        near = difflib.get_close_matches(name, names, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"installed: {', '.join(names) or 'none'}"
        raise PluginNotFound(f"no {role} plugin is named {name!r}; {hint}")

    def _import(self, found: Found) -> Any:
        from stevedore.driver import DriverManager

        group = f"{PROJECT}.{found.role}.v{found.version}"
        # what stevedore remembers, here and on disk, can be older than what is installed
        DriverManager.ENTRY_POINT_CACHE[group] = [metadata.EntryPoint(found.name, found.value, group)]
        try:
            return DriverManager(group, found.name).driver
        except (Exception, SystemExit) as error:
            raise PluginIncompatible(
                f"{found.role} {found.name!r} of {found.dist} {found.dist_version} cannot be imported: {explain(error)}; "
                f"reinstall or remove {found.dist}"
            ) from error

    def assemble(self, config: PipelineConfig) -> list[Slot]:
        """Load, configure and construct every plugin of a pipeline; raises the first of the errors that `check` lists."""
        slots, faults = self._try(config)
        if faults:
            raise faults[0]
        return slots

    def check(self, config: PipelineConfig) -> list[K2Error]:
        """Everything that keeps a pipeline from being assembled, each error with its configuration path."""
        return self._try(config)[1]

    def _try(self, config: PipelineConfig) -> tuple[list[Slot], list[K2Error]]:
        slots: list[Slot] = []
        faults: list[K2Error] = []
        for path, role, table in _tables(config):
            try:
                slots.append(self._slot(path, role, table))
            except K2Error as error:
                faults.append(error)
        return slots, [*faults, *(fault for slot in slots for fault in _missing(config, slot))]

    def _slot(self, path: str, role: str, table: PluginTable) -> Slot:
        try:
            cls = self.load(role, table.use)
        except (PluginNotFound, PluginIncompatible) as error:
            raise type(error)(f"{path}.use: {error}") from error
        options = validated(cls.config_type(), table.options, path)
        with boundary(role, table.use):
            plugin = cls(options)
        plugin.path = path
        found = None if (role, table.use) in self._added else self._choose(role, table.use)
        origin = f"{found.dist} {found.dist_version}" if found else ""
        say = table.model_dump(include={"weight", "veto", "when", "below"}) if isinstance(table, VerifierTable) else {}
        return Slot(path, role, table.use, plugin, origin=origin, **say)


def _missing(config: PipelineConfig, slot: Slot) -> Iterator[ConfigError]:
    """The entries of other tables that a plugin's options name, but that are not there."""
    tables: dict[Literal["decoders", "verifiers"], Mapping[str, PluginTable]]
    tables = {"decoders": config.decoders, "verifiers": config.verifiers}
    for table, entries in tables.items():
        for option, name in slot.plugin.config.named(table).items():
            if name not in entries:
                known = ", ".join(entries) or "none"
                yield ConfigError(f"there is no {table[:-1]} {name!r}; [{table}] has: {known}", f"{slot.path}.{option}")


def check_class(role: str, name: str, plugin: Any) -> type[Plugin]:
    """That `plugin` is a `Plugin` class which implements its role's hook, as a coroutine where one is due."""
    label = f"{role} {name!r}"
    if role not in ROLE_VERSIONS:
        raise PluginIncompatible(f"{label}: there is no such role; roles are {', '.join(ROLE_VERSIONS)}")
    if not (isinstance(plugin, type) and issubclass(plugin, Plugin)):
        raise PluginIncompatible(f"{label}: the entry point must name a class derived from k2core.Plugin, not {plugin!r}")
    if (due := ROLE_HOOKS.get(role)) and not callable(getattr(plugin, due, None)):
        raise PluginIncompatible(f"{label}: {plugin.__qualname__} does not implement {due}")
    for hook in (h for h in vars(Specs) if h.startswith("k2_") and hasattr(plugin, h)):
        if not hasattr(getattr(plugin, hook), f"{PROJECT}_impl"):
            raise PluginIncompatible(f"{label}: {plugin.__qualname__}.{hook} lacks the @hookimpl decorator")
        is_async = inspect.iscoroutinefunction(getattr(plugin, hook))
        if is_async != inspect.iscoroutinefunction(getattr(Specs, hook)):
            raise PluginIncompatible(f"{label}: {plugin.__qualname__}.{hook} must {'not ' if is_async else ''}be `async def`")
    plugin.config_type()
    return plugin


def manager_for(slots: list[Slot]) -> pluggy.PluginManager:
    """A plugin manager of its own with every slot registered under its path."""
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(Specs)
    for slot in slots:
        try:
            manager.register(slot.plugin, slot.path)
        except pluggy.PluginValidationError as error:
            raise PluginIncompatible(f"{slot.path}: {slot.role} {slot.use!r} cannot be registered: {explain(error)}") from error
    return manager


def effective(config: PipelineConfig, slots: list[Slot]) -> dict[str, Any]:
    """The configuration with every default, those of the plugins' options included, as plain JSON types."""
    data = config.model_dump(mode="json", exclude_none=True)
    for slot in slots:
        table: dict[str, Any] = data
        for part in slot.path.split("."):
            table = table[part]
        table.update(slot.plugin.config.model_dump(mode="json", exclude_none=True))
    return data


def _found(dist: metadata.Distribution, point: metadata.EntryPoint) -> Found | None:
    match = _GROUP.match(point.group)
    if not match:
        return None
    summary = dist.metadata["Summary"] or ""
    return Found(match["role"], int(match["version"]), point.name, dist.name, dist.version, point.value, summary)


def _tables(config: PipelineConfig) -> Iterator[tuple[str, str, PluginTable]]:
    for name, table in config.hooks.items():
        yield f"hooks.{name}", "hook", table
    for name, table in config.decoders.items():
        yield f"decoders.{name}", "decoder", table
    for name, table in config.tasks.items():
        yield f"tasks.{name}", "tasks", table
    if config.planner:
        yield "planner", "planner", config.planner
    if config.decoders or "sampler" in config.model_fields_set:  # a pipeline without a model only verifies
        yield "sampler", "sampler", config.sampler
    for name, verifier in config.verifiers.items():
        yield f"verifiers.{name}", "verifier", verifier
    if config.trainer:
        yield "trainer", "trainer", config.trainer
