"""For plugins: options that are on their way out. They go on working, and whoever sets one is told what to do.

class BriefConfig(PluginConfig):
    length: int = 200
    \"""A text of this many words scores one half.\"""
    words: Annotated[int | None, Deprecated("say `length`; it goes in 0.4")] = None
    \"""The old name of `length`.\"""
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema


@dataclass(frozen=True)
class Deprecated:
    """Annotates a field of a `PluginConfig`: setting it raises a `FutureWarning`, as it is users who can mend it."""

    message: str
    """What to do instead, and when the option goes."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        name = handler.field_name or "an option"

        def told(value: Any) -> Any:
            warnings.warn(f"the option {name!r} is deprecated: {self.message}", FutureWarning, stacklevel=2)
            return value

        return core_schema.no_info_before_validator_function(told, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {**handler(schema), "deprecated": True}
