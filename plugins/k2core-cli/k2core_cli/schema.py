"""The JSON schema of pipelines over the plugins that are installed."""

from __future__ import annotations

import inspect
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from k2core import Found, PipelineConfig, Registry, VerifierTable

Schema = dict[str, Any]

SINGLE = {"planner": "planner", "sampler": "sampler", "trainer": "trainer"}
NAMED = {"verifiers": "verifier", "decoders": "decoder", "tasks": "tasks", "hooks": "hook"}
"""Tables of tables: the inner tables' names are free, and `use` defaults to them."""


def pipeline_schema(found: Sequence[Found]) -> Schema:
    """A JSON schema (2020-12) of pipelines. In each plugin's table the constant `use` selects the plugin's options."""
    schema = PipelineConfig.model_json_schema()
    definitions: Schema = schema.setdefault("$defs", {})
    names: dict[str, list[str]] = defaultdict(list)
    for plugin in found:
        if plugin.role in {*SINGLE.values(), *NAMED.values()}:
            names[plugin.role].append(plugin.name)
            definitions |= _plugin(plugin)
    for role in {*SINGLE.values(), *NAMED.values()}:
        definitions[role] = _choice(role, names[role])
    for key, role in SINGLE.items():
        _replace(schema, key, {"$ref": f"#/$defs/{role}"})
    for key, role in NAMED.items():
        _replace(schema, key, _tables(role, names[role]))
    used = {*names, *SINGLE.values(), *NAMED.values()}
    schema["$defs"] = {name: value for name, value in definitions.items() if name.split(".")[0] in used or _is_used(name, schema)}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "k2core pipeline"}


def _plugin(found: Found) -> Schema:
    """Definitions of one plugin: its table, under `role.name`, and what its options refer to."""
    cls = Registry().load(found.role, found.name)
    label = f"{found.role}.{found.name}"
    options = cls.config_type().model_json_schema(ref_template=f"#/$defs/{label}.{{model}}")
    inner = {f"{label}.{name}": value for name, value in options.pop("$defs", {}).items()}
    first_line = (inspect.getdoc(cls) or found.summary).partition("\n")[0]
    use = {"const": found.name, "type": "string", "description": f"{first_line} (from {found.dist} {found.dist_version})"}
    extra = VerifierTable.model_json_schema()["properties"] if found.role == "verifier" else {}
    table = {
        "type": "object",
        "title": found.name,
        "description": first_line,
        "properties": {**extra, "use": use, **options.get("properties", {})},
        "additionalProperties": False,
        "required": list(options.get("required", [])),
    }
    return {label: table, **inner}


def _choice(role: str, names: Sequence[str]) -> Schema:
    """A table of any plugin of a role, which `use` must name."""
    if not names:
        return {"type": "object", "required": ["use"], "properties": {"use": {"type": "string"}}}
    return {"type": "object", "required": ["use"], "oneOf": [{"$ref": f"#/$defs/{role}.{name}"} for name in names]}


def _tables(role: str, names: Sequence[str]) -> Schema:
    """Named tables: one that is named like a plugin means that plugin unless it says otherwise."""
    whole = {"$ref": f"#/$defs/{role}"}
    known = {name: {"if": {"required": ["use"]}, "then": whole, "else": {"$ref": f"#/$defs/{role}.{name}"}} for name in names}
    return {"type": "object", "properties": known, "additionalProperties": whole}


def _replace(schema: Schema, key: str, value: Schema) -> None:
    """Put `value` in the place of a property, under its description."""
    described = {"description": schema["properties"][key]["description"]} if "description" in schema["properties"][key] else {}
    schema["properties"][key] = {**value, **described}


def _is_used(name: str, schema: Schema) -> bool:
    """Whether a definition of the kernel's own, such as `Limits`, is still referred to by a property."""
    return f"#/$defs/{name}'" in str(schema["properties"])
