"""The bare ASGI side of serving: reading bodies within limits, sending JSON, noticing that a client has gone."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Coroutine, Mapping
from contextlib import suppress
from typing import Any, TypeVar

from starlette.types import Message, Receive, Scope, Send

from .openai.errors import ApiError, bad
from .settings import LimitsTable

T = TypeVar("T")
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode
_DRAINED_SECONDS = 2.0


class ClientGone(Exception):
    """Nobody is there to answer."""


class ClientStalled(ClientGone):
    """The client takes nothing."""


def header(scope: Scope, name: bytes) -> str | None:
    """The first header of that lower-case name."""
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == name), None)


def encoded(data: Any) -> bytes:
    """JSON as UTF-8. Lone surrogates, which a model's byte tokens can leave behind, become question marks."""
    return _encode(data).encode("utf-8", "replace")


async def read_json(scope: Scope, receive: Receive, limits: LimitsTable) -> dict[str, Any]:
    """The body, an object. Raises `ApiError` for one that is too large, too slow or none, `ClientGone` when it breaks off."""
    kind = (header(scope, b"content-type") or "").partition(";")[0].strip().lower()
    if kind != "application/json":  # also keeps other sites' pages out, as browsers ask before they send this
        raise ApiError(415, "the body must be JSON: send Content-Type: application/json", code="unsupported_media_type")
    return parsed(await _read(scope, receive, limits))


def parsed(body: bytes) -> dict[str, Any]:
    """Raises `ApiError` for what is no object in clean JSON."""
    try:
        data = json.loads(body.decode("utf-8"), parse_constant=_no_number)
    except UnicodeDecodeError as error:
        raise bad(f"the body is not UTF-8: {error.reason} at byte {error.start}", code="invalid_json") from None
    except (ValueError, RecursionError) as error:
        said = str(error) if isinstance(error, ValueError) else "nested too deeply"
        raise bad(f"the body is not valid JSON: {said}", code="invalid_json") from None
    if not isinstance(data, dict):
        raise bad("the body must be a JSON object", code="invalid_json")
    return data


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is no JSON")


async def _read(scope: Scope, receive: Receive, limits: LimitsTable) -> bytes:
    declared = header(scope, b"content-length") or ""
    if declared.isdigit() and int(declared) > limits.body_bytes:
        raise _too_large(limits)
    parts, size = [], 0
    try:
        async with asyncio.timeout(limits.body_seconds):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientGone
                parts.append(message.get("body", b""))
                size += len(parts[-1])
                if size > limits.body_bytes:
                    raise _too_large(limits)
                if not message.get("more_body"):
                    return b"".join(parts)
    except TimeoutError:
        raise ApiError(408, f"the body did not arrive within {limits.body_seconds:g} s", code="request_timeout") from None


def _too_large(limits: LimitsTable) -> ApiError:
    return ApiError(413, f"the body is larger than {limits.body_bytes} bytes", code="request_too_large")


async def send_json(send: Send, data: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
    await send_bytes(send, encoded(data), "application/json", status, headers)


async def send_bytes(send: Send, body: bytes, kind: str, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
    await send(start(status, {"content-type": kind, "content-length": str(len(body)), **(headers or {})}))
    await send({"type": "http.response.body", "body": body})


def start(status: int, headers: Mapping[str, str]) -> Message:
    fields = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    return {"type": "http.response.start", "status": status, "headers": fields}


async def send_error(send: Send, error: ApiError, receive: Receive | None = None) -> None:
    """Answer with an error. Where the body was not read, the connection closes, after a client in mid-sentence was heard out."""
    body = encoded(error.body)
    headers = {"content-type": "application/json", "content-length": str(len(body)), **error.headers}
    if error.status == 401:
        headers["www-authenticate"] = "Bearer"
    if error.status in (408, 413):
        headers["connection"] = "close"
    await send(start(error.status, headers))
    await send({"type": "http.response.body", "body": body, "more_body": True})
    if error.status == 413 and receive:
        await _hear_out(receive)
    await send({"type": "http.response.body", "body": b""})


async def _hear_out(receive: Receive) -> None:
    """A client that still sends when the connection closes would see a reset instead of the answer. Nothing is kept."""
    with suppress(TimeoutError):
        async with asyncio.timeout(_DRAINED_SECONDS):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect" or not message.get("more_body"):
                    return


async def until_gone(receive: Receive) -> None:
    """Returns when the client has closed its connection; the body must have been read."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def while_there(work: Coroutine[Any, Any, T], receive: Receive) -> T:
    """The outcome of `work`; it is cancelled, and has ended, before `ClientGone` is raised when the client leaves."""
    working, watching = asyncio.ensure_future(work), asyncio.ensure_future(until_gone(receive))
    try:
        await asyncio.wait((working, watching), return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise ClientGone
    finally:
        watching.cancel()
        await ended(working)


async def ended(task: asyncio.Future[Any]) -> None:
    """Cancel a task unless it is done, and wait for it, however often we are cancelled meanwhile; its outcome is dropped."""
    again: asyncio.CancelledError | None = None
    task.cancel()
    while not task.done():
        try:
            await asyncio.wait((task,))
        except asyncio.CancelledError as error:
            again = error
    if not task.cancelled():
        task.exception()
    if again:
        raise again


async def patiently(sending: Awaitable[None], seconds: float) -> None:
    """Raises `ClientStalled` when a client takes nothing for so long."""
    try:
        async with asyncio.timeout(seconds):
            await sending
    except TimeoutError:
        raise ClientStalled from None
    except OSError:
        raise ClientGone from None


def abort(scope: Scope) -> None:
    """Close the connection without waiting for what a stalled client would have to take first, where the server lets us."""
    if cut := scope.get("extensions", {}).get("k2core.abort"):
        cut()
