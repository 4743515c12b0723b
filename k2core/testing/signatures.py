"""Checks of a plugin's hooks against the specifications."""

from __future__ import annotations

import difflib
import inspect
from typing import TYPE_CHECKING, Any

import pluggy

from ..errors import explain
from ..spec import PROJECT, ROLE_HOOKS, Specs
from .report import Faults, check

if TYPE_CHECKING:
    from .subject import Subject

OPTIONAL = {"decoder": {"k2_load_weights"}}
"""Hooks that plugins of a role may have besides."""
EVERY_PLUGINS = ("k2_around", "k2_event", "k2_start", "k2_stop")
_SPECS = {name: function for name, function in vars(Specs).items() if name.startswith("k2_")}


@check(static=True)
def implements_its_role(subject: Subject) -> Faults:
    """The hook of its role is there, and none of another role; a `hook` has at least one of those that all may have."""
    have = {name for name in _SPECS if callable(getattr(subject.cls, name, None))}
    due = ROLE_HOOKS.get(subject.role)
    if due and due not in have:
        yield f"a {subject.role} implements {due}, and this one does not"
    if not due and not have:
        yield f"it implements none of the hooks: {', '.join(EVERY_PLUGINS)}"
    for name in sorted(have - {due, *EVERY_PLUGINS} - OPTIONAL.get(subject.role, set())):
        yield f"{name} belongs to another role and is never asked of a {subject.role}; make it a plugin of its own"


@check(static=True)
def hooks_match_their_specs(subject: Subject) -> Faults:
    """Hooks carry `@hookimpl`, take only arguments of their specification, and are coroutines exactly where one is due."""
    for name in dir(subject.cls):
        function = inspect.getattr_static(subject.cls, name)
        marked = getattr(function, f"{PROJECT}_impl", None)
        if name in _SPECS:
            yield from _faults(name, function, marked)
        elif name.startswith("k2_") or marked is not None:
            near = difflib.get_close_matches(name, _SPECS, 1)
            yield f"there is no hook {name}" + (f"; did you mean {near[0]}?" if near else f"; there are {', '.join(_SPECS)}")


def _faults(name: str, function: Any, marked: Any) -> Faults:
    if marked is None:
        yield f"{name} lacks the decorator @hookimpl, so nobody would call it"
    elif marked.get("wrapper") or marked.get("hookwrapper"):
        yield f"{name} is a pluggy wrapper; implement k2_around instead, which is entered before the coroutine exists"
    if not inspect.isfunction(function):
        yield f"{name} must be a plain method, not {type(function).__name__}"
        return
    due = inspect.iscoroutinefunction(_SPECS[name])
    if inspect.isasyncgenfunction(function):
        yield f"{name} is an asynchronous generator; return a sequence, and tell of progress by run.emit or run.delta"
    elif inspect.iscoroutinefunction(function) != due:
        yield f"{name} must be `{'async def' if due else 'def'}`"
    known = list(inspect.signature(_SPECS[name]).parameters)
    for parameter in inspect.signature(function).parameters.values():
        if parameter.name not in known:
            yield f"{name} takes {parameter.name!r}, which its specification does not have: ({', '.join(known[1:])})"
        elif parameter.kind is parameter.KEYWORD_ONLY:
            yield f"{name} takes {parameter.name!r} by keyword only; pluggy passes arguments by position"


@check(static=True)
def registers(subject: Subject) -> Faults:
    """An instance can be registered with a plugin manager of k2core's specifications."""
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(Specs)
    try:
        manager.register(subject.make(), "subject")
        manager.check_pending()
    except Exception as error:
        yield f"it cannot be registered: {explain(error)}"
