"""`GET /openapi.json`: the description of what is served, made from the forms that requests are checked with."""

from __future__ import annotations

from functools import cache
from typing import Any

from pydantic.json_schema import models_json_schema
from starlette.types import Receive, Scope, Send

from . import __name__ as package
from .admin import NewPipeline, NewShadow
from .http import send_json
from .openai.chat_request import ChatBody
from .openai.responses_request import ResponsesBody

_BODIES = (ChatBody, ResponsesBody, NewPipeline, NewShadow)
_ERRORS = {
    "400": "The request is wrong, or asks for what cannot be honoured.",
    "401": "No key, or none that is known.",
    "403": "The key, or the host, may not do this.",
    "404": "No such model or address.",
    "408": "The body came too slowly.",
    "413": "The body is too large.",
    "415": "The body is not JSON.",
    "429": "The key has used up its rate or budget.",
    "500": "A bug.",
    "502": "The pipeline failed.",
    "503": "Too many requests, or shutting down.",
    "504": "Out of time.",
}


class Description:
    """An ASGI application with the description."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send_json(send, description())


@cache
def description() -> dict[str, Any]:
    """OpenAPI 3.1."""
    from importlib.metadata import version

    _, schemas = models_json_schema([(body, "validation") for body in _BODIES], ref_template="#/components/schemas/{model}")
    components = {**schemas["$defs"], "Error": _ERROR}
    return {
        "openapi": "3.1.0",
        "info": {"title": "k2core", "version": version(package.replace("_", "-")), "description": "Pipelines as models."},
        "security": [{}, {"key": []}],
        "paths": {
            "/v1/chat/completions": {"post": _asks("createChatCompletion", "ChatBody", "A chat completion, whole or streamed.")},
            "/v1/responses": {"post": _asks("createResponse", "ResponsesBody", "A response, whole or streamed.")},
            "/v1/models": {"get": _gives("listModels", "The models that the key may ask.")},
            "/v1/models/{name}": {"get": _gives("retrieveModel", "One of them.", "name")},
            "/healthz": {"get": _gives("health", "The process answers.")},
            "/readyz": {"get": _gives("readiness", "Every pipeline has started.")},
            "/admin/pipelines": {
                "get": _gives("listPipelines", "Versions, requests in flight, faults."),
                "post": _asks("swapPipeline", "NewPipeline", "The version that the next request gets."),
            },
            "/admin/pipelines/{name}": {"delete": _gives("removePipeline", "It is no model any more.", "name")},
            "/admin/shadow": {
                "get": _gives("listShadows", "Where shadows differ."),
                "post": _asks("shadowModel", "NewShadow", "The report of the shadow."),
            },
            "/admin/shadow/{name}": {"delete": _gives("removeShadow", "It is shadowed no more.", "name")},
        },
        "components": {"schemas": components, "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}}},
    }


_ERROR: dict[str, Any] = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "null"]},
            },
        }
    },
}


def _gives(name: str, about: str, parameter: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {"operationId": name, "responses": {"200": {"description": about, "content": _JSON}, **_failures()}}
    if parameter:
        found["parameters"] = [{"name": parameter, "in": "path", "required": True, "schema": {"type": "string"}}]
    return found


def _asks(name: str, body: str, about: str) -> dict[str, Any]:
    form = {"application/json": {"schema": {"$ref": f"#/components/schemas/{body}"}}}
    made = _gives(name, about)
    if body in ("ChatBody", "ResponsesBody"):
        made["responses"]["200"]["content"] = {**_JSON, "text/event-stream": {}}
    return {**made, "requestBody": {"required": True, "content": form}}


_JSON: dict[str, Any] = {"application/json": {"schema": {"type": "object"}}}


def _failures() -> dict[str, Any]:
    form = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    return {status: {"description": about, "content": form} for status, about in _ERRORS.items()}
