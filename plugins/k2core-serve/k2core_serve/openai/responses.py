"""`POST /v1/responses`."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from ..http import encoded
from .asked import Asked
from .chat import extra
from .deciding import Answer, Request
from .endpoint import Endpoint
from .errors import ApiError
from .items import Items
from .outbox import Piece
from .responses_request import responses_asked
from .usage import Spent


class Responses(Endpoint):
    """Responses, in one piece or streamed."""

    name = "responses"

    def asked(self, data: dict[str, Any]) -> Asked:
        return responses_asked(data, self.services.settings.limits)

    def form(self, request: Request) -> ResponsesForm:
        return ResponsesForm(request)


class ResponsesForm:
    """One request's answer as a response and its events. Progress is the reasoning's summary, the solver's own its content."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._created = int(time.time())
        self._sequence = 0
        self._items = Items(request.id, self._event)

    def whole(self, answers: Sequence[Answer], spent: Spent) -> dict[str, Any]:
        (answer,) = answers
        for kind, text in (("progress", answer.progress), ("reasoning", answer.reasoning), ("text", answer.text)):
            self._items.add(kind, text)
        self._items.end(answer.finish, answer.calls)
        return self._ended(answer, spent)

    def _ended(self, answer: Answer, spent: Spent) -> dict[str, Any]:
        reason = {"length": "max_output_tokens", "content_filter": "content_filter"}.get(answer.finish)
        return self._response(
            status="incomplete" if reason else "completed",
            incomplete_details={"reason": reason} if reason else None,
            output=self._items.done,
            usage=spent.responses(),
            completed_at=None if reason else int(time.time()),
            k2core=extra(self._request, answer),
        )

    def _response(self, **fields: Any) -> dict[str, Any]:
        echo = self._request.asked.echo
        return {
            "id": f"resp_{self._request.id}",
            "object": "response",
            "created_at": self._created,
            "status": "in_progress",
            "background": False,
            "error": None,
            "incomplete_details": None,
            "instructions": echo.get("instructions"),
            "max_output_tokens": echo.get("max_output_tokens"),
            "metadata": echo.get("metadata") or {},
            "model": self._request.asked.model,
            "output": [],
            "parallel_tool_calls": echo.get("parallel_tool_calls", False),
            "previous_response_id": None,
            "reasoning": {"effort": self._request.asked.effort or None, "summary": None},
            "store": False,
            "temperature": echo.get("temperature"),
            "text": echo.get("text") or {"format": {"type": "text"}},
            "tool_choice": echo.get("tool_choice", "none"),
            "tools": echo.get("tools", []),
            "top_p": echo.get("top_p"),
            "truncation": "disabled",
            "usage": None,
            "user": echo.get("user"),
            **fields,
        }

    # streamed

    def _event(self, kind: str, **fields: Any) -> bytes:
        data = {"type": kind, "sequence_number": self._sequence, **fields}
        self._sequence += 1
        return b"event: %b\ndata: %b\n\n" % (kind.encode(), encoded(data))

    def opening(self) -> bytes:
        created: Mapping[str, Any] = self._response()
        return self._event("response.created", response=created) + self._event("response.in_progress", response=created)

    def piece(self, piece: Piece) -> bytes:
        return b"" if piece.kind == "finish" else self._items.add(piece.kind, piece.text)

    def closing(self, answers: Sequence[Answer], spent: Spent) -> bytes:
        (answer,) = answers
        last = self._items.end(answer.finish, answer.calls)
        response = self._ended(answer, spent)
        return last + self._event(f"response.{response['status']}", response=response)

    def failure(self, error: ApiError) -> bytes:
        """An `error` event, which clients raise, after the response has been declared failed."""
        code = "rate_limit_exceeded" if error.status == 429 else "server_error"
        failed = self._response(status="failed", error={"code": code, "message": error.message}, output=self._items.done)
        told = self._event("response.failed", response=failed)
        return told + self._event("error", code=error.code or error.type, message=error.message, param=error.param)
