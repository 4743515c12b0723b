"""The HTTP server under `k2 serve`: uvicorn, with time limits for headers, connections that can be cut, and an orderly end."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from .application import lifespan
from .openai.errors import bad
from .services import Services
from .settings import Settings


def protocol(head_seconds: float) -> type[HttpToolsProtocol]:
    """uvicorn's, which waits for headers as long as a client likes, with a limit to that."""

    class Patient(HttpToolsProtocol):
        """A connection that has begun a request, or has just been opened, must send all headers in time."""

        _timer: asyncio.TimerHandle | None = None
        _serving: Any = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._wait()

        def on_message_begin(self) -> None:
            super().on_message_begin()
            extensions: dict[str, Any] = {"k2core.abort": self.transport.abort}
            self.scope["extensions"] = extensions
            self._stop()
            self._wait()

        def on_headers_complete(self) -> None:
            self._stop()
            super().on_headers_complete()

        def _start_asgi_task(self, cycle: Any, app: Any) -> None:
            self._serving = cycle
            super()._start_asgi_task(cycle, app)

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop()
            self.pipeline.clear()
            if self._serving and not self._serving.response_complete:  # uvicorn tells the last of several requests only
                self._serving.disconnected = True
                self._serving.message_event.set()
            super().connection_lost(exc)

        def send_400_response(self, msg: str) -> None:
            body = json.dumps(bad(msg.rstrip("."), code="invalid_http").body).encode()
            head = b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: %d\r\n\r\n"
            self.transport.write(head % len(body) + body)
            self.transport.close()

        def _wait(self) -> None:
            self._timer = self.loop.call_later(head_seconds, self.transport.abort)

        def _stop(self) -> None:
            if self._timer:
                self._timer.cancel()
                self._timer = None

    return Patient


class Server(uvicorn.Server):
    """Stops on SIGTERM and SIGINT, and then says so by an exit status of its own rather than by the signal."""

    def __init__(self, app: Starlette, settings: Settings) -> None:
        limits = settings.limits
        super().__init__(
            uvicorn.Config(
                app,
                host=settings.host,
                port=settings.port,
                http=protocol(limits.head_seconds),
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                limit_concurrency=limits.connections,
                backlog=2048,
                timeout_keep_alive=30,
                timeout_graceful_shutdown=max(1, round(settings.drain_seconds)),
            )
        )
        self._app = app
        self._services: Services = app.state.services

    async def run_all(self) -> None:
        """Start the pipelines, serve until told to stop, let requests finish, stop the pipelines. Raises what a start raises."""
        with self.capture_signals():
            async with lifespan(self._app):
                if not self.should_exit:
                    await self.serve()
                await asyncio.gather(*self.server_state.tasks, return_exceptions=True)  # those that the drain has cancelled

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield  # signals are the main thread's; `should_exit` ends a server in another
            return
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._asked_to_stop, number)
        yield

    def _asked_to_stop(self, number: int) -> None:
        self._services.ready = False
        self._services.gate.close()
        self.handle_exit(number, None)

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        if self.started:
            host, port = self.servers[0].sockets[0].getsockname()[:2]
            self.address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
            print(f"serving {', '.join(self._services.pipelines.names())} at {self.address}/v1", flush=True)


class _Known(logging.Filter):
    """Leaves out what uvicorn takes for an error in the application and has a line in the log already.

    That is, requests that were cancelled at the end of a drain, and connections that were cut.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        cancelled = record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError)
        return not cancelled and not str(record.msg).startswith("ASGI callable returned without")


def serve(app: Starlette, settings: Settings) -> int:
    """Serve until told to stop. Returns the exit status: 0 after an orderly end, 1 where it could not listen."""
    log = logging.getLogger("uvicorn.error")
    log.addFilter(_Known())
    log.parent = logging.getLogger("k2core")
    log.setLevel(logging.ERROR)  # its warnings are about clients
    gc.set_threshold(10_000, 20, 50)  # requests leave few cycles; looking for them as often as usual takes a tenth of the time
    server = Server(app, settings)
    try:
        asyncio.run(server.run_all())
    except SystemExit:  # uvicorn's way to say that the address is taken; it has logged why
        return 1
    return 0
