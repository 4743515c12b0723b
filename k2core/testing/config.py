"""Checks of a plugin's configuration: declared, documented, exact, and the same after a trip through a file."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from ..errors import ConfigError, PluginIncompatible, explain
from ..plugin import Plugin, PluginConfig
from .report import Faults, check

if TYPE_CHECKING:
    from .subject import Subject


@check(static=True, gate=True)
def derives_from_plugin(subject: Subject) -> Faults:
    """The entry point names a class that derives from `k2core.Plugin`."""
    cls: Any = subject.cls
    if not (isinstance(cls, type) and issubclass(cls, Plugin)):
        yield f"{cls!r} is no class derived from k2core.Plugin; derive it, and let the entry point name the class"


@check(static=True, gate=True)
def config_is_a_plugin_config(subject: Subject) -> Faults:
    """`config` is annotated with a `PluginConfig`, or not at all where there are no options."""
    try:
        subject.cls.config_type()
    except PluginIncompatible as error:
        yield f"{error}; write `config: MyConfig` in the class, with `class MyConfig(PluginConfig)`"


@check(static=True)
def config_is_documented(subject: Subject) -> Faults:
    """Each option has a description, and a default or the word `required` in it."""
    for name, info in subject.cls.config_type().model_fields.items():
        if not info.description:
            yield f"option {name!r} says nothing about itself; put a docstring below it, with its unit"
        elif info.is_required() and "required" not in info.description.lower():
            yield f"option {name!r} has no default; give it one, or say in its docstring that it is required and why"


@check(static=True, gate=True)
def config_is_valid(subject: Subject) -> Faults:
    """The configuration it is tested with, by default the empty one, is accepted."""
    try:
        subject.options()
    except ConfigError as error:
        yield f"the configuration {subject.given()!r} is refused: {error}; give a valid one to the kit, and defaults to the options"


@check(static=True)
def config_round_trips(subject: Subject) -> Faults:
    """The effective configuration can be written down, read again, and is the same."""
    config = subject.options()
    try:
        written = json.loads(json.dumps(config.model_dump(mode="json", exclude_none=True)))
    except Exception as error:
        yield f"it cannot be written to a file ({explain(error)}); use numbers, strings, lists and tables"
        return
    yield from _not_toml(written, "")
    try:
        again = type(config).model_validate(written)
    except ValidationError as error:
        yield f"what it writes it does not accept: {explain(error)}; options and defaults must be of the types declared"
        return
    for name in type(config).model_fields:
        old, new = getattr(config, name), getattr(again, name)
        if old != new:
            yield f"option {name!r} is {old!r} before and {new!r} after it was written and read; keys belong into the environment"


@check(static=True)
def config_refuses_unknown_options(subject: Subject) -> Faults:
    """A misspelt option is an error, not silence."""
    kind = type(subject.options())
    try:
        kind.model_validate({**subject.given(), "no_such_option": 1})
    except ValidationError as error:
        if any(fault["type"] == "extra_forbidden" for fault in error.errors()):
            return
    yield f"{kind.__qualname__} takes an unknown option in silence; leave model_config as PluginConfig has it (extra='forbid')"


@check(static=True)
def config_is_frozen(subject: Subject) -> Faults:
    """Options do not change while runs share them."""
    config = subject.options()
    for name in type(config).model_fields:
        try:
            setattr(config, name, getattr(config, name))
        except (ValidationError, AttributeError, TypeError):
            continue
        yield f"option {name!r} can be assigned to; leave model_config as PluginConfig has it (frozen=True)"
        return


@check(static=True)
def config_has_schema(subject: Subject) -> Faults:
    """The JSON schema, by which editors complete and check a pipeline, can be made."""
    kind = type(subject.options())
    try:
        schema = kind.model_json_schema()
        json.dumps(schema)
    except Exception as error:
        yield f"no JSON schema of {kind.__qualname__} can be made: {explain(error)}; use types that JSON has"
        return
    if missing := set(kind.model_fields) - set(schema.get("properties", {})) - _aliased(kind):
        yield f"the schema lacks {', '.join(sorted(missing))}"


def _aliased(kind: type[PluginConfig]) -> set[str]:
    return {name for name, info in kind.model_fields.items() if info.alias}


def _not_toml(value: Any, path: str) -> Faults:
    if value is None:
        yield f"{path or 'the configuration'} holds null inside a list, which TOML cannot say; leave it out"
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _not_toml(inner, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from _not_toml(inner, f"{path}[{place}]")
    elif isinstance(value, int) and not -(2**63) <= value < 2**63:
        yield f"{path} is {value}, beyond the 64 bits of a TOML integer"
