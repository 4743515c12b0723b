"""The model that a plugin meets on stage: it answers by rule, at the pace and with the errors that a check asks for."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from ..plugin import Plugin, PluginConfig, hookimpl
from ..ports import Run
from ..types import Completion, DecodeRequest
from .fakes import cut

Respond = Callable[[DecodeRequest, int], str]
TOO_MANY = 200
"""Calls after which the model falls silent: whoever makes so many for one problem would never end."""


def answer(request: DecodeRequest, index: int) -> str:
    """The same text for the same messages and seed: an example of the schema, if one is asked for, else a boxed number."""
    said = "\n".join(f"{m.role}: {m.content}" for m in request.messages)
    seed = None if request.seed is None else request.seed + index
    number = int(hashlib.sha256(f"{said}/{seed}/{request.temperature}".encode("utf-8", "replace")).hexdigest()[:8], 16)
    if request.json_schema is not None:
        return json.dumps(example(request.json_schema, request.json_schema, number))
    return f"I think step by step, and case {number % 7} applies. The answer is \\boxed{{{number % 10}}}."


def example(schema: Mapping[str, Any], root: Mapping[str, Any], number: int) -> Any:
    """A value that fits a JSON schema; `number` decides among several."""
    if "$ref" in schema:
        part: Any = root
        for key in schema["$ref"].removeprefix("#/").split("/"):
            part = part[key]
        return example(part, root, number)
    for key in ("anyOf", "oneOf"):
        if key in schema:
            return example(schema[key][0], root, number)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][number % len(schema["enum"])]
    kind = schema.get("type", "object")
    if kind == "object":
        return {key: example(inner, root, number) for key, inner in schema.get("properties", {}).items()}
    if kind == "array":
        return [example(schema.get("items", {"type": "string"}), root, number)] * max(1, schema.get("minItems", 1))
    low = schema.get("minimum", 0)
    plain: dict[str, Any] = {"boolean": bool(number % 2), "integer": int(low), "number": float(low), "null": None}
    return plain.get(kind, f"word{number % 10}")


@dataclass
class Script:
    """How the model behaves, and what it was asked."""

    respond: Respond = answer
    pause: Callable[[DecodeRequest, int], float] = lambda request, index: 0.0
    """Seconds before each word."""
    error: Callable[[], BaseException] | None = None
    """Raised by every call, if set."""
    requests: list[DecodeRequest] = field(default_factory=list)
    open: int = 0
    """Calls being served at this moment."""


class StageDecoder(Plugin):
    """Serves all its choices side by side, a word a token."""

    config: PluginConfig
    script: ClassVar[Script]

    @hookimpl
    async def k2_decode(self, run: Run, request: DecodeRequest) -> Sequence[Completion]:
        script = self.script
        script.requests.append(request)
        script.open += 1
        try:
            run.meter(prompt_tokens=sum(len(m.content.split()) for m in request.messages))
            if len(script.requests) > TOO_MANY:
                await asyncio.Event().wait()
            if script.error:
                await asyncio.sleep(0)
                raise script.error()
            return await asyncio.gather(*(self._choice(run, request, index) for index in range(request.n)))
        finally:
            script.open -= 1

    async def _choice(self, run: Run, request: DecodeRequest, index: int) -> Completion:
        words, whole = cut(self.script.respond(request, index), request)
        for word in words:
            await asyncio.sleep(self.script.pause(request, index))
            run.delta(word, index)
        return Completion(text="".join(words), tokens=len(words), finish="stop" if whole else "length", model="stage")


def stage_decoder(script: Script) -> type[StageDecoder]:
    """A `StageDecoder` class that follows `script`."""
    return type("ScriptedDecoder", (StageDecoder,), {"script": script, "__module__": __name__})
