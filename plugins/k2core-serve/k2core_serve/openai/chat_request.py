"""The body of a chat completion request."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from k2core.types import Message

from ..settings import LimitsTable
from .asked import Asked, Body, refuse_unless, sampling_of, text_of, understood
from .errors import bad
from .schemas import schema_of
from .tools import MOST, ChatCall, ChatTool, connected, offered

Text = Annotated[str, Field(max_length=512)]


class ChatMessage(Body):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[dict[str, Any]] | None = None
    name: str | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[ChatCall] | None = None
    tool_call_id: str | None = None
    function_call: dict[str, Any] | None = None
    audio: dict[str, Any] | None = None
    annotations: list[Any] | None = None


class JsonSchema(Body):
    name: str
    description: str | None = None
    schema_: dict[str, Any] | None = Field(default=None, alias="schema")
    strict: bool | None = None


class ResponseFormat(Body):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None


class StreamOptions(Body):
    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class ChatBody(Body):
    """Every parameter that OpenAI documents is here, so that one that cannot be honoured is refused with its reason."""

    model: str
    messages: Annotated[list[ChatMessage], Field(min_length=1)]
    n: Annotated[int, Field(ge=1)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    seed: int | None = None
    stop: str | Annotated[list[str], Field(max_length=16)] | None = None
    response_format: ResponseFormat | None = None
    reasoning_effort: Text | None = None
    # without effect on the answer
    user: Text | None = None
    safety_identifier: Text | None = None
    prompt_cache_key: Text | None = None
    metadata: dict[str, str] | None = None
    # for the solver; whoever asks executes what it calls
    tools: Annotated[list[ChatTool], Field(max_length=MOST)] | None = None
    tool_choice: Any = None
    parallel_tool_calls: bool | None = None
    # accepted only with the value that asks for nothing
    functions: list[Any] | None = None
    function_call: Any = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    logit_bias: dict[str, float] | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    store: bool | None = None
    service_tier: str | None = None
    modalities: list[str] | None = None
    audio: Any = None
    prediction: Any = None
    verbosity: str | None = None
    web_search_options: Any = None
    moderation: Any = None
    prompt_cache_retention: str | None = None


_OLD = "it is the old form; use tools and tool_choice"
_ONLY: dict[str, tuple[tuple[Any, ...], str]] = {
    "functions": (([],), _OLD),
    "function_call": (("none", "auto"), _OLD),
    "logprobs": ((False,), "answers come from several calls, and log-probabilities are not kept"),
    "top_logprobs": ((0,), "answers come from several calls, and log-probabilities are not kept"),
    "logit_bias": (({},), "the pipelines' back ends do not all have it"),
    "presence_penalty": ((0,), "the pipelines' back ends do not all have it"),
    "frequency_penalty": ((0,), "the pipelines' back ends do not all have it"),
    "store": ((False,), "completions cannot be retrieved later"),
    "service_tier": (("auto", "default"), "there is one tier"),
    "modalities": ((["text"],), "pipelines write text"),
    "audio": ((), "pipelines write text"),
    "prediction": ((), "pipelines have no use for it"),
    "verbosity": (("medium",), "pipelines have no such option"),
    "web_search_options": ((), "pipelines do not search the web"),
    "moderation": ((), "moderation is configured in the pipeline"),
    "prompt_cache_retention": ((), "prompt caches are the back ends' own"),
}


def chat_asked(data: dict[str, Any], limits: LimitsTable) -> Asked:
    """What a body asks for. Raises `ApiError` naming the parameter that is wrong or cannot be honoured."""
    body = understood(ChatBody, data)
    for param, (allowed, why) in _ONLY.items():
        refuse_unless(allowed, getattr(body, param), param, why)
    n = body.n or 1
    if n > limits.n:
        raise bad(f"n may be at most {limits.n} here, not {n}", "n", "invalid_value")
    most = [limit for limit in (body.max_tokens, body.max_completion_tokens) if limit is not None]
    options = body.stream_options
    if options and not body.stream:
        raise bad("stream_options is only for stream = true", "stream_options", "invalid_value")
    refuse_unless((False,), options and options.include_obfuscation, "stream_options.include_obfuscation", "streams are not padded")
    form = body.response_format
    schema = form and schema_of(form.type, form.json_schema and form.json_schema.schema_, "response_format")
    return Asked(
        model=body.model,
        messages=connected([_message(message, f"messages[{i}]") for i, message in enumerate(body.messages)], "messages"),
        sampling=sampling_of(
            temperature=body.temperature,
            top_p=body.top_p,
            max_tokens=min(most, default=None),
            stop=stops(body.stop),
            json_schema=schema,
        ),
        tools=offered((tool.function for tool in body.tools or ()), body.tool_choice, body.parallel_tool_calls),
        effort=body.reasoning_effort or "",
        n=n,
        seed=seeded(body.seed),
        stream=bool(body.stream),
        include_usage=bool(options and options.include_usage),
    )


def _message(message: ChatMessage, where: str) -> Message:
    calls = tuple(call.made() for call in message.tool_calls or ())
    if calls and message.role != "assistant":
        raise bad(f"{where}.tool_calls is for assistants", f"{where}.tool_calls", "invalid_value")
    if (message.role == "tool") != (message.tool_call_id is not None):
        raise bad(f"{where}: tool_call_id is for messages of role tool, and they need it", f"{where}.tool_call_id", "invalid_value")
    for field in ("name", "audio", "function_call"):
        if getattr(message, field) is not None:
            raise bad(f"{where}.{field} is not supported here", f"{where}.{field}", "unsupported_parameter")
    if message.content is None and not calls:
        raise bad(f"{where} has no content", f"{where}.content", "missing_required_parameter")
    role = "system" if message.role == "developer" else message.role
    text = "" if message.content is None else text_of(message.content, f"{where}.content")
    return Message(role=role, content=text, tool_calls=calls, tool_call_id=message.tool_call_id or "")


def stops(stop: str | list[str] | None) -> list[str] | None:
    """Raises `ApiError` for empty ones, which would end every answer at once."""
    found = [stop] if isinstance(stop, str) else stop
    if found and not all(found):
        raise bad("stop strings must not be empty", "stop", "invalid_value")
    return found or None


def seeded(seed: int | None) -> int | None:
    """OpenAI's seeds have 64 bits and a sign, those of runs 31 bits and none: the remainder."""
    return None if seed is None else seed % 2**31
