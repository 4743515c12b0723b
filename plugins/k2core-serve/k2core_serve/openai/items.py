"""The output items of a response, as text arrives: one of reasoning, then one message; after the decision, calls of tools."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from k2core.types import ToolCall


class Event(Protocol):
    """Writes one event."""

    def __call__(self, kind: str, **fields: Any) -> bytes: ...


class Items:
    """Opens and closes items and their parts, and keeps those that are done. Returns the events of every step."""

    def __init__(self, id: str, event: Event) -> None:
        self._id, self._event = id, event
        self.done: list[dict[str, Any]] = []
        self._open: _Item | None = None

    def add(self, kind: str, text: str) -> bytes:
        """Text of kind `progress`, `reasoning` or `text`. Reasoning after the message began makes a new item."""
        if not text:
            return b""
        return self._in("message" if kind == "text" else "reasoning", kind, text)

    def _in(self, type: str, kind: str, text: str) -> bytes:
        before = b""
        if self._open is None or self._open.type != type:
            before = self._close("completed") + self._begin(type)
        assert self._open is not None
        return before + self._open.add(kind, text)

    def _begin(self, type: str) -> bytes:
        index = len(self.done)
        made = _Message if type == "message" else _Reasoning
        self._open = made(f"{'msg' if type == 'message' else 'rs'}_{self._id}_{index}", index, self._event)
        return self._event("response.output_item.added", output_index=index, item=self._open.item("in_progress"))

    def _close(self, status: str) -> bytes:
        item, self._open = self._open, None
        if item is None:
            return b""
        ends = item.end()
        self.done.append(item.item(status))
        return ends + self._event("response.output_item.done", output_index=item.index, item=self.done[-1])

    def end(self, finish: str, calls: Sequence[ToolCall] = ()) -> bytes:
        """There will be no more but these calls; without any there is a message in any case."""
        before = b""
        if not calls and (self._open is None or self._open.type != "message"):
            before = self._close("completed") + self._begin("message")
            assert self._open is not None
            before += self._open.add("text", "")
        status = "completed" if finish in ("stop", "tool_calls") else "incomplete"
        return before + self._close(status) + b"".join(self._called(call, status) for call in calls)

    def _called(self, call: ToolCall, status: str) -> bytes:
        """A call, whole."""
        place = {"item_id": f"fc_{self._id}_{len(self.done)}", "output_index": len(self.done)}
        item = {"id": place["item_id"], "type": "function_call", "call_id": call.id, "name": call.name}
        begun = {**item, "arguments": "", "status": "in_progress"}
        self.done.append({**item, "arguments": call.arguments, "status": status})
        return b"".join(
            (
                self._event("response.output_item.added", output_index=place["output_index"], item=begun),
                self._event("response.function_call_arguments.delta", **place, delta=call.arguments),
                self._event("response.function_call_arguments.done", **place, name=call.name, arguments=call.arguments),
                self._event("response.output_item.done", output_index=place["output_index"], item=self.done[-1]),
            )
        )


class _Part:
    """One part of an item: its text, and the events that tell of it."""

    def __init__(self, event: Event, place: dict[str, Any], words: str, part: str, type: str) -> None:
        self._event, self._place, self._words, self._part, self._type = event, place, words, part, type
        self._more: dict[str, Any] = {"logprobs": []} if type == "output_text" else {}
        self._texts: list[str] = []

    @property
    def text(self) -> str:
        return "".join(self._texts)

    def value(self, text: str) -> dict[str, Any]:
        more: dict[str, Any] = {"annotations": [], "logprobs": []} if self._type == "output_text" else {}
        return {"type": self._type, "text": text, **more}

    def begin(self) -> bytes:
        return self._event(f"response.{self._part}.added", **self._place, part=self.value("")) if self._part else b""

    def add(self, text: str) -> bytes:
        self._texts.append(text)
        return self._event(f"response.{self._words}.delta", **self._place, delta=text, **self._more) if text else b""

    def end(self) -> bytes:
        told = self._event(f"response.{self._words}.done", **self._place, text=self.text, **self._more)
        return told + (self._event(f"response.{self._part}.done", **self._place, part=self.value(self.text)) if self._part else b"")


class _Item:
    """An item that grows."""

    type = ""

    def __init__(self, id: str, index: int, event: Event) -> None:
        self.id, self.index, self._event = id, index, event
        self._parts: dict[str, _Part] = {}

    def _part(self, kind: str) -> _Part:
        raise NotImplementedError

    def add(self, kind: str, text: str) -> bytes:
        begun = b""
        if kind not in self._parts:
            self._parts[kind] = self._part(kind)
            begun = self._parts[kind].begin()
        return begun + self._parts[kind].add(text)

    def end(self) -> bytes:
        return b"".join(part.end() for part in self._parts.values())

    def _values(self, kind: str) -> list[dict[str, Any]]:
        return [self._parts[kind].value(self._parts[kind].text)] if kind in self._parts else []

    def item(self, status: str) -> dict[str, Any]:
        raise NotImplementedError


class _Message(_Item):
    type = "message"

    def _part(self, kind: str) -> _Part:
        place = {"item_id": self.id, "output_index": self.index, "content_index": 0}
        return _Part(self._event, place, "output_text", "content_part", "output_text")

    def item(self, status: str) -> dict[str, Any]:
        return {"id": self.id, "type": "message", "role": "assistant", "status": status, "content": self._values("text")}


class _Reasoning(_Item):
    type = "reasoning"

    def _part(self, kind: str) -> _Part:
        place: dict[str, Any] = {"item_id": self.id, "output_index": self.index}
        if kind == "progress":
            place["summary_index"] = 0
            return _Part(self._event, place, "reasoning_summary_text", "reasoning_summary_part", "summary_text")
        place["content_index"] = 0
        return _Part(self._event, place, "reasoning_text", "content_part", "reasoning_text")

    def item(self, status: str) -> dict[str, Any]:
        return {
            "id": self.id,
            "type": "reasoning",
            "status": status,
            "summary": self._values("progress"),
            "content": self._values("reasoning"),
        }
