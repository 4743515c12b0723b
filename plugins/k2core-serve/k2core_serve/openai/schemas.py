"""JSON schemas that clients send: taken in safely, and checked against the answer."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, TypeAlias

from .errors import bad

Schema: TypeAlias = Mapping[str, Any]
LARGEST = 65_536
"""Characters of a schema."""


def schema_of(kind: str, schema: Any, param: str) -> Schema | None:
    """The JSON schema of a response format. Raises `ApiError` for what is no schema or could harm."""
    if kind == "text":
        return None
    if kind == "json_object":
        return {"type": "object"}
    if not isinstance(schema, Mapping):
        raise bad(f"{param} needs a schema", param, "missing_required_parameter")
    if len(json.dumps(schema)) > LARGEST:
        raise bad(f"{param}: the schema has more than {LARGEST} characters", param, "invalid_json_schema")
    for word, value in _keywords(schema):
        if word == "patternProperties":
            raise bad(f"{param}: patternProperties is not supported here", param, "invalid_json_schema")
        if word in ("$ref", "$dynamicRef", "$id", "$schema") and not _harmless(word, value):
            raise bad(f"{param}: {word} may point only into the schema itself", param, "invalid_json_schema")
    if fault := _fault(json.dumps(schema)):
        raise bad(f"invalid {param}: {fault}", param, "invalid_json_schema")
    return schema


def _harmless(word: str, value: Any) -> bool:
    return word == "$schema" or (word != "$id" and isinstance(value, str) and value.startswith("#"))


def _keywords(value: Any) -> Iterator[tuple[str, Any]]:
    """Every key of every object in it; names of properties among them, which is harmless."""
    todo = [value]
    while todo:
        value = todo.pop()
        if isinstance(value, Mapping):
            yield from value.items()
            todo.extend(value.values())
        elif isinstance(value, list):
            todo.extend(value)


@lru_cache(maxsize=256)
def _fault(schema: str) -> str:
    """What is wrong with a schema."""
    from jsonschema import Draft202012Validator, SchemaError

    try:
        Draft202012Validator.check_schema(json.loads(schema))
    except (SchemaError, RecursionError) as error:
        return getattr(error, "message", "nested too deeply")
    return ""


def misfit(data: Any, schema: Schema) -> str:
    """Where the data does not fit; empty when it does.

    Patterns are left to the decoder's grammar: one from a client can keep Python's `re` busy for ever.
    """
    from jsonschema import Draft202012Validator, validators
    from referencing import Registry
    from referencing.exceptions import Unresolvable

    checker: Any = validators.extend(Draft202012Validator, {"pattern": lambda *_: iter(())})  # type: ignore[no-untyped-call]
    try:  # the registry is empty, so nothing is fetched
        fault = next(checker(schema, registry=Registry()).iter_errors(data), None)
    except Unresolvable as error:
        return f"the schema points nowhere: {error}"
    return fault.message if fault else ""
