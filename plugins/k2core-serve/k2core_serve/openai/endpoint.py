"""What chat completions and responses have in common: admission, running, streaming, clients that leave."""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Protocol

from starlette.types import Receive, Scope, Send

from k2core.errors import K2Error, explain
from k2core.log import get_logger
from k2core.types import Problem

from ..admission.keys import Key
from ..http import ClientGone, abort, ended, header, patiently, read_json, send_error, send_json, start, while_there
from ..pipelines.serving import new_id
from ..services import Services
from ..watching.otel import server_span
from .asked import Asked, fitting
from .deciding import Answer, Request
from .errors import ApiError, of_failure, overloaded
from .outbox import Outbox, Piece
from .usage import Spent

GONE = 499
"""Status in logs and metrics of a request whose client left."""


class Form(Protocol):
    """How an answer is written."""

    def whole(self, answers: Sequence[Answer], spent: Spent) -> dict[str, Any]: ...
    def opening(self) -> bytes: ...
    def piece(self, piece: Piece) -> bytes: ...
    def closing(self, answers: Sequence[Answer], spent: Spent) -> bytes: ...
    def failure(self, error: ApiError) -> bytes: ...


class Endpoint(ABC):
    """An ASGI application for one address that takes questions."""

    name: ClassVar[str]

    def __init__(self, services: Services) -> None:
        self.services = services
        self.log = get_logger()

    @abstractmethod
    def asked(self, data: dict[str, Any]) -> Asked:
        """What a body asks for. Raises `ApiError`."""

    @abstractmethod
    def form(self, request: Request) -> Form: ...

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        call = Call(self, scope, receive, send)
        self.services.metrics.in_flight.inc()
        try:
            with server_span(self.services.settings.otel, scope, self.name):
                await call.answer()
        finally:
            self.services.metrics.in_flight.dec()
            call.book()


class Call:
    """One request from its first byte to its last."""

    def __init__(self, endpoint: Endpoint, scope: Scope, receive: Receive, send: Send) -> None:
        self._endpoint, self._services = endpoint, endpoint.services
        self._limits = endpoint.services.settings.limits
        self._scope, self._receive, self._send = scope, receive, send
        self.id = new_id()
        self._began = time.monotonic()
        self._model = self._key = self._why = ""
        self._status = 500
        self._streaming = False

    async def answer(self) -> None:
        """Serve it; whatever goes wrong becomes an answer in OpenAI's form, unless nobody is there to read it."""
        try:
            await self._answer()
        except ClientGone as gone:
            self._status, self._why = GONE, str(gone) or "the client left"
            self._services.metrics.gone.labels(self._endpoint.name).inc()
            abort(self._scope)
        except asyncio.CancelledError:
            self._status, self._why = 503, "cancelled as the server shuts down"
            if not self._streaming:
                await send_error(self._send, overloaded("the server is shutting down", 5))
            raise
        except Exception as error:
            await self._fail(error)

    async def _answer(self) -> None:
        services = self._services
        key = services.gate.key_of(header(self._scope, b"authorization"))
        self._key = key.name
        asked = self._endpoint.asked(await read_json(self._scope, self._receive, self._limits))
        table = services.pipelines.live(asked.model).table
        self._model = asked.model
        problem = asked.problem(table)
        fitting(problem, services.serving.choose(asked.model, key, asked.effort).runtime)  # refuse before it has to wait
        await while_there(self._admitted(key, asked, problem, table.commit), self._receive)

    async def _admitted(self, key: Key, asked: Asked, problem: Problem, commit: str) -> None:
        async with self._services.gate.admitted(key):
            lease = self._services.serving.choose(asked.model, key, asked.effort)
            fitting(problem, lease.runtime)
            with lease.version.leased():
                request = Request(self.id, asked, problem, key, lease, commit)
                await (self._stream(request) if asked.stream else self._whole(request))

    # in one piece

    async def _whole(self, request: Request) -> None:
        answers, spent = await request.whole(self._services.serving)
        body = self._endpoint.form(request).whole(answers, spent)
        self._status = 200
        await patiently(send_json(self._send, body, headers={"x-request-id": self.id}), self._limits.stall_seconds)

    # streamed

    async def _stream(self, request: Request) -> None:
        form = self._endpoint.form(request)
        headers = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache", "x-request-id": self.id}
        await self._send(start(200, {**headers, "x-accel-buffering": "no"}))
        self._streaming, self._status = True, 200
        await self._write(form.opening())
        self._services.metrics.first_event.labels(self._endpoint.name).observe(time.monotonic() - self._began)
        outbox = Outbox(self._limits.outbox_bytes)
        work = asyncio.ensure_future(request.streamed(self._services.serving, outbox))
        work.add_done_callback(lambda _: outbox.close())
        try:
            await self._forward(outbox, form)
            answers, spent = await work
            await self._write(form.closing(answers, spent), more=False)
        except Exception as error:
            if isinstance(error, ClientGone):
                raise
            await self._break_off(form, error)
        finally:
            await ended(work)

    async def _forward(self, outbox: Outbox, form: Form) -> None:
        """Send what comes until there is no more."""
        while pieces := await self._next(outbox):
            if data := b"".join(map(form.piece, pieces)):
                await self._write(data)

    async def _next(self, outbox: Outbox) -> list[Piece]:
        while True:
            try:
                async with asyncio.timeout(self._limits.heartbeat_seconds):
                    return await outbox.take()
            except TimeoutError:
                await self._write(b": at work\n\n")

    async def _write(self, data: bytes, *, more: bool = True) -> None:
        message = {"type": "http.response.body", "body": data, "more_body": more}
        await patiently(self._send(message), self._limits.stall_seconds)

    async def _break_off(self, form: Form, error: Exception) -> None:
        failure = self._booked(error)
        await self._write(form.failure(failure), more=False)

    # trouble and books

    async def _fail(self, error: Exception) -> None:
        failure = self._booked(error)
        if self._streaming:  # the stream itself could not be written
            raise error
        try:
            await patiently(send_error(self._send, failure, self._receive), self._limits.stall_seconds)
        except ClientGone:
            abort(self._scope)

    def _booked(self, error: Exception) -> ApiError:
        """The error as the client gets it; the whole of it goes to the log."""
        failure = of_failure(error, self.id, self._services.settings.details)
        self._status, self._why = failure.status, explain(error)
        if not isinstance(error, ApiError | K2Error):
            get_logger(request=self.id).error("failed", error=explain(error), exc_info=error)
        return failure

    def book(self) -> None:
        """A line in the log and the figures; neither has the key or the text of the request."""
        seconds = time.monotonic() - self._began
        self._services.metrics.request(self._model, self._endpoint.name, self._status, seconds)
        self._endpoint.log.info(
            "request",
            id=self.id,
            endpoint=self._endpoint.name,
            model=self._model,
            key=self._key,
            status=self._status,
            seconds=round(seconds, 4),
            **({"why": self._why} if self._why else {}),
        )
