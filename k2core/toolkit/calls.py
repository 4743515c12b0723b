"""Calls of tools: when two of them are the same; for decoders, how OpenAI's API writes them, and what arrives in pieces."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..types import Message, ToolCall, Tools


def canonical(calls: Iterable[ToolCall]) -> str:
    """Calls as JSON that is equal for equal ones, in ASCII: without ids, in order of name and arguments, keys sorted."""
    made = [{"name": call.name, "arguments": _read(call.arguments)} for call in calls]
    return json.dumps(sorted(made, key=lambda call: json.dumps(call, sort_keys=True)), sort_keys=True)


def _read(arguments: str) -> Any:
    try:
        return json.loads(arguments)
    except (ValueError, RecursionError):  # as wrong as the model wrote it
        return arguments


class Calls:
    """For decoders: a completion's calls while they come in, whole or in pieces."""

    def __init__(self) -> None:
        self._parts: list[_Part] = []
        self._at: dict[int, _Part] = {}

    def __bool__(self) -> bool:
        return bool(self._parts)

    def take(self, index: int | None, id: str | None, name: str | None, arguments: Any) -> None:
        """Take a piece of the call at `index`. Some servers number nothing, or all alike: an id of its own with a name begins one.

        Raises `TypeError` for what belongs to no call.
        """
        part = self._at.get(index) if index is not None else self._parts[-1] if self._parts else None
        if part is None or (name and part.name and id and part.id != id):
            if not name:
                raise TypeError("a piece of a call that has not begun")
            self._parts.append(part := _Part())
            self._at[len(self._at) if index is None else index] = part
        part.id, part.name = part.id or id or "", part.name or name or ""
        part.arguments.append(arguments if isinstance(arguments, str) else "" if arguments is None else json.dumps(arguments))

    def made(self) -> tuple[ToolCall, ...]:
        """The calls as they are by now. One without an id gets one, by which its outcome can be sent back."""
        from ..types import ToolCall

        return tuple(
            ToolCall(id=part.id or f"call_{secrets.token_hex(12)}", name=part.name, arguments=_clean("".join(part.arguments)))
            for part in self._parts
        )


class _Part:
    def __init__(self) -> None:
        self.id = self.name = ""
        self.arguments: list[str] = []


def _clean(text: str) -> str:
    """Halves of a character, which two pieces may have held, joined; lone ones replaced."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def as_openai(calls: Iterable[ToolCall]) -> list[dict[str, Any]]:
    """Calls as OpenAI's chat completions write them."""
    return [{"id": c.id, "type": "function", "function": {"name": c.name, "arguments": c.arguments}} for c in calls]


def turn_of(message: Message) -> dict[str, Any]:
    """A turn as OpenAI's chat completions write it, with its calls or the call that it answers."""
    turn: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        turn |= {"content": message.content or None, "tool_calls": as_openai(message.tool_calls)}
    return turn | ({"tool_call_id": message.tool_call_id} if message.tool_call_id else {})


def offer_of(tools: Tools) -> dict[str, Any]:
    """The fields of a chat completion request that offer tools. What is the default of every server is left out."""
    offer: dict[str, Any] = {"tools": [dict(function) for function in tools.functions]}
    if tools.choice != "auto":
        offer["tool_choice"] = tools.choice
    return offer if tools.parallel is None else {**offer, "parallel_tool_calls": tools.parallel}
