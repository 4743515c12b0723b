"""`POST /v1/chat/completions`."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any

from k2core.toolkit.calls import as_openai

from ..http import encoded
from .asked import Asked
from .chat_request import chat_asked
from .deciding import Answer, Request
from .endpoint import Endpoint
from .errors import ApiError
from .outbox import Piece
from .usage import Spent

_text = json.JSONEncoder(ensure_ascii=False).encode


class Chat(Endpoint):
    """Chat completions, in one piece or streamed."""

    name = "chat"

    def asked(self, data: dict[str, Any]) -> Asked:
        return chat_asked(data, self.services.settings.limits)

    def form(self, request: Request) -> ChatForm:
        return ChatForm(request)


class ChatForm:
    """One request's answer as OpenAI writes it. Content may be followed by `k2core`, which other clients pass over."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._usage = request.asked.include_usage
        self._head = {
            "id": f"chatcmpl-{request.id}",
            "created": int(time.time()),
            "model": request.asked.model,
            "system_fingerprint": f"fp_{request.lease.version.digest}",
        }
        head = encoded({**self._head, "object": "chat.completion.chunk"})[:-1]
        self._before = b"data: " + head + b',"choices":[{"index":'
        self._after = b'},"logprobs":null,"finish_reason":null}]' + (b',"usage":null}\n\n' if self._usage else b"}\n\n")

    # in one piece

    def whole(self, answers: Sequence[Answer], spent: Spent) -> dict[str, Any]:
        choices = [self._choice(index, answer) for index, answer in enumerate(answers)]
        return {**self._head, "object": "chat.completion", "choices": choices, "usage": spent.chat()}

    def _choice(self, index: int, answer: Answer) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": answer.text, "refusal": None}
        if answer.calls:
            message |= {"content": answer.text or None, "tool_calls": as_openai(answer.calls)}
        if reasoning := answer.progress + answer.reasoning:
            message["reasoning_content"] = reasoning
        message["k2core"] = extra(self._request, answer)
        return {"index": index, "message": message, "logprobs": None, "finish_reason": answer.finish}

    # streamed

    def opening(self) -> bytes:
        """Goes out at once, before anything is known."""
        return b"".join(self._chunk(index, b'"role":"assistant","content":""') for index in range(self._request.asked.n))

    def piece(self, piece: Piece) -> bytes:
        if piece.kind == "finish":
            return b""  # told in `closing_choice`, with what the decision was
        field = b'"content":' if piece.kind == "text" else b'"reasoning_content":'
        return self._chunk(piece.choice, field + _text(piece.text).encode("utf-8", "replace"))

    def _chunk(self, index: int, delta: bytes) -> bytes:
        return b'%b%d,"delta":{%b%b' % (self._before, index, delta, self._after)

    def closing(self, answers: Sequence[Answer], spent: Spent) -> bytes:
        """Every choice's calls and finish, the usage if it was asked for, and the end."""
        chunk = {**self._head, "object": "chat.completion.chunk"}
        ends = [
            {
                **chunk,
                "choices": [{"index": i, "delta": {}, "logprobs": None, "finish_reason": answer.finish}],
                **({"usage": None} if self._usage else {}),
                "k2core": extra(self._request, answer),
            }
            for i, answer in enumerate(answers)
        ]
        if self._usage:
            ends.append({**chunk, "choices": [], "usage": spent.chat()})
        calls = b"".join(self._calls(index, answer) for index, answer in enumerate(answers) if answer.calls)
        return calls + b"".join(b"data: %b\n\n" % encoded(end) for end in ends) + b"data: [DONE]\n\n"

    def _calls(self, index: int, answer: Answer) -> bytes:
        """All calls of a choice: until the decision there are none, and then they are whole."""
        calls = [{"index": place, **call} for place, call in enumerate(as_openai(answer.calls))]
        return self._chunk(index, b'"tool_calls":' + encoded(calls))

    def failure(self, error: ApiError) -> bytes:
        """An error after the stream has begun; clients raise it."""
        return b"data: %b\n\n" % encoded(error.body)


def extra(request: Request, answer: Answer) -> dict[str, Any]:
    """What OpenAI's form has no field for."""
    result = answer.result
    return {
        "run_id": result.run_id,
        "version": request.lease.version.digest,
        "answer": result.answer,
        "decision": result.decision,
        "candidates": len(result.candidates),
        "seconds": round(result.seconds, 4),
    }
