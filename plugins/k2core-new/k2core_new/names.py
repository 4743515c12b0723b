"""The names of a new plugin: all of them follow from one."""

from __future__ import annotations

import builtins
import importlib.util
import re
from collections.abc import Iterable
from dataclasses import dataclass

from k2core import ConfigError, Registry
from k2core.spec import PROJECT, ROLE_VERSIONS

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_LONGEST = 60


@dataclass(frozen=True)
class Names:
    """What a plugin and its parts are called."""

    role: str
    name: str
    """The entry point's, which pipelines say under `use`."""
    cls: str

    @property
    def dist(self) -> str:
        return f"{PROJECT}-{self.name}"

    @property
    def module(self) -> str:
        return self.dist.replace("-", "_")

    @property
    def test(self) -> str:
        return f"test_{self.name.replace('-', '_')}.py"

    @property
    def group(self) -> str:
        return f"{PROJECT}.{self.role}.v{ROLE_VERSIONS[self.role]}"


def names_for(role: str, name: str, reserved: Iterable[str] = ()) -> Names:
    """Names for a plugin; a class that would hide a built-in or one of `reserved` is called after its role, too.

    Raises `ConfigError` when the name is no good: not in small letters, or taken by an installed plugin or module.
    """
    short = name.removeprefix(f"{PROJECT}-")
    if not _NAME.fullmatch(short) or len(short) > _LONGEST:
        raise ConfigError(
            f"must be words of small letters and digits with hyphens between them, such as my-{role}, of at most {_LONGEST} "
            f"characters, not {name!r}",
            "NAME",
        )
    cls = "".join(word.capitalize() for word in short.split("-"))
    if {cls, f"{cls}Config"} & {*reserved, *dir(builtins)}:
        cls += role.capitalize()
    found = Names(role, short, cls)
    _require_free(found)
    return found


def _require_free(names: Names) -> None:
    for plugin in Registry().find_all():
        if (plugin.role, plugin.name) == (names.role, names.name):
            raise ConfigError(
                f"{plugin.dist} {plugin.dist_version} has a {names.role} {names.name!r} already, and a pipeline could use neither; "
                "take another name",
                "NAME",
            )
    if importlib.util.find_spec(names.module) is not None:
        raise ConfigError(f"there is a module {names.module} already; take another name", "NAME")
