"""Judge JSON answers by a JSON schema."""

from .verifier import JsonSchema, JsonSchemaConfig

__all__ = ["JsonSchema", "JsonSchemaConfig"]
