"""A real server for the tests: in a thread, where its insides can be looked at, or as a process, where it can be killed."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from api_server import api_server
from k2core_serve.application import application
from k2core_serve.server import Server
from k2core_serve.services import Services
from k2core_serve.settings import Settings

from k2core.registry import Registry
from k2core.testing import FakeDecoder

SINGLE = """
[sampler]
use = "single"
instructions = false
{sampler}

[decoders.solver]
use = "openai"
base_url = "{url}"

[retry]
base = 0.01
max = 0.02
{more}
"""
VOTING = """
[sampler]
use = "best-of-n"
n = {n}

[verifiers.math]

[decoders.solver]
use = "openai"
base_url = "{url}"
"""


REGISTRY = Registry()
"""Looks at what is installed once, which takes a while."""


class NoTools(FakeDecoder):
    """Cannot call tools."""

    calls_tools = False


REGISTRY.add("decoder", "no-tools", NoTools)


class Running:
    """A server in a thread of this process."""

    def __init__(self, settings: Settings, recorder: Any = None) -> None:
        self.app = application(settings, recorder=recorder, registry=REGISTRY)
        self.services: Services = self.app.state.services
        self.server = Server(self.app, settings)
        self.loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._work)
        self._client = httpx.Client(timeout=30)

    def _work(self) -> None:
        with asyncio.Runner() as runner:
            self.loop = runner.get_loop()
            runner.run(self.server.run_all())

    def __enter__(self) -> Running:
        self._thread.start()
        while not self.server.started:
            if not self._thread.is_alive():
                raise RuntimeError("the server did not start")
            time.sleep(0.005)
        self.port = self.server.servers[0].sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()
        self.server.should_exit = True
        self._thread.join(30)
        assert not self._thread.is_alive()

    def within(self, work: Callable[[], Any]) -> Any:
        """The outcome of a coroutine function, in the server's loop."""
        assert self.loop is not None
        return asyncio.run_coroutine_threadsafe(work(), self.loop).result(30)

    def post(self, path: str = "/v1/chat/completions", json: Any = None, **options: Any) -> httpx.Response:
        return self._client.post(self.url + path, json=json, **options)


def ask(model: str = "m", text: str = "What is 6 times 7?", **more: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": text}], **more}


def eventually(condition: Callable[[], Any], seconds: float = 10) -> Any:
    """The first true value; fails when there is none in time."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.01)
    return found


class Tools:
    """What tests use, as one fixture, since test modules cannot import each other."""

    ask = staticmethod(ask)
    eventually = staticmethod(eventually)
    api_server = staticmethod(api_server)
    SINGLE, VOTING = SINGLE, VOTING

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, text: str, name: str = "m.toml", **values: Any) -> str:
        path = self.folder / name
        path.write_text(text.format(**{"sampler": "", "more": "", "n": 3, **values}))
        return str(path)

    @contextmanager
    def serve(self, *models: str, recorder: Any = None, **settings: Any) -> Iterator[Running]:
        """Pipelines by file; each is the model that its file is named after."""
        tables = {Path(file).stem: {"config": file} for file in models}
        named = {**tables, **settings.pop("models", {})}
        made = Settings.model_validate({"models": named, "port": 0, "page": False, "watch_seconds": 0.02, **settings})
        with Running(made, recorder) as running:
            yield running

    @contextmanager
    def process(self, *options: str, env: dict[str, str] | None = None) -> Iterator[tuple[subprocess.Popen[str], str]]:
        """`k2 serve` with options; the process and its address. It is killed if it has not ended by itself."""
        command = [sys.executable, "-m", "k2core", "serve", "--port", "0", *options]
        log = open(self.folder / "log", "w")  # noqa: SIM115 # the child's, until it has ended
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env={**os.environ, **(env or {})})
        assert child.stdout is not None
        try:
            line = child.stdout.readline()
            assert " at http://" in line, (line, (self.folder / "log").read_text())
            yield child, line.rpartition(" ")[2].strip().removesuffix("/v1")
        finally:
            if child.poll() is None:
                child.send_signal(signal.SIGKILL)
            child.wait(30)
            child.stdout.close()
            log.close()

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    @contextmanager
    def raw(self, port: int, data: bytes = b"") -> Iterator[socket.socket]:
        """A bare connection, with some bytes sent."""
        with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
            connection.sendall(data)
            yield connection


@pytest.fixture
def tools(tmp_path: Path) -> Tools:
    return Tools(tmp_path)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Tools:
    return Tools(tmp_path_factory.mktemp("serve"))
