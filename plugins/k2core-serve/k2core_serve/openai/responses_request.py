"""The body of a request to `/v1/responses`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from k2core.types import Message, ToolCall

from ..settings import LimitsTable
from .asked import Asked, Body, refuse_unless, sampling_of, text_of, understood
from .chat_request import StreamOptions, Text
from .errors import bad
from .schemas import schema_of
from .tools import MOST, ResponsesTool, connected, offered


class Reasoning(Body):
    effort: Text | None = None
    summary: Text | None = None
    generate_summary: Text | None = None
    context: Text | None = None


class TextFormat(Body):
    type: Literal["text", "json_object", "json_schema"]
    name: str | None = None
    description: str | None = None
    schema_: dict[str, Any] | None = Field(default=None, alias="schema")
    strict: bool | None = None


class TextTable(Body):
    format: TextFormat | None = None
    verbosity: str | None = None


class ResponsesBody(Body):
    """Every parameter that OpenAI documents is here, so that one that cannot be honoured is refused with its reason."""

    model: str
    input: str | Annotated[list[dict[str, Any]], Field(min_length=1)]
    instructions: str | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_output_tokens: Annotated[int, Field(ge=1)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    reasoning: Reasoning | None = None
    text: TextTable | None = None
    # without effect on the answer
    metadata: dict[str, str] | None = None
    user: Text | None = None
    safety_identifier: Text | None = None
    prompt_cache_key: Text | None = None
    # for the solver; whoever asks executes what it calls
    tools: Annotated[list[ResponsesTool], Field(max_length=MOST)] | None = None
    tool_choice: Any = None
    parallel_tool_calls: bool | None = None
    # accepted only with the value that asks for nothing
    max_tool_calls: int | None = None
    store: bool | None = None
    previous_response_id: str | None = None
    conversation: Any = None
    background: bool | None = None
    include: list[str] | None = None
    truncation: str | None = None
    service_tier: str | None = None
    top_logprobs: int | None = None
    prompt: Any = None
    prompt_cache_retention: str | None = None
    context_management: Any = None
    moderation: Any = None


_NOT_KEPT = "responses are not kept for later"
_ONLY: dict[str, tuple[tuple[Any, ...], str]] = {
    "max_tool_calls": ((), "the client calls the tools, and may stop when it likes"),
    "store": ((False,), _NOT_KEPT),
    "previous_response_id": ((), f"{_NOT_KEPT}; send the conversation as input"),
    "conversation": ((), f"{_NOT_KEPT}; send the conversation as input"),
    "background": ((False,), _NOT_KEPT),
    "include": (([],), "there is nothing more to include"),
    "truncation": (("disabled",), "inputs are not cut"),
    "service_tier": (("auto", "default"), "there is one tier"),
    "top_logprobs": ((0,), "answers come from several calls, and log-probabilities are not kept"),
    "prompt": ((), "no prompts are stored here"),
    "prompt_cache_retention": ((), "prompt caches are the back ends' own"),
    "context_management": ((), "inputs are not cut"),
    "moderation": ((), "moderation is configured in the pipeline"),
}


def responses_asked(data: dict[str, Any], limits: LimitsTable) -> Asked:
    """What a body asks for. Raises `ApiError` naming the parameter that is wrong or cannot be honoured."""
    body = understood(ResponsesBody, data)
    for param, (allowed, why) in _ONLY.items():
        refuse_unless(allowed, getattr(body, param), param, why)
    text, reasoning = body.text or TextTable(), body.reasoning or Reasoning()
    refuse_unless(("medium",), text.verbosity, "text.verbosity", "pipelines have no such option")
    refuse_unless(("auto",), reasoning.context, "reasoning.context", _NOT_KEPT)
    refuse_unless(("auto", "concise", "detailed"), reasoning.summary, "reasoning.summary", "use auto")
    refuse_unless(("auto", "concise", "detailed"), reasoning.generate_summary, "reasoning.generate_summary", "use auto")
    if body.stream_options:
        refuse_unless((False,), body.stream_options.include_usage, "stream_options.include_usage", "the last event has the usage")
        obfuscated = body.stream_options.include_obfuscation
        refuse_unless((False,), obfuscated, "stream_options.include_obfuscation", "streams are not padded")
    form = text.format
    return Asked(
        model=body.model,
        messages=(*_instructions(body), *connected(_turns(body.input), "input")),
        sampling=sampling_of(
            temperature=body.temperature,
            top_p=body.top_p,
            max_tokens=body.max_output_tokens,
            json_schema=form and schema_of(form.type, form.schema_, "text.format"),
        ),
        tools=offered(body.tools, body.tool_choice, body.parallel_tool_calls),
        effort=reasoning.effort or "",
        stream=bool(body.stream),
        echo=body.model_dump(include={"instructions", "temperature", "top_p", "max_output_tokens", "user", "metadata"}, mode="json")
        | _tools_echo(body)
        | {"text": {"format": (data.get("text") or {}).get("format") or {"type": "text"}}},
    )


def _instructions(body: ResponsesBody) -> tuple[Message, ...]:
    return (Message(role="system", content=body.instructions),) if body.instructions else ()


def _tools_echo(body: ResponsesBody) -> dict[str, Any]:
    if not body.tools:
        return {}
    tools = [tool.model_dump() for tool in body.tools]
    parallel = True if body.parallel_tool_calls is None else body.parallel_tool_calls
    return {"tools": tools, "tool_choice": body.tool_choice or "auto", "parallel_tool_calls": parallel}


def _turns(given: str | list[dict[str, Any]]) -> tuple[Message, ...]:
    if isinstance(given, str):
        return (Message(role="user", content=given),)
    turns: list[Message] = []
    for place, item in enumerate(given):
        if item.get("type") == "function_call":
            _add_call(turns, _call(item, f"input[{place}]"))
        elif turn := _turn(item, f"input[{place}]"):
            turns.append(turn)
    return tuple(turns)


def _add_call(turns: list[Message], call: ToolCall) -> None:
    """Calls are items of their own here; in a chat they belong to the assistant's turn, with what it said before."""
    last = turns[-1] if turns and turns[-1].role == "assistant" else None
    if last is None:
        turns.append(Message(role="assistant", content="", tool_calls=(call,)))
    else:
        turns[-1] = last.model_copy(update={"tool_calls": (*last.tool_calls, call)})


def _call(item: dict[str, Any], where: str) -> ToolCall:
    _known(item, {"type", "id", "call_id", "name", "arguments", "status"}, where)
    found = {name: item.get(name) for name in ("call_id", "name", "arguments")}
    for name, value in found.items():
        if not isinstance(value, str) or not (value or name == "arguments"):
            raise bad(f"{where}.{name} must be text", f"{where}.{name}", "invalid_value")
    return ToolCall(id=item["call_id"], name=item["name"], arguments=item["arguments"])


def _outcome(item: dict[str, Any], where: str) -> Message:
    _known(item, {"type", "id", "call_id", "output", "status"}, where)
    if not isinstance(item.get("call_id"), str):
        raise bad(f"{where}.call_id must be text", f"{where}.call_id", "invalid_value")
    return Message(role="tool", content=text_of(item.get("output"), f"{where}.output"), tool_call_id=item["call_id"])


def _known(item: dict[str, Any], names: set[str], where: str) -> None:
    if unknown := item.keys() - names:
        raise bad(f"unknown parameter: {where}.{min(unknown)}", f"{where}.{min(unknown)}", "unknown_parameter")


_ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}


def _turn(item: dict[str, Any], where: str) -> Message | None:
    """A turn of the conversation; reasoning that a client sends back is not one, as with OpenAI's models."""
    kind, role = item.get("type", "message"), item.get("role")
    if kind == "reasoning":
        return None
    if kind == "function_call_output":
        return _outcome(item, where)
    if kind != "message" or not isinstance(role, str) or role not in _ROLES:
        raise bad(
            f"{where}: only messages and calls of functions are supported here, not {kind!s:.40}", where, "unsupported_content"
        )
    if "content" not in item:
        raise bad(f"{where} has no content", f"{where}.content", "missing_required_parameter")
    _known(item, {"type", "role", "content", "id", "status", "phase"}, where)
    return Message.model_validate({"role": _ROLES[role], "content": text_of(item["content"], f"{where}.content")})
