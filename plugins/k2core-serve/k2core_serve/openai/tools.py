"""Tools that clients bring: their form in chat completions and responses, and a history of calls that hangs together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field

from k2core.types import Message, ToolCall, Tools

from .asked import Body
from .errors import bad

Name = Annotated[str, Field(pattern=r"^[a-zA-Z0-9_.-]{1,64}$")]
MOST = 128
"""Tools of one request."""


class Function(Body):
    name: Name
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class ChatTool(Body):
    """A tool in a chat completion request. Only functions: whoever asks executes them."""

    type: Literal["function"]
    function: Function


class ResponsesTool(Body):
    """The same in a request for a response, where it is flat. The type comes first, as what is wrong with another one."""

    type: Literal["function"]
    name: Name
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class CalledFunction(Body):
    name: Annotated[str, Field(min_length=1, max_length=256)]
    arguments: str


class ChatCall(Body):
    """A call in an assistant's turn of the history."""

    id: Annotated[str, Field(min_length=1, max_length=256)]
    type: Literal["function"] = "function"
    function: CalledFunction
    index: int | None = None
    """Some clients send back what a stream brought."""

    def made(self) -> ToolCall:
        return ToolCall(id=self.id, name=self.function.name, arguments=self.function.arguments)


def offered(functions: Iterable[Function | ResponsesTool] | None, choice: Any, parallel: bool | None) -> Tools | None:
    """What the solver may call; None without tools. Raises `ApiError` for a choice that is none or not among them."""
    known = {function.name: function.model_dump(exclude_none=True, exclude={"type"}) for function in functions or ()}
    if not known:
        if choice not in (None, "none", "auto"):
            raise bad("tool_choice is only for requests with tools", "tool_choice", "invalid_value")
        return None
    made = tuple({"type": "function", "function": function} for function in known.values())
    return Tools(functions=made, choice=_choice(choice, known), parallel=parallel)


def _choice(choice: Any, known: Mapping[str, Any]) -> str | Mapping[str, Any]:
    if choice is None:
        return "auto"
    if choice in ("auto", "none", "required"):
        return str(choice)
    if not isinstance(choice, dict) or choice.get("type") != "function":
        raise bad("tool_choice must be none, auto, required, or name one function", "tool_choice", "invalid_value")
    inner = choice.get("function")
    name = inner.get("name") if isinstance(inner, dict) else choice.get("name")
    if name not in known:
        raise bad(f"tool_choice names {name!r:.80}, which is not among the tools", "tool_choice", "invalid_value")
    return {"type": "function", "function": {"name": name}}


def connected(messages: Sequence[Message], param: str) -> tuple[Message, ...]:
    """The messages. Raises `ApiError` unless every call is answered before the next turn, and every answer has its call."""
    waiting: set[str] = set()
    for place, message in enumerate(messages):
        where = f"{param}[{place}]"
        if message.role == "tool":
            if message.tool_call_id not in waiting:
                raise bad(f"{where} answers no call of the turn before it: {message.tool_call_id!r:.80}", where, "invalid_value")
            waiting.discard(message.tool_call_id)
        elif waiting:
            raise bad(f"{where}: the call {min(waiting)!r:.80} before it has not been answered", where, "invalid_value")
        waiting |= {call.id for call in message.tool_calls}
    if waiting:
        raise bad(f"{param}: the call {min(waiting)!r:.80} has not been answered", param, "invalid_value")
    return tuple(messages)
